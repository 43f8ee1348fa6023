"""White shapes on black with known factors, after dSprites (Matthey, Higgins, Hassabis, Lerchner 2017,
https://github.com/google-deepmind/dsprites-dataset).

Deviations: the factors are drawn and not a full grid, edges are smooth, and scale is the circumscribed circle's.
"""

from __future__ import annotations

import math
from typing import ClassVar

import attrs
import numpy as np

from latentkit._memory import in_units, machine_memory
from latentkit.data.images import Pixels, check_request
from latentkit.errors import DataError, nearest
from latentkit.interfaces import DataSource, Table

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float32]]

SHAPES = ("ellipse", "square", "heart")
FACTORS = ("shape", "scale", "orientation", "x", "y")
AREAS = (0.6 * math.pi, 2.0, 2.0703)
"""Area of each of ``SHAPES`` in units of the squared radius of its circumscribed circle."""

SCALES = (0.25, 0.5)
_FACTOR_BYTES = 64  # of a sprite's random numbers, factors and label
_CHUNK_PIXELS = 1 << 17  # so that the temporary arrays stay in the processor's cache

_ELLIPSE = 0.6  # minor axis over major axis
_HEART_CENTRE = 0.65666  # height of the centre of mass over the tip, which is also the circumscribed radius


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

    def classes(self) -> int | None:
        """The number of shapes."""
        return len(self.shapes)

    def offers(self) -> tuple[str, ...]:
        """``image``, ``label`` and ``factors``."""
        return ("image", "label", "factors")

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
        drawn = factors(self.count, self.seed, self.shapes, self.scale)
        position = np.array([self.shapes.index(name) if name in self.shapes else -1 for name in SHAPES])
        image = render(drawn, height, width)
        image = image if channels == 1 else np.repeat(image, channels, axis=1)
        label = position[drawn[:, 0].astype(np.int64)].astype(np.int64)
        return Table({"image": image, "label": label, "factors": drawn})


def factors(count: int, seed: int = 0, shapes: tuple[str, ...] = SHAPES, scale: tuple[float, float] = SCALES) -> Floats:
    """Independent uniform factors, float32 [count, 5], in the order of ``FACTORS``.

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
    chosen = np.array([SHAPES.index(name) for name in shapes], np.float32)
    index = chosen[(uniform[:, 0] * len(shapes)).astype(np.int64)]
    reach = 1 - scale[1]  # the largest circle, there, touches the edge
    low = np.array([scale[0], 0, -reach, -reach], np.float32)
    high = np.array([scale[1], 2 * math.pi, reach, reach], np.float32)
    return np.concatenate([index[:, None], low + uniform[:, 1:] * (high - low)], axis=1)


def render(factors: Floats, height: int, width: int) -> Pixels:
    """Pictures uint8 [n, 1, height, width] of float [n, 5]; a shape that leaves the image is cut off.

    The edge falls from white to black over one pixel, by the distance to it: nearly the covered share of the pixel.

    Raises:
        DataError: not [n, 5], a shape index that is not in ``SHAPES``, a scale that is not positive, a number that is
            not finite, or a side is below 1.
    """
    check_request(height, width, 1)
    if factors.ndim != 2 or factors.shape[1] != len(FACTORS):
        raise DataError(f"sprites: expected factors [n, {len(FACTORS)}], found shape {list(factors.shape)}")
    if not np.isin(factors[:, 0], np.arange(len(SHAPES))).all():
        raise DataError(f"sprites: expected shape indices 0 to {len(SHAPES) - 1} in the first factor")
    if not (np.isfinite(factors).all() and (factors[:, 1] > 0).all()):
        raise DataError("sprites: expected finite factors, and scales above 0 in the second one")
    result = np.empty((len(factors), 1, height, width), np.uint8)
    step = max(1, _CHUNK_PIXELS // (height * width))
    for index, distance in enumerate((_ellipse, _square, _heart)):
        rows = np.flatnonzero(factors[:, 0] == index)
        for start in range(0, len(rows), step):
            some = rows[start : start + step]
            u, v, pixels = _own_axes(factors[some].astype(np.float32), height, width)
            covered = np.clip(0.5 - distance(u, v) * pixels, 0, 1)  # n h w
            result[some, 0] = covered * np.float32(255) + np.float32(0.5)
    return result


def _own_axes(factors: Floats, height: int, width: int) -> tuple[Floats, Floats, Floats]:
    """Pixel centres in each sprite's own axes, circumscribed radius 1 [n, h, w]; that radius in pixels [n, 1, 1]."""
    radius, angle, x, y = factors[:, 1:, None].transpose(1, 0, 2)  # n 1; half the image's shorter side is 1
    shorter = min(height, width)
    along, down = (
        (_centres(size) - place) * (size / shorter) / radius for size, place in ((width, x), (height, y))
    )  # n w, n h
    cos, sin = np.cos(angle), np.sin(angle)
    u = (cos * along)[:, None, :] + (sin * down)[:, :, None]
    v = (cos * down)[:, :, None] - (sin * along)[:, None, :]
    return u, v, (radius * (shorter / 2))[:, :, None].astype(np.float32)


def _centres(size: int) -> Floats:
    """Of pixels along one side, which spans [-1, 1]."""
    return np.asarray((2 * np.arange(size, dtype=np.float32) + 1) / size - 1)


def _ellipse(u: Floats, v: Floats) -> Floats:
    # Implicit function over the length of its gradient: the distance to first order, exact on the edge.
    uu, vv = u * u, v * v * np.float32(_ELLIPSE**-2)
    value = np.sqrt(uu + vv) + np.float32(1e-6)
    slope = np.sqrt(uu + vv * np.float32(_ELLIPSE**-2)) + np.float32(1e-6)
    return (value - 1) * value / slope


def _square(u: Floats, v: Floats) -> Floats:
    return np.maximum(np.abs(u), np.abs(v)) - np.float32(math.sqrt(0.5))


def _heart(u: Floats, v: Floats) -> Floats:
    # A square on its tip with half a disc on each upper side (I. Quilez, https://iquilezles.org/articles/distfunctions2d).
    a, b = np.abs(u) * np.float32(_HEART_CENTRE), (1 - v) * np.float32(_HEART_CENTRE)
    disc = np.hypot(a - np.float32(0.25), b - np.float32(0.75)) - np.float32(math.sqrt(2) / 4)
    nearest_on_side = np.maximum(a + b, 0) * np.float32(0.5)
    side = (a - nearest_on_side) ** 2 + (b - nearest_on_side) ** 2
    notch = a * a + (b - 1) ** 2
    inner = np.copysign(np.sqrt(np.minimum(side, notch)), a - b)
    result: Floats = np.where(a + b > 1, disc, inner).astype(np.float32, copy=False)
    return result / np.float32(_HEART_CENTRE)
