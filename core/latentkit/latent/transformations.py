"""Changes of images by an amount t, each with the mask of what it leaves defined.

Plumerault, Le Borgne, Hudelot 2020, https://arxiv.org/abs/2001.10238, section 2; shifts, zoom and brightness as in its
released code for images in [-1, 1], where t lies in [-0.5, 0.5]. Here images have any range: what is vacated gets its
middle. The released code has no rotation.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor

from latentkit.errors import LatentkitError


class Transformation(ABC):
    """A family of changes of images, of which t = 0 is none; the interface of any further one.

    Subclasses are frozen values. ``apply`` is differentiable in the image.
    """

    __slots__ = ()
    name: ClassVar[str]
    unit: ClassVar[str] = ""
    """Of an amount, in words."""

    @abstractmethod
    def apply(self, x: Tensor, t: float) -> tuple[Tensor, Tensor]:
        """The changed images, and in [0, 1] how far each of their values is defined: b c h w, twice.

        Raises:
            LatentkitError: an amount that leaves nothing of the image.
        """


def _ordered(_: object, __: object, value: tuple[float, float]) -> None:
    if not (len(value) == 2 and math.isfinite(value[0]) and math.isfinite(value[1]) and value[0] < value[1]):
        raise LatentkitError(f"range: expected a lower and a higher number, found {value}")


@attrs.frozen(kw_only=True)
class HorizontalShift(Transformation):
    """Content moves by ``int(t width)`` pixels, to the right where t is positive."""

    name: ClassVar[str] = "horizontal-shift"
    unit: ClassVar[str] = "image widths"
    range: tuple[float, float] = attrs.field(default=(-1.0, 1.0), validator=_ordered)

    def apply(self, x: Tensor, t: float) -> tuple[Tensor, Tensor]:
        """See the class; whole pixels, toward 0."""
        return _shifted(self, x, t, -1)


@attrs.frozen(kw_only=True)
class VerticalShift(Transformation):
    """Content moves by ``int(t height)`` pixels, down where t is positive."""

    name: ClassVar[str] = "vertical-shift"
    unit: ClassVar[str] = "image heights"
    range: tuple[float, float] = attrs.field(default=(-1.0, 1.0), validator=_ordered)

    def apply(self, x: Tensor, t: float) -> tuple[Tensor, Tensor]:
        """See the class; whole pixels, toward 0."""
        return _shifted(self, x, t, -2)


@attrs.frozen(kw_only=True)
class Zoom(Transformation):
    """Content is scaled by 1 + t about the middle: cut or padded to ``int(side / (1 + t))``, then resized bilinearly.

    The mask is the same of ones: with a soft edge where t is negative, 1 where it is positive.
    """

    name: ClassVar[str] = "zoom"
    unit: ClassVar[str] = "of the size"
    range: tuple[float, float] = attrs.field(default=(-1.0, 1.0), validator=_ordered)

    def apply(self, x: Tensor, t: float) -> tuple[Tensor, Tensor]:
        """See the class."""
        _finite(self, t)
        side = max(x.shape[-2:])
        if 1 + t <= 0 or int(min(x.shape[-2:]) / (1 + t)) < 1 or side / (1 + t) > _LARGEST:
            raise LatentkitError(
                f"{self.name} by {t:g}: expected a scale 1 + t that keeps a part of {_size(x)} in view"
            )
        middle = sum(self.range) / 2
        return _resized(x - middle, t) + middle, _resized(_ones(x), t).expand_as(x)


@attrs.frozen(kw_only=True)
class Brightness(Transformation):
    """Values rise by t halves of the range, clipped to it; in [-1, 1] by t itself."""

    name: ClassVar[str] = "brightness"
    unit: ClassVar[str] = "half ranges"
    range: tuple[float, float] = attrs.field(default=(-1.0, 1.0), validator=_ordered)

    def apply(self, x: Tensor, t: float) -> tuple[Tensor, Tensor]:
        """See the class; all is defined."""
        _finite(self, t)
        low, high = self.range
        return (x + t * (high - low) / 2).clamp(low, high), _ones(x).expand_as(x)


@attrs.frozen(kw_only=True)
class Rotation(Transformation):
    """Content turns by t radians about the middle, counter-clockwise where t is positive, sampled bilinearly.

    The mask is the same of ones, with a soft edge.
    """

    name: ClassVar[str] = "rotation"
    unit: ClassVar[str] = "radians"
    range: tuple[float, float] = attrs.field(default=(-1.0, 1.0), validator=_ordered)

    def apply(self, x: Tensor, t: float) -> tuple[Tensor, Tensor]:
        """See the class."""
        _finite(self, t)
        middle = sum(self.range) / 2
        return _turned(x - middle, t) + middle, _turned(_ones(x), t).expand_as(x)


TRANSFORMATIONS: dict[str, type[Transformation]] = {
    kind.name: kind for kind in (HorizontalShift, VerticalShift, Zoom, Brightness, Rotation)
}
"""What is shipped, by name."""
_LARGEST = 16_384
"""Side to which an image is padded, at most."""


def _shifted(kind: HorizontalShift | VerticalShift, x: Tensor, t: float, axis: int) -> tuple[Tensor, Tensor]:
    _finite(kind, t)
    pixels, size = int(t * x.shape[axis]), x.shape[axis]
    if abs(pixels) >= size:
        raise LatentkitError(f"{kind.name} by {t:g}: expected less than the whole side of {_size(x)}, -1 < t < 1")
    kept = slice(max(0, -pixels), size - max(0, pixels))
    ends = (max(0, pixels), max(0, -pixels))
    padding = (*ends, 0, 0) if axis == -1 else (0, 0, *ends)

    def moved(values: Tensor, fill: float) -> Tensor:
        cut = values[..., kept] if axis == -1 else values[..., kept, :]
        return F.pad(cut, padding, value=fill)

    return moved(x, sum(kind.range) / 2), moved(_ones(x), 0.0).expand_as(x)


def _resized(values: Tensor, t: float) -> Tensor:
    height, width = values.shape[-2:]
    sides = [(side, int(side / (1 + t))) for side in (width, height)]  # the order of F.pad
    # A negative padding cuts. Half of the difference, downwards, is on the near side of either.
    padding: list[int] = []
    for side, wanted in sides:
        near = (wanted - side) // 2 if wanted >= side else -((side - wanted) // 2)
        padding += [near, wanted - side - near]
    return F.interpolate(F.pad(values, padding), (height, width), mode="bilinear", align_corners=False)


def _turned(values: Tensor, t: float) -> Tensor:
    height, width = values.shape[-2:]
    cos, sin = math.cos(t), math.sin(t)
    # From where each pixel comes, in coordinates of [-1, 1] along both sides, which are not of equal length.
    rows = [[cos, -sin * height / width, 0.0], [sin * width / height, cos, 0.0]]
    theta = torch.tensor([rows], dtype=values.dtype, device=values.device)
    grid = F.affine_grid(theta, [1, 1, height, width], align_corners=False)
    return F.grid_sample(values, grid.expand(len(values), -1, -1, -1), "bilinear", "zeros", align_corners=False)


def _ones(x: Tensor) -> Tensor:
    return torch.ones(1, 1, *x.shape[-2:], dtype=x.dtype, device=x.device)


def _size(x: Tensor) -> str:
    return f"an image of {x.shape[-2]} x {x.shape[-1]}"


def _finite(kind: Transformation, t: float) -> None:
    if not math.isfinite(t):
        raise LatentkitError(f"{kind.name}: expected a finite amount t, found {t}")
