"""GAIA, Sainburg et al. 2018, https://arxiv.org/abs/1807.06650: what is far apart in images is so in codes.

The released code divides squared distances by their mean over the batch and takes natural logarithms; that is the
default. The other forms, binary logarithms and distances as they are, are options.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from latentkit.functions import regularizer

_LEAST = 1e-30
"""Under a mean distance: equal samples have relative distances of 0, and a finite gradient."""


def squared_distances(of: Tensor) -> Tensor:
    """Mean squared difference of every two samples, ``b ... -> b b``; 0 on the diagonal."""
    rows = of.reshape(len(of), -1)
    # One sample against all: all pairs at once would take b images for each image. And no matrix product of centred
    # samples: near 0 it has few digits left, and autocast would take it in bfloat16.
    return torch.stack([(rows - row).square().mean(1) for row in rows])


def relative_distances(of: Tensor) -> Tensor:
    """Squared distances in units of their mean over all b^2 pairs, ``b ... -> b b``; 0 where all samples are equal."""
    squares = squared_distances(of)
    return squares / squares.mean().clamp(min=_LEAST)


@regularizer("of: S, to: T -> scalar")
def distance(of: Tensor, to: Tensor, normalized: bool = True, base2: bool = False, mean: bool = True) -> Tensor:
    """Squared difference between the logarithms of pairwise distances, in images and in codes.

    ``(ln(1 + d(of)_ij) - ln(1 + d(to)_ij))^2`` over all pairs i, j, where d is the squared distance of two samples
    divided by its mean over all pairs. Neither scaling ``of`` nor scaling ``to`` then changes it.

    Args:
        of: samples, ``b ...``, usually images.
        to: their codes, ``b ...``.
        normalized: as above. Else d is the plain squared distance, summed over features.
        base2: binary logarithms: 1 / ln(2)^2 = 2.08 times as much.
        mean: over the b^2 pairs. Else their sum is divided by b.

    Returns:
        One number, at least 0, without unit. 0 for a batch of one.
    """
    logs = []
    for samples in (of, to):
        d = relative_distances(samples) if normalized else squared_distances(samples) * samples[0].numel()
        logs.append(d.log1p())
    squares = (logs[0] - logs[1]).square()
    total = squares.mean() if mean else squares.sum() / len(of)
    return total / math.log(2) ** 2 if base2 else total
