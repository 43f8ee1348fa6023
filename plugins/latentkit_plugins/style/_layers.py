"""Equalised convolutions, noise, instance statistics: what the networks of the family are made of."""

from __future__ import annotations

import math
from collections import abc
from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor, nn

from latentkit_plugins.style._sizes import Layout

Scaling = Literal["none", "up", "down"]
SLOPE = 0.2


class EqualizedConv2d(nn.Module):
    """Convolution with equalised learning rate (Karras et al. 2018, section 4.1) and SAME padding.

    Implicit: the weight is stored as it acts, with deviation c = gain / sqrt(inputs k k), and ``step_multipliers`` tell
    the optimizer. Otherwise (``runtime``) it is stored with deviation 1 and multiplied by c in every call.

    ``scaling`` "up" is a transposed convolution of stride 2, "down" one of stride 2; both use the sum of the kernel's
    four shifts by one pixel, which is what nearest upsampling before, or averaging after, amounts to.
    ``b inputs h w -> b outputs h' w'``.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, gain: float = math.sqrt(2), bias: bool = False,
        scaling: Scaling = "none", runtime: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        deviation = gain / math.sqrt(inputs * kernel**2)  # also of the transposed one
        shape = (inputs, outputs) if scaling == "up" else (outputs, inputs)
        self.weight = nn.Parameter(torch.randn(*shape, kernel, kernel) * (1.0 if runtime else deviation))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.scaling, self.scale = scaling, deviation if runtime else None
        self.output_axis = 1 if scaling == "up" else 0
        self.step_multipliers: dict[str, float] = {} if runtime else {"weight": deviation}

    def forward(self, x: Tensor) -> Tensor:
        """``b inputs h w -> b outputs h' w'``."""
        weight = self.weight if self.scale is None else self.weight * self.scale
        padding = weight.shape[-1] // 2
        if self.scaling == "none":
            return F.conv2d(x, weight, self.bias, padding=padding)
        if self.scaling == "up":
            return F.conv_transpose2d(x, _four_shifts(weight), self.bias, stride=2, padding=padding)
        return F.conv2d(x, _four_shifts(weight) * 0.25, self.bias, stride=2, padding=padding)


def _four_shifts(weight: Tensor) -> Tensor:
    """``... k k -> ... k+1 k+1``."""
    w = F.pad(weight, (1, 1, 1, 1))
    return w[..., 1:, 1:] + w[..., 1:, :-1] + w[..., :-1, 1:] + w[..., :-1, :-1]


def statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel of each sample, ``b c h w -> b c, b c``.

    No epsilon: as released, the gradient of a channel that is constant is not a number.
    """
    mean = reduce(x, "b c h w -> b c", "mean")
    deviation = reduce((x - rearrange(mean, "b c -> b c 1 1")).square(), "b c h w -> b c", "mean").sqrt()
    return mean, deviation


def instance_norm(x: Tensor, eps: float) -> Tensor:
    """Zero mean and unit variance of each channel of each sample, ``b c h w -> b c h w``."""
    return F.instance_norm(x, eps=eps)


def upsample(x: Tensor) -> Tensor:
    """Nearest, ``b c h w -> b c 2h 2w``."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def downsample(x: Tensor) -> Tensor:
    """Mean of 2 x 2 pixels, ``b c h w -> b c h/2 w/2``."""
    return F.avg_pool2d(x, 2)


def blended(low: Tensor, high: Tensor, blend: Tensor | float) -> Tensor:
    """``low`` at 0, ``high`` at 1; under autocast the two may be of different types, which ``lerp`` refuses."""
    return low + blend * (high - low)


def per_level(layout: Layout, layer: abc.Callable[[int], nn.Module]) -> nn.ModuleDict:
    """Of each level that has images the layer between them and features of so many channels, by the level's name."""
    return nn.ModuleDict(
        {str(level): layer(width) for level, width in enumerate(layout.features) if level >= layout.start}
    )


def fading(layers: nn.ModuleDict, level: int, blend: Tensor | int) -> bool:
    """Whether images of two levels are mixed; with the whole number 1 they are not, and the device is not asked."""
    return str(level - 1) in layers and not (isinstance(blend, int) and blend == 1)


def image_of(layers: nn.ModuleDict, level: int, before: Tensor, x: Tensor, blend: Tensor | int) -> Tensor:
    """The image of a level's features, mixed with the enlarged one of the level below (Karras et al. 2018, figure 2).

    Args:
        layers: to-RGB, by :func:`per_level`.
        level: whose features ``x`` are.
        before: features of the level below, ``b c' h/2 w/2``; not looked at where nothing fades in.
        x: ``b c h w``.
        blend: 1 is this level alone, 0 the one below.

    Returns:
        ``b channels h w``.
    """
    image: Tensor = layers[str(level)](x)
    if not fading(layers, level, blend):
        return image
    return blended(upsample(layers[str(level - 1)](before)), image, blend)


def bump(x: Tensor, level: int) -> Tensor:
    """What ALAE's released code adds in place of noise where noise is off, a function of the features themselves.

    ``0.8 s exp(-x^2 / (2 s^2)) / sqrt(2 pi)`` with ``s = sqrt(level + 1)``; shape of ``x``.
    """
    s = math.sqrt(level + 1)
    return 0.8 * s * torch.exp(-x.square() / (2 * s**2)) / math.sqrt(2 * math.pi)
