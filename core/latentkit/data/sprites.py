"""White shapes on black with known factors, after dSprites (Matthey, Higgins, Hassabis, Lerchner 2017,
https://github.com/google-deepmind/dsprites-dataset).

Deviations: the factors are drawn and not a full grid, edges are smooth, and scale is the circumscribed circle's.
"""

from __future__ import annotations

import math
from collections import abc
from typing import ClassVar

import attrs
import numpy as np

from latentkit._memory import in_units, machine_memory
from latentkit.data.copulas import correlated, mixing
from latentkit.data.images import check_request
from latentkit.data.sprite_shapes import FACTORS, SHAPES, Floats, render
from latentkit.errors import DataError, nearest
from latentkit.interfaces import DataSource, Table

Pair = tuple[str, str, float]

SCALES = (0.25, 0.5)
_FACTOR_BYTES = 64  # of a sprite's random numbers, factors and label


def _shapes(_: object, field: attrs.Attribute[tuple[str, ...]], value: tuple[str, ...]) -> None:
    for name in value:
        if name not in SHAPES:
            hint = nearest(name, SHAPES)
            raise DataError(
                f"sprites: {field.name} must be among {', '.join(SHAPES)}, found '{name}'"
                + (f"\n  {hint}" if hint else "")
            )
    if not value or len(set(value)) != len(value):
        raise DataError(f"sprites: {field.name} must name at least one shape, each once, found {list(value)}")


def _scale(_: object, field: attrs.Attribute[tuple[float, float]], value: tuple[float, float]) -> None:
    if not 0 < value[0] <= value[1] < 1:
        raise DataError(f"sprites: {field.name} must be [smallest, largest] between 0 and 1, found {list(value)}")


def _positive(_: object, field: attrs.Attribute[int], value: int) -> None:
    if value < 1:
        raise DataError(f"sprites: {field.name} must be at least 1, found {value}")


def _seed(_: object, field: attrs.Attribute[int], value: int) -> None:
    if value < 0:
        raise DataError(f"sprites: {field.name} must be 0 or more, found {value}")


def _pairs(_: object, field: attrs.Attribute[tuple[Pair, ...]], value: tuple[Pair, ...]) -> None:
    where = f"sprites: {field.name}"
    for one, other, _correlation in value:
        for name in (one, other):
            if name not in FACTORS:
                hint = nearest(name, FACTORS)
                fact = f"{where} must be of two among {', '.join(FACTORS)}, found '{name}'"
                raise DataError(fact + (f"\n  {hint}" if hint else ""))
    mixing(_by_column(value), FACTORS, where)


def _by_column(pairs: abc.Iterable[Pair]) -> list[tuple[int, int, float]]:
    return [(FACTORS.index(one), FACTORS.index(other), correlation) for one, other, correlation in pairs]


@attrs.frozen(kw_only=True)
class Sprites(DataSource):
    """Sprites made by code, the same for the same ``seed``; more of them only add to the fewer.

    ``shapes`` restricts the shapes; ``label`` is the position in it, while ``factors`` count in ``SHAPES``.
    """

    native_size: ClassVar[tuple[int, int]] = (64, 64)
    native_channels: ClassVar[int] = 1

    count: int = attrs.field(default=10_000, validator=_positive)
    seed: int = attrs.field(default=0, validator=_seed)
    shapes: tuple[str, ...] = attrs.field(default=SHAPES, validator=_shapes)
    scale: tuple[float, float] = attrs.field(default=SCALES, validator=_scale)
    """Smallest and largest diameter over the shorter side of the image; large ones leave less room for positions."""
    correlate: tuple[Pair, ...] = attrs.field(default=(), validator=_pairs)
    """Pairs of factors that go together, each with its correlation: ``[["x", "scale", 0.8]]``."""

    def classes(self) -> int | None:
        """The number of shapes."""
        return len(self.shapes)

    def offers(self) -> tuple[str, ...]:
        """``image``, ``label`` and ``factors``."""
        return ("image", "label", "factors")

    def columns(self, field: str) -> tuple[str, ...]:
        """The shapes that ``label`` counts, and the names of ``factors``."""
        return {"label": self.shapes, "factors": FACTORS}.get(field, ())

    def open(self, height: int, width: int, channels: int) -> Table:
        """``image`` uint8 [n, channels, height, width]; ``label`` int64 [n]; ``factors`` float32 [n, 5].

        Raises:
            DataError: ``channels`` is not 1 or 3, a side is below 1, or they all do not fit into memory.
        """
        check_request(height, width, channels)
        size = self.count * (channels * height * width + _FACTOR_BYTES)
        if size > machine_memory():
            raise DataError(
                f"sprites: {self.count:,} images of {channels} x {height} x {width} take {in_units(size)}, "
                f"and this machine has {in_units(machine_memory())}; choose a smaller count or resolution"
            )
        drawn = factors(self.count, self.seed, self.shapes, self.scale, self.correlate)
        position = np.array([self.shapes.index(name) if name in self.shapes else -1 for name in SHAPES])
        image = render(drawn, height, width)
        image = image if channels == 1 else np.repeat(image, channels, axis=1)
        label = position[drawn[:, 0].astype(np.int64)].astype(np.int64)
        return Table({"image": image, "label": label, "factors": drawn})


def factors(
    count: int, seed: int = 0, shapes: tuple[str, ...] = SHAPES, scale: tuple[float, float] = SCALES,
    correlate: tuple[Pair, ...] = (),
) -> Floats:  # fmt: skip
    """Uniform factors, float32 [count, 5], in the order of ``FACTORS``; independent but for pairs that are named.

    Such a pair has the stated correlation (in [-1, 1], both ends excluded), and each of them is as uniform as alone.
    Of the shape, which is no number, it is that of the uniform number that chooses it.

    - shape: index in ``SHAPES``.
    - scale: diameter of the circumscribed circle around the centre of mass over the shorter side of the image, in
      the range ``scale``.
    - orientation: radians in [0, 2 pi), from the x axis towards the y axis (clockwise as seen). A square looks the
      same every pi / 2, an ellipse every pi.
    - x, y: centre of mass in an image that spans [-1, 1] either way; x to the right, y downward. As far from the
      middle as the largest shape may be and still be inside: 0.5 either way for scales up to 0.5.

    The first rows do not depend on ``count``.
    """
    uniform = np.random.default_rng(seed).random((count, len(FACTORS)), np.float32)
    if correlate:
        uniform = correlated(uniform, _by_column(correlate))
    chosen = np.array([SHAPES.index(name) for name in shapes], np.float32)
    index = chosen[(uniform[:, 0] * len(shapes)).astype(np.int64)]
    reach = 1 - scale[1]  # the largest circle, there, touches the edge
    low = np.array([scale[0], 0, -reach, -reach], np.float32)
    high = np.array([scale[1], 2 * math.pi, reach, reach], np.float32)
    return np.concatenate([index[:, None], low + uniform[:, 1:] * (high - low)], axis=1)
