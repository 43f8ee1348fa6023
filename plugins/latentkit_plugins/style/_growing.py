"""What the parts of the family have in common: levels, widths, and the size of the images."""

from __future__ import annotations

from typing import Literal

import attrs
from attrs.validators import deep_iterable, ge, in_, le, max_len, min_len

from latentkit.components.sizes import known_sizes
from latentkit.errors import Mismatch
from latentkit.interfaces import Part
from latentkit_plugins.style._sizes import MOST_LEVELS, Layout, level_of, widths

Equalized = Literal["implicit", "runtime"]
EQUALIZED = ("implicit", "runtime")
_SQUARE = (4, 4)


def _is_level(part: Growing, field: attrs.Attribute[int], value: int) -> None:
    if not 0 <= value < part.levels:
        raise Mismatch(f"{field.name} must be a level, 0 to {part.levels - 1} of {part.levels} levels, found {value}")


@attrs.frozen(kw_only=True)
class Growing(Part):
    """Levels, widths, and the image's size."""

    channels: int | None = None
    height: int | None = None
    width: int | None = None
    levels: int = attrs.field(default=4, validator=[ge(1), le(MOST_LEVELS)])
    """Resolutions there are weights for: ``base``, twice that, ...; 4 levels from 4 x 4 reach 32 x 32."""
    base: tuple[int, int] = attrs.field(
        default=_SQUARE, validator=[min_len(2), max_len(2), deep_iterable(ge(1))], converter=tuple
    )
    """Height and width of the lowest level."""
    start: int = attrs.field(default=0, validator=_is_level)
    """The first level with images of its own: 0, or 1 as in StyleGAN, which starts at 8 x 8."""
    channels_base: int = attrs.field(default=16, validator=ge(1))
    """Channels of the highest resolution; each halving doubles them."""
    max_channels: int = attrs.field(default=512, validator=ge(1))
    equalized: Equalized = attrs.field(default="implicit", validator=in_(EQUALIZED))
    """Where the equalised learning rate is: in the optimizer's steps (``lreq-adam``), or in every call."""

    def level(self) -> int:
        """The level of the images that are met.

        Raises:
            Mismatch: there is none of this size.
        """
        height, width = known_sizes(self, "height", "width")
        return level_of(type(self).__name__, self.base, self.levels, self.start, height, width)

    def layout(self) -> Layout:
        """What the network is built from.

        Raises:
            Mismatch: a size is open, or no level has images of this one.
        """
        (channels,) = known_sizes(self, "channels")
        features = widths(self.channels_base, self.max_channels, self.levels)
        return Layout(channels, tuple(features), self.base, self.start, self.level(), self.equalized == "runtime")
