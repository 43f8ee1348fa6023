"""Colours, octaves, noise and cut-outs (Karras et al. 2020, appendix B).

All that is done to colours leaves the grey axis (1, 1, 1) in place. So a transformation is one factor and one shift on
this axis, and a factor and a turn in the plane across; the published products of 4 x 4 matrices are the same.
"""

from __future__ import annotations

import math
from collections import abc

import torch
from einops import rearrange
from torch import Tensor, nn

from latentkit_plugins.ada._matrices import BANDS, bands
from latentkit_plugins.ada._numbers import Drawn, standard_normal

_POWER = (10 / 13, 1 / 13, 1 / 13, 1 / 13)
"""Of natural images, in the octaves: it falls with the square of the frequency."""


def colored(x: Tensor, drawn: abc.Mapping[str, Drawn]) -> Tensor:
    """Brightness, contrast, luma flip, hue, saturation. ``b c h w -> b c h w`` around 0, c is 1 or 3."""
    shift, grey = _first(x, 0.0), _first(x, 1.0)
    color, turn = _first(x, 1.0), _first(x, 0.0)
    if "brightness" in drawn:
        shift = _pixels(drawn["brightness"], drawn["brightness"].normal(), 0.0)
    if "contrast" in drawn:
        grey = color = _pixels(drawn["contrast"], torch.exp2(drawn["contrast"].normal()), 1.0)
    if "lumaflip" in drawn:
        grey = grey * rearrange(1 - 2 * drawn["lumaflip"].choice(2), "b -> b 1 1 1")
    if x.shape[1] == 1:
        return (x + shift) * grey
    if "hue" in drawn:
        turn = math.pi * _pixels(drawn["hue"], drawn["hue"].even(), 0.0)
    if "saturation" in drawn:
        color = color * _pixels(drawn["saturation"], torch.exp2(drawn["saturation"].normal()), 1.0)
    red, green, blue = torch.split(x, 1, 1)
    luma = (red + green + blue) / 3
    across = torch.cat([blue - green, red - blue, green - red], 1) / math.sqrt(3)  # the axis times x, as vectors
    return (luma + shift) * grey + color * (turn.cos() * (x - luma) + turn.sin() * across)


class Octaves(nn.Module):
    """Amplifies four octaves of an image, each at random, along both axes."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.register_buffer("down", bands(height), persistent=False)
        self.register_buffer("across", bands(width), persistent=False)

    def forward(self, x: Tensor, drawn: abc.Sequence[Drawn]) -> Tensor:
        """``x: b c h w`` and what was drawn for each octave, the lowest first, ``-> b c h w``."""
        gains = x.new_ones(len(x), BANDS)
        for band, item in enumerate(drawn):
            factor = item.where(torch.exp2(item.normal()), 1.0)  # b 1
            power = 1 + _POWER[band] * (factor.square() - 1)
            here = torch.arange(BANDS, device=x.device) == band
            gains = gains * torch.where(here, factor, 1.0) / power.sqrt()  # of a natural image the power stays
        down, across = (self.get_buffer(name).to(x.dtype) for name in ("down", "across"))
        left, right = (torch.einsum("bn,nij->bij", gains, matrices)[:, None] for matrices in (down, across))
        return left @ x @ right.mT


def noisy(x: Tensor, drawn: Drawn) -> Tensor:
    """Normal noise on each number, its deviation half-normal. ``b c h w -> b c h w``."""
    normal = standard_normal(drawn.values)
    noise = drawn.strength * normal[:, :1].abs() * normal[:, 1:]
    return x + drawn.where(noise.reshape(x.shape), 0.0)


def cut_out(x: Tensor, drawn: Drawn) -> Tensor:
    """A rectangle becomes 0, its sides a share of the image's. ``b c h w -> b c h w``."""
    inside = drawn.done[:, None, None]
    for size, middle, axis in zip(x.shape[:1:-1], drawn.values.unbind(1), ("b 1 n", "b n 1"), strict=True):
        place = (torch.arange(size, device=x.device, dtype=x.dtype) + 0.5) / size
        near = (place - middle[:, None]).abs() < drawn.strength / 2
        inside = inside & rearrange(near, f"b n -> {axis}")
    return torch.where(inside[:, None], 0.0, x)


def _first(x: Tensor, value: float) -> Tensor:
    return x.new_full((1, 1, 1, 1), value)


def _pixels(drawn: Drawn, value: Tensor, otherwise: float) -> Tensor:
    """``b 1`` to ``b 1 1 1``, what leaves a sample as it is where nothing is done."""
    return rearrange(drawn.where(value, otherwise), "b 1 -> b 1 1 1")
