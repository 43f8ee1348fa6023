"""Layers that several families of networks share. They are building blocks, not components of a recipe."""

from __future__ import annotations

import math
from collections import abc
from itertools import pairwise
from typing import Any, cast

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn


class EqualizedLinear(nn.Module):
    """Linear layer with equalised learning rate (Karras et al. 2018, section 4.1). ``b inputs -> b outputs``.

    Implicit, as ALAE has it: weights are stored as they act, with deviation gain / sqrt(inputs), and what equalises is
    the optimizer, which multiplies the step of each parameter by ``step_multipliers``. With ``runtime``, as in PGGAN
    and StyleGAN, weights are stored with deviation 1 / lrmul and multiplied in every call, for any optimizer. Both
    start as the same function; biases start at 0.
    """

    def __init__(
        self, inputs: int, outputs: int, gain: float = math.sqrt(2), lrmul: float = 1.0, runtime: bool = False
    ) -> None:
        super().__init__()
        deviation = gain / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.randn(outputs, inputs) * (1 / lrmul if runtime else deviation))
        self.bias = nn.Parameter(torch.zeros(outputs))
        multipliers = {"weight": deviation * lrmul, "bias": lrmul}
        self.step_multipliers: dict[str, float] = {} if runtime else multipliers
        self.factors = (multipliers["weight"], multipliers["bias"]) if runtime else None

    def forward(self, x: Tensor) -> Tensor:
        """``b inputs -> b outputs``."""
        if self.factors is None:
            return F.linear(x, self.weight, self.bias)
        return F.linear(x, self.weight * self.factors[0], self.bias * self.factors[1])


class MappingNetwork(nn.Module):
    """Pixel norm, then equalised linear layers, each activated, the last too (Karras et al. 2019). ``b d -> b d'``."""

    def __init__(self, widths: abc.Sequence[int], slope: float, lrmul: float, runtime: bool = False) -> None:
        super().__init__()
        self.slope = slope
        self.layers = nn.ModuleList(
            EqualizedLinear(before, after, lrmul=lrmul, runtime=runtime) for before, after in pairwise(widths)
        )

    def forward(self, z: Tensor) -> Tensor:
        """``b d -> b d'``."""
        w = pixel_norm(z)
        for layer in self.layers:
            w = F.leaky_relu(layer(w), self.slope)
        return w


class SameConv2d(nn.Module):
    """Convolution of stride 2 with TensorFlow's SAME padding: what is odd goes to the bottom and right.

    Kernel and bias start at N(0, deviation^2) and 0. ``b inputs h w -> b outputs ceil(h/2) ceil(w/2)``.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, deviation: float = 0.02) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel) * deviation)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Pad, then cross-correlate."""
        kernel = self.weight.shape[-1]
        (top, bottom), (left, right) = (_same_padding(size, kernel) for size in x.shape[-2:])
        if (top, left) != (bottom, right):
            x, top, left = F.pad(x, (left, right, top, bottom)), 0, 0
        return F.conv2d(x, self.weight, self.bias, stride=2, padding=(top, left))


class SameConvTranspose2d(nn.Module):
    """Adjoint of :class:`SameConv2d`; its weight is ``inputs outputs k k``.

    Kernel and bias start at N(0, deviation^2) and 0. ``b inputs h w -> b outputs 2h 2w``.
    """

    output_axis = 1
    """Of the weight, whose layout is that of torch's transposed convolutions."""

    def __init__(self, inputs: int, outputs: int, kernel: int, deviation: float = 0.02) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs, kernel, kernel) * deviation)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Transposed convolution without what the forward padding added."""
        height, width = x.shape[-2:]
        before = (self.weight.shape[-1] - 2) // 2
        y = F.conv_transpose2d(x, self.weight, self.bias, stride=2, padding=before)
        return y[..., : 2 * height, : 2 * width]  # an odd kernel leaves one row and column too many, the last


def _same_padding(size: int, kernel: int) -> tuple[int, int]:
    total = max((math.ceil(size / 2) - 1) * 2 + kernel - size, 0)
    return total // 2, total - total // 2


class SelfModulatedBatchNorm(nn.Module):
    """Batch norm whose scale and shift are functions of the latent (Chen et al. 2019, eq. 2-3).

    ``BN(h) (1 + gamma(z)) + beta(z)`` with BN without affine parameters; gamma and beta are perceptrons with
    a hidden layer as wide as z. https://arxiv.org/abs/1810.01365. The paper's scale is gamma itself; here, as
    in O-GAN, it starts around 1.
    """

    def __init__(self, channels: int, z_dim: int, eps: float = 1e-3, momentum: float = 0.01) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, eps=eps, momentum=momentum, affine=False)
        self.gamma = _modulator(z_dim, channels)
        self.beta = _modulator(z_dim, channels)

    def forward(self, h: Tensor, z: Tensor) -> Tensor:
        """``h``: b channels h w; ``z``: b z_dim; returns the shape of ``h``."""
        gamma = rearrange(self.gamma(z), "b c -> b c 1 1")
        beta = rearrange(self.beta(z), "b c -> b c 1 1")
        return torch.addcmul(beta, self.norm(h), 1 + gamma)


def _modulator(z_dim: int, channels: int) -> nn.Sequential:
    layers = nn.Sequential(nn.Linear(z_dim, z_dim), nn.ReLU(), nn.Linear(z_dim, channels))
    for layer in (layers[0], layers[2]):
        assert isinstance(layer, nn.Linear)
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
    return layers


def pixel_norm(x: Tensor) -> Tensor:
    """Scale to unit mean square over axis 1 (Karras et al. 2018, section 4.2). ``b c ... -> b c ...``."""
    return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


def blur(x: Tensor) -> Tensor:
    """Binomial filter [1, 2, 1] / 4 per axis, zero padding 1 (Karras et al. 2019). ``b c h w -> b c h w``."""
    # The mean of 2 x 2 pixels, twice. Computed on the device: a constant from the host would stop the queue and cannot
    # be captured in a graph.
    mean = x.new_full((1, 1, 2, 2), 0.25)
    return cast("Tensor", _Blur.apply(x, F.conv2d(mean, mean, padding=1)))  # type: ignore[no-untyped-call]


class _Blur(torch.autograd.Function):
    """One symmetric kernel for all channels, which with zero padding is its own gradient, of any order.

    Of torch's convolution a second derivative takes that for the kernel too, which nobody asks for, group by group.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor) -> Tensor:
        ctx.save_for_backward(kernel)
        channels = x.shape[1]
        return F.conv2d(x, kernel.to(x.dtype).expand(channels, 1, 3, 3), padding=1, groups=channels)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _Blur.apply(gradients[0], *ctx.saved_tensors), None  # type: ignore[no-untyped-call]


def nearest_resize(x: Tensor, height: int, width: int) -> Tensor:
    """Nearest-neighbour resizing, ``b c h w -> b c height width``; nothing to do costs nothing."""
    return x if x.shape[-2:] == (height, width) else F.interpolate(x, size=(height, width), mode="nearest")


__all__ = [
    "EqualizedLinear",
    "MappingNetwork",
    "SameConv2d",
    "SameConvTranspose2d",
    "SelfModulatedBatchNorm",
    "blur",
    "nearest_resize",
    "pixel_norm",
]
