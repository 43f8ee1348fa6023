"""Penalties on gradients and weights. A recipe's weight carries factors such as gamma / 2."""

from __future__ import annotations

from collections import abc

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor

from latentkit.errors import Mismatch
from latentkit.functions import regularizer

_SQUARED_NORM_FLOOR = 1e-24
"""Keeps the square root differentiable at 0; below float64 resolution of any norm above 1e-4."""


@regularizer("gradient: T -> score")
def r1(gradient: Tensor) -> Tensor:
    """Squared norm of a gradient; on real samples R1, on fakes R2 (Mescheder et al. 2018, eq. 9).

    ``|grad D|^2`` of the score, not of its sigmoid. What makes it R1 or R2 is where a recipe takes it:
    ``of = "real", wrt = "x"`` or ``of = "fake", wrt = "x_fake"``. https://arxiv.org/abs/1801.04406

    Args:
        gradient: ``b ...``, derivative of the score with respect to the input.

    Returns:
        ``b``, summed over features, at least 0. The weight is gamma / 2; the authors' code leaves out the half.
    """
    return reduce(gradient.square(), "b ... -> b", "sum")


@regularizer("gradient: T -> score")
def gradient_penalty(gradient: Tensor, center: float = 1.0, one_sided: bool = False) -> Tensor:
    """Squared distance of a gradient's norm from ``center`` (Gulrajani et al. 2017, eq. 3).

    ``(|grad D| - center)^2``, the norm over all features. It is two-sided, unless ``one_sided`` (Petzka et al. 2018),
    and zero-centred with ``center`` 0. The published one is taken between samples, at ``lerp(x, detach(x_fake), t)``
    with one uniform t per sample. https://arxiv.org/abs/1704.00028

    Args:
        gradient: ``b ...``, derivative of the score with respect to the input.
        center: the norm that costs nothing.
        one_sided: only norms above ``center`` cost.

    Returns:
        ``b``, without the factor lambda. Its derivative is finite where the gradient vanishes.
    """
    excess = (reduce(gradient.square(), "b ... -> b", "sum") + _SQUARED_NORM_FLOOR).sqrt() - center
    return (F.relu(excess) if one_sided else excess).square()


@regularizer("gradient: T -> score")
def input_gradient(gradient: Tensor) -> Tensor:
    """Squared norm of a loss's gradient with respect to the input (Ross and Doshi-Velez 2018).

    ``|grad_x L(f(x), y)|^2``: where `r1` differentiates a score, here ``of`` is the loss itself, one number per
    sample, say a cross-entropy. https://arxiv.org/abs/1711.09404

    Args:
        gradient: ``b ...``, derivative of the loss with respect to the input.

    Returns:
        ``b``, summed over features, at least 0, in the squared unit of the loss per unit of the input.
    """
    return reduce(gradient.square(), "b ... -> b", "sum")


@regularizer("of: weights -> scalar")
def orthogonal(of: abc.Mapping[str, Tensor], full: bool = False) -> Tensor:
    """Squared inner products between the rows of weight matrices (Brock et al. 2019, eq. 3).

    ``sum |W W^T * (1 - I)|^2``, or with ``full`` ``sum |W W^T - I|^2``, their eq. 2. Released code for images adds half
    the gradient of the former: there a weight w is w / 2 here. https://arxiv.org/abs/1809.11096

    Args:
        of: parameters by name; those of two or more axes count, as ``out (rest)``.
        full: the diagonal counts too, as ``W W^T - 1``; else rows may have any length.

    Returns:
        One number, at least 0, summed over the weights.

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
