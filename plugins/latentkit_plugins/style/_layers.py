"""Equalised convolutions, noise, instance statistics: what the networks of the family are made of."""

from __future__ import annotations

import math
from collections import abc
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentkit_plugins.style._sizes import Layout

Scaling = Literal["none", "up", "transposed", "down"]
SLOPE = 0.2


class EqualizedConv2d(nn.Module):
    """Convolution with equalised learning rate (Karras et al. 2018, section 4.1) and SAME padding.

    Implicit: the weight is stored as it acts, with deviation c = gain / sqrt(inputs k k), and ``step_multipliers`` tell
    the optimizer. Otherwise (``runtime``) it is stored with deviation 1 and multiplied by c in every call.

    ``scaling`` "up" is nearest upsampling before it, "down" the mean of 2 x 2 pixels after it, each as one convolution
    of stride 2 whose kernel is the sum of the stored one's four shifts by a pixel: less than half the products, and the
    same function. "transposed" is "up" with the weight of a transposed convolution, ``inputs outputs k k``.
    ``b inputs h w -> b outputs h' w'``.
    """

    shifts: Tensor

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, gain: float = math.sqrt(2), bias: bool = False,
        scaling: Scaling = "none", runtime: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        deviation = gain / math.sqrt(inputs * kernel**2)  # also of the transposed one
        shape = (inputs, outputs) if scaling == "transposed" else (outputs, inputs)
        self.weight = nn.Parameter(torch.randn(*shape, kernel, kernel) * (1.0 if runtime else deviation))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.scaling, self.scale = scaling, deviation if runtime else None
        self.output_axis = 1 if scaling == "transposed" else 0
        self.step_multipliers: dict[str, float] = {} if runtime else {"weight": deviation}
        if scaling != "none":
            self.register_buffer("shifts", _four_shifts(kernel, scaling), persistent=False)

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """``b inputs h w -> b outputs h' w'``; ``bias``: one that is kept elsewhere, of as many numbers as outputs."""
        weight = self.weight if self.scale is None else self.weight * self.scale
        bias = self.bias if bias is None else bias.flatten()
        padding = weight.shape[-1] // 2
        if self.scaling == "none":
            return F.conv2d(x, weight, bias, padding=padding)
        side = weight.shape[-1] + 1
        spread = (weight.flatten(2) @ self.shifts).view(*weight.shape[:2], side, side)
        if self.scaling == "down":
            return F.conv2d(x, spread, bias, stride=2, padding=padding)
        spread = spread if self.scaling == "transposed" else spread.transpose(0, 1)
        return F.conv_transpose2d(x, spread, bias, stride=2, padding=padding)


def _four_shifts(kernel: int, scaling: Scaling) -> Tensor:
    """A matrix ``k^2 (k+1)^2``: from a kernel to the sum of its four shifts by a pixel, their mean for "down"."""
    unit = torch.eye(kernel**2).view(-1, kernel, kernel)
    if scaling == "up":  # a transposed convolution turns the kernel, which an upsampled convolution does not
        unit = unit.flip(1, 2)
    spread = F.pad(unit, (1, 1, 1, 1))
    spread = spread[:, 1:] + spread[:, :-1]
    spread = spread[..., 1:] + spread[..., :-1]
    return spread.flatten(1) * (0.25 if scaling == "down" else 1.0)


def activated(x: Tensor, slope: float = SLOPE) -> Tensor:
    """Leaky ReLU, in place: ``x`` is what a layer has just made, and is kept for the gradient once, not twice."""
    return F.leaky_relu(x, slope, inplace=True)


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
