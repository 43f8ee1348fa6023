"""How images are shifted, resized and turned, for :mod:`latentkit.latent.transformations`."""

from __future__ import annotations

import math
from collections import abc

import torch
import torch.nn.functional as F
from torch import Tensor

from latentkit.errors import LatentkitError


def shifted(x: Tensor, t: float, axis: int, name: str, fill: float) -> tuple[Tensor, Tensor]:
    """Content moved by ``int(t side)`` pixels along an axis, -1 or -2, and what is defined of it: b c h w, twice.

    Raises:
        LatentkitError: nothing of the image would be left, or t is not finite.
    """
    finite(name, t)
    pixels, side = int(t * x.shape[axis]), x.shape[axis]
    if abs(pixels) >= side:
        raise LatentkitError(f"{name} by {t:g}: expected less than the whole side of {size(x)}, -1 < t < 1")
    kept = slice(max(0, -pixels), side - max(0, pixels))
    ends = (max(0, pixels), max(0, -pixels))
    padding = (*ends, 0, 0) if axis == -1 else (0, 0, *ends)

    def moved(values: Tensor, value: float) -> Tensor:
        cut = values[..., kept] if axis == -1 else values[..., kept, :]
        return F.pad(cut, padding, value=value)

    return moved(x, fill), moved(ones(x), 0.0).expand_as(x)


def resized(values: Tensor, t: float) -> Tensor:
    """Cut or padded with zeros to ``int(side / (1 + t))``, then resized to what it was: b c h w to b c h w."""
    height, width = values.shape[-2:]
    sides = [(side, int(side / (1 + t))) for side in (width, height)]  # the order of F.pad
    # A negative padding cuts. Half of the difference, downwards, is on the near side of either.
    padding: list[int] = []
    for side, wanted in sides:
        near = (wanted - side) // 2 if wanted >= side else -((side - wanted) // 2)
        padding += [near, wanted - side - near]
    return F.interpolate(F.pad(values, padding), (height, width), mode="bilinear", align_corners=False)


def turned(values: Tensor, t: float) -> Tensor:
    """Turned by t radians about the middle, counter-clockwise, with zeros outside: b c h w to b c h w."""
    height, width = values.shape[-2:]
    cos, sin = math.cos(t), math.sin(t)
    # From where each pixel comes, in coordinates of [-1, 1] along both sides, which are not of equal length.
    rows = [[cos, -sin * height / width, 0.0], [sin * width / height, cos, 0.0]]
    theta = torch.tensor([rows], dtype=values.dtype, device=values.device)
    grid = F.affine_grid(theta, [1, 1, height, width], align_corners=False)
    return F.grid_sample(values, grid.expand(len(values), -1, -1, -1), "bilinear", "zeros", align_corners=False)


def ones(x: Tensor) -> Tensor:
    """Of the images' size, 1 1 h w."""
    return torch.ones(1, 1, *x.shape[-2:], dtype=x.dtype, device=x.device)


def size(x: Tensor) -> str:
    """The images' size in words."""
    return f"an image of {x.shape[-2]} x {x.shape[-1]}"


def finite(name: str, t: float) -> None:
    """Go on where an amount is finite.

    Raises:
        LatentkitError: it is not.
    """
    if not math.isfinite(t):
        raise LatentkitError(f"{name}: expected a finite amount t, found {t}")


def least_above(amount: float, changes: abc.Callable[[float], bool]) -> float:
    """The first number from an amount on that changes something: by rounding, the amount itself may fall short."""
    while not changes(amount):
        amount = math.nextafter(amount, math.inf)
    return amount
