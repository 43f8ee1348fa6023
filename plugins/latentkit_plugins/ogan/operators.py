"""O-GAN, Su 2019, https://arxiv.org/abs/1903.01931: a code is avg(h) + std(h) N(h), three independent pieces.

The released code guards the length by its square, at least 1e-12; so does this, in N too.
"""

from __future__ import annotations

import math

from torch import Tensor

_LEAST_SQUARE = 1e-12


def avg(z: Tensor) -> Tensor:
    """Mean over coordinates, ``b n -> b``."""
    return z.mean(-1)


def std(z: Tensor) -> Tensor:
    """Population deviation over coordinates (divisor n), ``b n -> b``."""
    return z.std(-1, correction=0)


def N(z: Tensor) -> Tensor:  # noqa: N802  # the paper's letter
    """``(z - avg(z)) / std(z)``, on a sphere of radius sqrt(n) and dimension n - 2. ``b n -> b n``."""
    return math.sqrt(z.shape[-1]) * _direction(z)


def rho(a: Tensor, b: Tensor) -> Tensor:
    """Pearson correlation across the coordinates of two codes, ``b n, b n -> b``, in [-1, 1]."""
    return (_direction(a) * _direction(b)).sum(-1)


def _direction(z: Tensor) -> Tensor:
    centred = z - z.mean(-1, keepdim=True)  # b n
    return centred * centred.square().sum(-1, keepdim=True).clamp(min=_LEAST_SQUARE).rsqrt()
