"""Widths of the maps, and which resolutions there are."""

from __future__ import annotations

import attrs

from latentkit.errors import Mismatch

BASE = 4
"""Side of the generator's first map."""
_WIDTHS: dict[int, tuple[tuple[int, ...], tuple[int, ...]]] = {
    8: ((4, 4), (4, 4)),
    16: ((4, 4, 4), (4, 4, 4)),
    32: ((4, 4, 4, 4), (4, 4, 4, 4)),
    64: ((16, 16, 8, 4, 2), (1, 2, 4, 8, 16)),
    128: ((16, 16, 8, 4, 2, 1), (1, 2, 4, 8, 16, 16)),
    256: ((16, 16, 8, 8, 4, 2, 1), (1, 2, 4, 8, 8, 16, 16)),
}
"""By resolution, in units of ``channels_base``: the generator's maps of side 4, 8, ..., and those that the
discriminator's blocks make. From 32 on they are the released ones; 8 and 16 continue them downward."""
_FEW_HALVINGS = 2
"""Of the discriminator where all widths are the same: its last blocks see 8 x 8, as in the released one for 32."""


@attrs.frozen
class Maps:
    """Maps in the order in which they are computed: channels and side of each."""

    widths: tuple[int, ...]
    sides: tuple[int, ...]

    def attended(self, side: int) -> int | None:
        """The first map of this side, if there is one."""
        return self.sides.index(side) if side in self.sides else None


def _known(height: int, width: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if height != width or height not in _WIDTHS:
        sides = [str(side) for side in _WIDTHS]
        raise Mismatch(
            f"biggan: image of {height} x {width}; expected a square of side {', '.join(sides[:-1])} or {sides[-1]}; "
            f"choose such a data.resolution"
        )
    return _WIDTHS[height]


def up_maps(height: int, width: int, base: int) -> Maps:
    """The generator's maps: one of side 4, and then what each block makes.

    Raises:
        Mismatch: no square of side 8, 16, ..., 256.
    """
    units, _ = _known(height, width)
    return Maps(tuple(unit * base for unit in units), tuple(BASE << level for level in range(len(units))))


def down_maps(height: int, width: int, base: int) -> Maps:
    """What each of the discriminator's blocks makes; one that does not halve the side repeats it.

    Raises:
        Mismatch: no square of side 8, 16, ..., 256.
    """
    _, units = _known(height, width)
    halvings = len(units) - 1
    if len(set(units)) == 1:
        halvings = min(halvings, _FEW_HALVINGS)
    sides = tuple(height >> min(level + 1, halvings) for level in range(len(units)))
    return Maps(tuple(unit * base for unit in units), sides)
