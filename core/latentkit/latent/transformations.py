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
from torch import Tensor

from latentkit.errors import LatentkitError
from latentkit.latent.warping import finite, least_above, ones, resized, shifted, size, turned


class Transformation(ABC):
    """A family of changes of images, of which t = 0 is none; the interface of any further one.

    Subclasses are frozen values. ``apply`` is differentiable in the image.
    """

    __slots__ = ()
    name: ClassVar[str]
    unit: ClassVar[str] = ""
    """Of an amount, in words."""
    moves: ClassVar[str] = ""
    """Which of the :mod:`latentkit.latent.moments` of what is salient it changes: ``x``, ``y``, ``mean``, or none."""

    @abstractmethod
    def apply(self, x: Tensor, t: float) -> tuple[Tensor, Tensor]:
        """The changed images, and in [0, 1] how far each of their values is defined: b c h w, twice.

        Raises:
            LatentkitError: an amount that leaves nothing of the image.
        """

    def realised(self, t: float, height: int, width: int) -> float:
        """By how much images of a size change when t is asked for, in whole pixels where only those can be; or 0."""
        return t

    def least(self, height: int, width: int) -> float:
        """The smallest amount that changes images of a size, either way; 0 where any does."""
        return 0.0

    def rate(self, height: int, width: int) -> float | None:
        """By how much the moment that it moves changes per amount; ``None`` where that depends on the image."""
        return None


def _ordered(_: object, __: object, value: tuple[float, float]) -> None:
    if not (len(value) == 2 and math.isfinite(value[0]) and math.isfinite(value[1]) and value[0] < value[1]):
        raise LatentkitError(f"range: expected a lower and a higher number, found {value}")


@attrs.frozen(kw_only=True)
class HorizontalShift(Transformation):
    """Content moves by ``int(t width)`` pixels, to the right where t is positive."""

    name: ClassVar[str] = "horizontal-shift"
    unit: ClassVar[str] = "image widths"
    moves: ClassVar[str] = "x"
    range: tuple[float, float] = attrs.field(default=(-1.0, 1.0), validator=_ordered)

    def apply(self, x: Tensor, t: float) -> tuple[Tensor, Tensor]:
        """See the class; whole pixels, toward 0."""
        return shifted(x, t, -1, self.name, sum(self.range) / 2)

    def realised(self, t: float, height: int, width: int) -> float:
        """Whole pixels."""
        return int(t * width) / width

    def least(self, height: int, width: int) -> float:
        """One pixel."""
        return least_above(1 / width, lambda t: int(t * width) > 0)

    def rate(self, height: int, width: int) -> float | None:
        """Places of a barycentre are counted from the first pixel's middle to the last one's."""
        return width / max(width - 1, 1)


@attrs.frozen(kw_only=True)
class VerticalShift(Transformation):
    """Content moves by ``int(t height)`` pixels, down where t is positive."""

    name: ClassVar[str] = "vertical-shift"
    unit: ClassVar[str] = "image heights"
    moves: ClassVar[str] = "y"
    range: tuple[float, float] = attrs.field(default=(-1.0, 1.0), validator=_ordered)

    def apply(self, x: Tensor, t: float) -> tuple[Tensor, Tensor]:
        """See the class; whole pixels, toward 0."""
        return shifted(x, t, -2, self.name, sum(self.range) / 2)

    def realised(self, t: float, height: int, width: int) -> float:
        """Whole pixels."""
        return int(t * height) / height

    def least(self, height: int, width: int) -> float:
        """One pixel."""
        return least_above(1 / height, lambda t: int(t * height) > 0)

    def rate(self, height: int, width: int) -> float | None:
        """Places of a barycentre are counted from the first pixel's middle to the last one's."""
        return height / max(height - 1, 1)


@attrs.frozen(kw_only=True)
class Zoom(Transformation):
    """Content is scaled by 1 + t about the middle: cut or padded to ``int(side / (1 + t))``, then resized bilinearly.

    The mask is the same of ones: with a soft edge where t is negative, 1 where it is positive.
    """

    name: ClassVar[str] = "zoom"
    unit: ClassVar[str] = "of the size"
    moves: ClassVar[str] = "mean"
    range: tuple[float, float] = attrs.field(default=(-1.0, 1.0), validator=_ordered)

    def apply(self, x: Tensor, t: float) -> tuple[Tensor, Tensor]:
        """See the class."""
        finite(self.name, t)
        side = max(x.shape[-2:])
        if 1 + t <= 0 or int(min(x.shape[-2:]) / (1 + t)) < 1 or side / (1 + t) > _LARGEST:
            raise LatentkitError(f"{self.name} by {t:g}: expected a scale 1 + t that keeps a part of {size(x)} in view")
        middle = sum(self.range) / 2
        return resized(x - middle, t) + middle, resized(ones(x), t).expand_as(x)

    def realised(self, t: float, height: int, width: int) -> float:
        """Of the part that is cut out or padded to, the mean over both sides."""
        return sum(side / max(int(side / (1 + t)), 1) - 1 for side in (height, width)) / 2

    def least(self, height: int, width: int) -> float:
        """A border of one pixel; enlarging takes less."""
        side = max(height, width)
        return least_above(1 / (side + 1), lambda t: int(side / (1 - t)) > side)


@attrs.frozen(kw_only=True)
class Brightness(Transformation):
    """Values rise by t halves of the range, clipped to it; in [-1, 1] by t itself."""

    name: ClassVar[str] = "brightness"
    unit: ClassVar[str] = "half ranges"
    moves: ClassVar[str] = "mean"
    range: tuple[float, float] = attrs.field(default=(-1.0, 1.0), validator=_ordered)

    def apply(self, x: Tensor, t: float) -> tuple[Tensor, Tensor]:
        """See the class; all is defined.

        Raises:
            LatentkitError: t is not finite, or so large that all would be black, or white.
        """
        finite(self.name, t)
        low, high = self.range
        if abs(t) >= _WHOLE_RANGE:
            raise LatentkitError(
                f"{self.name} by {t:g}: expected less than the whole range of the images, {low:g} to {high:g}, "
                f"{-_WHOLE_RANGE} < t < {_WHOLE_RANGE}; all would be {'white' if t > 0 else 'black'}"
            )
        return (x + t * (high - low) / 2).clamp(low, high), ones(x).expand_as(x)

    def rate(self, height: int, width: int) -> float | None:
        """Of what is neither black nor white."""
        return 0.5


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
        finite(self.name, t)
        middle = sum(self.range) / 2
        return turned(x - middle, t) + middle, turned(ones(x), t).expand_as(x)


TRANSFORMATIONS: dict[str, type[Transformation]] = {
    kind.name: kind for kind in (HorizontalShift, VerticalShift, Zoom, Brightness, Rotation)
}
"""What is shipped, by name."""
_LARGEST = 16_384
"""Side to which an image is padded, at most."""
_WHOLE_RANGE = 2
"""In halves of it."""
