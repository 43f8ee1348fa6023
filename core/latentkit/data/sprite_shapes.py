"""Pictures of sprites from their factors: ellipse, square and heart, white on black."""

from __future__ import annotations

import math

import numpy as np

from latentkit.data.images import Pixels, check_request
from latentkit.errors import DataError

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float32]]

SHAPES = ("ellipse", "square", "heart")
FACTORS = ("shape", "scale", "orientation", "x", "y")
AREAS = (0.6 * math.pi, 2.0, 2.0703)
"""Area of each of ``SHAPES`` in units of the squared radius of its circumscribed circle."""

_CHUNK_PIXELS = 1 << 17  # so that the temporary arrays stay in the processor's cache

_ELLIPSE = 0.6  # minor axis over major axis
_HEART_CENTRE = 0.65666  # height of the centre of mass over the tip, which is also the circumscribed radius


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
