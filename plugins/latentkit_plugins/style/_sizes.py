"""Resolutions of networks that grow: levels, widths, noise."""

from __future__ import annotations

import attrs

from latentkit.errors import Mismatch

MOST_LEVELS = 9
"""1024 x 1024 from 4 x 4."""
TRANSPOSED_FROM = 128
"""Side from which the released generators store the weight of a transposed convolution (Karras et al. 2019)."""


@attrs.frozen
class Layout:
    """What a network of the family is built from."""

    channels: int
    """Of the images."""
    features: tuple[int, ...]
    """Channels of each level's features."""
    base: tuple[int, int]
    """Height and width of level 0."""
    start: int
    """The first level that has images."""
    level: int
    """The one that it works at."""
    runtime: bool
    """Whether weights are equalised in every call."""

    def transposed(self) -> list[bool]:
        """By level, whether the weight that doubles the resolution is one of a transposed convolution."""
        return [min(size) >= TRANSPOSED_FROM for size in sides(self.base, len(self.features))]


def sides(base: tuple[int, int], levels: int) -> list[tuple[int, int]]:
    """Height and width of each level, the smallest first."""
    return [(base[0] << level, base[1] << level) for level in range(levels)]


def level_of(owner: str, base: tuple[int, int], levels: int, start: int, height: int, width: int) -> int:
    """The level, from ``start`` on, whose images have this size.

    Raises:
        Mismatch: no level has; the sizes that there are, are listed.
    """
    legal = sides(base, levels)[start:]
    if (height, width) not in legal:
        there = ", ".join(f"{h}" if h == w else f"{h} x {w}" for h, w in legal)
        size = f"{height}" if height == width else f"{height} x {width}"
        raise Mismatch(
            f"{owner}: with {levels} levels from {base[0]} x {base[1]} it makes and reads images of {there}; "
            f"found {size}; choose one of those resolutions, or other levels or base"
        )
    return start + legal.index((height, width))


def check_halved(base: tuple[int, int]) -> None:
    """Refuse a lowest level that leaves less than two pixels when it is halved: they have no deviation.

    Raises:
        Mismatch: the halved level is too small.
    """
    height, width = base[0] // 2, base[1] // 2
    if height * width < 2:
        raise Mismatch(
            f"statistics are taken of the lowest level halved, and base = [{base[0]}, {base[1]}] leaves "
            f"{height} x {width} of it; choose a base that leaves two pixels or more, as [2, 4] or [4, 4] do"
        )


def widths(start: int, most: int, levels: int) -> list[int]:
    """Channels of each level, the smallest resolution first: ``min(most, start 2^(levels - 1 - level))``."""
    return [min(most, start << (levels - 1 - level)) for level in range(levels)]


def split_maps(base: tuple[int, int], level: int) -> list[tuple[int, int]]:
    """Sizes of one sample's noise maps in the order in which they are used: two a level, up to this one."""
    return [size for size in sides(base, level + 1) for _ in range(2)]


def noise_numbers(base: tuple[int, int], level: int) -> int:
    """Numbers of noise in all maps of one sample."""
    return sum(height * width for height, width in split_maps(base, level))
