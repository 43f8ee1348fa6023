"""Channels by resolution, and which resolutions there are."""

from __future__ import annotations

from latentkit.errors import Mismatch

BASE = 4
"""Side of the smallest map."""


def channels_by_level(height: int, width: int, base: int, most: int) -> list[int]:
    """Channels of the maps of side resolution / 2, ..., 8, 4: ``base``, doubled each time, at most ``most``.

    Raises:
        Mismatch: the image is not square of side 8, 16, 32, ...
    """
    if height != width or height < 2 * BASE or height & (height - 1):
        raise Mismatch(
            f"dcgan: image of {height} x {width}; expected a square of side 8, 16, 32, 64, 128, 256, ... "
            f"(4 times a power of two); choose such a data.resolution"
        )
    return [min(base << level, most) for level in range((height // BASE).bit_length() - 1)]


def with_flat(
    sizes: dict[str, object], height: int | None, width: int | None, base: int, most: int
) -> dict[str, object]:
    """Sizes with ``flat``, the numbers in the smallest map, once the image's size is known."""
    if height is None or width is None:
        return sizes
    return sizes | {"flat": BASE * BASE * channels_by_level(height, width, base, most)[-1]}
