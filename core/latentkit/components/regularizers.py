"""Penalties on gradients and weights. A recipe's weight carries factors such as gamma / 2."""

from __future__ import annotations

from collections import abc

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor

from latentkit.errors import Mismatch
from latentkit.stateless import regularizer

_SQUARED_NORM_FLOOR = 1e-24
"""Keeps the square root differentiable at 0; below float64 resolution of any norm above 1e-4."""


@regularizer("gradient: T -> score")
def r1(gradient: Tensor) -> Tensor:
    """Squared norm of a gradient; on real samples R1, on fakes R2 (Mescheder et al. 2018, eq. 9).

    Args:
        gradient: ``b ...``, derivative of the score with respect to the input.

    Returns:
        ``b``, summed over features, without gamma / 2.
    """
    return reduce(gradient.square(), "b ... -> b", "sum")


@regularizer("gradient: T -> score")
def gradient_penalty(gradient: Tensor, center: float = 1.0, one_sided: bool = False) -> Tensor:
    """Squared distance of a gradient's norm from ``center`` (Gulrajani et al. 2017, eq. 3).

    Args:
        gradient: ``b ...``, derivative of the score with respect to the input.
        center: the norm that costs nothing.
        one_sided: only norms above ``center`` cost.

    Returns:
        ``b``, without the factor lambda. Its derivative is finite where the gradient vanishes.
    """
    excess = (reduce(gradient.square(), "b ... -> b", "sum") + _SQUARED_NORM_FLOOR).sqrt() - center
    return (F.relu(excess) if one_sided else excess).square()


@regularizer("of: weights -> scalar")
def orthogonal(of: abc.Mapping[str, Tensor], full: bool = False) -> Tensor:
    """Squared inner products between the rows of weight matrices (Brock et al. 2019, eq. 3).

    Args:
        of: parameters by name; those of two or more axes count, as ``out (rest)``.
        full: the diagonal counts too, as ``W W^T - 1``; else rows may have any length.

    Returns:
        One number, summed over the weights.

    Raises:
        Mismatch: no parameter has two axes.
    """
    terms = [_off_orthogonal(weight, full) for weight in of.values() if weight.ndim >= 2]
    if not terms:
        raise Mismatch("orthogonal: expected parameters of two or more axes, found none")
    return torch.stack(terms).sum()


def _off_orthogonal(weight: Tensor, full: bool) -> Tensor:
    rows = rearrange(weight, "o ... -> o (...)")
    products = rows @ rows.T  # o o
    one = torch.eye(len(rows), dtype=rows.dtype, device=rows.device)
    return (products - one if full else products * (1 - one)).square().sum()
