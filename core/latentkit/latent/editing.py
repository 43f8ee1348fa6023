"""Moving codes along a direction, keeping them where the prior is, and where in a code a direction acts.

Plumerault, Le Borgne, Hudelot 2020, https://arxiv.org/abs/2001.10238, as in its released code.
"""

from __future__ import annotations

import math
from collections import abc

import torch
from torch import Tensor

from latentkit.errors import LatentkitError

_OFF = 1e-3
"""How far from 1 the length of a unit vector may be, which a file with six decimals keeps."""


def coordinate(z: Tensor, u: Tensor) -> Tensor:
    """``<z, u>``: ``... dim`` and ``dim`` to ``...``."""
    return z @ u


def with_coordinate(z: Tensor, u: Tensor, alphas: Tensor) -> Tensor:
    """``z - <z, u> u + alpha u``: codes with each of some coordinates along u, in place of what theirs was.

    Args:
        z: [n, dim].
        u: [dim], of length 1.
        alphas: [k].

    Returns:
        [k, n, dim].

    Raises:
        LatentkitError: u is not of length 1.
    """
    length = float(torch.linalg.vector_norm(u))
    if not abs(length - 1) < _OFF:
        raise LatentkitError(f"direction: expected a vector of length 1, found {length:g}; divide it by its length")
    return without(z, u) + alphas[:, None, None] * u


def without(z: Tensor, u: Tensor) -> Tensor:
    """``z - <z, u> u``, what of codes is across u: [n, dim] and [dim], of length 1, to [n, dim]."""
    return z - coordinate(z, u)[:, None] * u


def moved(z: Tensor, vector: Tensor, extent: float) -> Tensor:
    """``z + extent vector``, relative to where codes are: ``... dim`` and ``dim`` to ``... dim``."""
    return z + extent * vector


def within_norm(z: Tensor, limit: float | None = None) -> Tensor:
    """Codes scaled down to a length, where they are longer: [n, dim] to [n, dim].

    Args:
        z: [n, dim].
        limit: the length; the root of dim, where nothing is given, as the mean of ``|z|^2`` under N(0, I) is dim.
    """
    limit = math.sqrt(z.shape[-1]) if limit is None else limit
    # Of short codes the factor is 1; of 0, whose quotient is infinite, too.
    length: Tensor = torch.linalg.vector_norm(z, dim=-1, keepdim=True)
    return z * (limit / length).clamp(max=1)


def chunk_norms(u: Tensor, sizes: abc.Sequence[int]) -> Tensor:
    """Length of each of a direction's consecutive pieces: where a generator takes its code in pieces, say.

    Args:
        u: [dim].
        sizes: of the pieces, of sum dim.

    Returns:
        [len(sizes)].

    Raises:
        LatentkitError: sizes of another sum.
    """
    if sum(sizes) != len(u) or min(sizes, default=0) < 1:
        raise LatentkitError(f"chunks: expected sizes of sum {len(u)}, found {list(sizes)} of sum {sum(sizes)}")
    return torch.stack([torch.linalg.vector_norm(piece) for piece in torch.split(u, list(sizes))])
