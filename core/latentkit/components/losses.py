"""Distances between two values, one number per sample."""

from __future__ import annotations

from einops import reduce
from torch import Tensor

from latentkit.functions import loss


@loss("of: T, to: T -> score", role="distance", unit="absolute", reduction="mean")
def l1(of: Tensor, to: Tensor) -> Tensor:
    """Absolute error, averaged over features.

    Args:
        of: ``b ...``.
        to: the target, of the same shape.

    Returns:
        ``b``, in the unit of the inputs.
    """
    return reduce((of - to).abs(), "b ... -> b", "mean")


@loss("of: T, to: T -> score", role="distance", unit="squared", reduction="mean")
def l2(of: Tensor, to: Tensor) -> Tensor:
    """Squared error, averaged over features.

    Args:
        of: ``b ...``.
        to: the target, of the same shape.

    Returns:
        ``b``, in the squared unit of the inputs.
    """
    return reduce((of - to).square(), "b ... -> b", "mean")


@loss("of: T, to: T -> score", role="distance", unit="squared", reduction="sum", likelihood="squared-error")
def sse(of: Tensor, to: Tensor) -> Tensor:
    """Squared error, summed over features (with weight 0.5 a unit Gaussian's negative log-likelihood).

    Args:
        of: ``b ...``.
        to: the target, of the same shape.

    Returns:
        ``b``, in the squared unit of the inputs.
    """
    return reduce((of - to).square(), "b ... -> b", "sum")
