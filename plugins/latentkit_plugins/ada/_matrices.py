"""Filters along one axis as matrices. Images go on beyond their edges as in mirrors that stand on the outermost pixels.

A matrix has reflection, filter and change of resolution in one. It needs no margin whose size would depend on what is
drawn.
"""

from __future__ import annotations

import torch
from torch import Tensor

SYM6 = (
    0.015404109327044824, 0.003490712084222163, -0.11799011114852003, -0.04831174258569805,
    0.49105594192797373, 0.7876411410286510, 0.33792942172816583, -0.07263752278637658,
    -0.021060292512370848, 0.04472490177078138, 0.0017677118642540077, -0.007800708325032380,
)  # fmt: skip
"""The symlet of six vanishing moments (Daubechies 1992, section 8.1): orthonormal, and of such filters the least
asymmetric. Its middle is taken to be its sixth tap."""
_MIDDLE = 5
LEAD = 5
"""Samples of twice the resolution that :func:`halving` wants before and after those of the image itself."""
_LOW = (-1 / 32, 0.0, 9 / 32, 16 / 32, 9 / 32, 0.0, -1 / 32)
"""H(z) H(1/z) / 2 of the symlet of two vanishing moments."""
_HIGH = (1 / 32, 0.0, -9 / 32, 16 / 32, -9 / 32, 0.0, 1 / 32)
"""H(-z) H(-1/z) / 2 of the same."""
BANDS = 4


def reflected(index: Tensor, size: int) -> Tensor:
    """Where the mirrors show what is beyond an edge: any whole number to 0 ... size - 1."""
    index = wrapped(index, period(size))
    return torch.minimum(index, period(size) - index)


def wrapped(place: Tensor, length: int) -> Tensor:
    """The remainder, 0 ... length; many times faster than torch's own."""
    return place - length * torch.floor(place / length).to(place.dtype)


def period(size: int) -> int:
    """After so many pixels a reflected axis repeats."""
    return max(2 * (size - 1), 1)


def doubling(size: int) -> Tensor:
    """``2 period + 1, size``: from an axis to all that its mirrors show, at twice the resolution, and the first again.

    Sample 2 i is where pixel i was: s[n] = sqrt(2) sum_i h[n + 5 - 2 i] x[i].
    """
    n, k = torch.arange(2 * period(size) + 1)[:, None], torch.arange(len(SYM6))
    double = n + _MIDDLE - k  # 2 i
    values = torch.where(double % 2 == 0, 2**0.5 * _column(SYM6), 0.0)
    return _filled(values, reflected(double.div(2, rounding_mode="floor"), size), size)


def halving(size: int) -> Tensor:
    """``size, 2 size + 10``: back from twice the resolution, with the same filter turned round.

    It undoes :func:`doubling`, for the filter is orthonormal: x[i] = sum_k h[k] s[2 i - 5 + k] / sqrt(2).
    """
    i, k = torch.arange(size)[:, None], torch.arange(len(SYM6))
    return _filled(_column(SYM6).expand(size, -1) / 2**0.5, 2 * i + k, 2 * (size + LEAD))


def bands(size: int) -> Tensor:
    """``bands, size, size``: an axis split into octaves, the lowest first; their sum is the axis itself."""
    matrices = []
    for taps in _band_taps():
        index = torch.arange(size)[:, None] + torch.arange(len(taps)) - len(taps) // 2
        matrices.append(_filled(_column(taps).expand(size, -1), reflected(index, size), size))
    return torch.stack(matrices)


def _band_taps() -> list[list[float]]:
    """The filters of the bands, all of one length: each octave below splits what the low one leaves."""
    found = [[float(band == 0)] for band in range(BANDS)]
    for band in range(1, BANDS):
        found = [_convolved(_stretched(taps), _LOW) for taps in found]
        start = (len(found[band]) - len(_HIGH)) // 2
        for offset, tap in enumerate(_HIGH):
            found[band][start + offset] += tap
    return found


def _stretched(taps: list[float]) -> list[float]:
    return [tap for pair in zip(taps, [0.0] * len(taps), strict=True) for tap in pair][:-1]


def _convolved(a: list[float], b: tuple[float, ...]) -> list[float]:
    found = [0.0] * (len(a) + len(b) - 1)
    for i, one in enumerate(a):
        for k, other in enumerate(b):
            found[i + k] += one * other
    return found


def _column(taps: tuple[float, ...] | list[float]) -> Tensor:
    return torch.tensor(taps, dtype=torch.float64)


def _filled(values: Tensor, index: Tensor, size: int) -> Tensor:
    """``rows size`` with the values, ``rows k``, added at their indices."""
    empty = torch.zeros(len(index), size, dtype=values.dtype)
    return empty.scatter_add(1, index, values)
