"""Directions that nobody has asked for: those along which a model's features, or a layer's response, vary the most.

Principal components: Härkönen, Hertzmann, Lehtinen, Paris 2020, https://arxiv.org/abs/2004.02546. Closed form: Shen and
Zhou 2021, https://arxiv.org/abs/2007.06600.
"""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from latentkit.errors import LatentkitError


@attrs.frozen(kw_only=True, eq=False)
class Found:
    """Directions, the strongest first.

    Attributes:
        directions: of length 1, [k, dim]. Of u and -u it is the one whose largest coordinate is above 0.
        strengths: how much is along each, in the finder's unit, [k].
    """

    directions: Tensor
    strengths: Tensor


def principal_axes(rows: Tensor, count: int) -> Found:
    """Of rows that are codes (mapped latents, say), [n, dim]: the axes of their largest spread about their mean.

    Strengths are standard deviations, population. Where rows are a layer's features, :func:`pulled_back` has the
    directions of the codes they were made of.

    Raises:
        LatentkitError: a matrix that is none or not finite, or more directions than there can be.
    """
    _check("principal axes", rows, count, min(len(rows) - 1, rows.shape[-1]))
    _, values, axes = torch.linalg.svd(rows - rows.mean(0), full_matrices=False)
    return Found(directions=_signed(axes[:count]), strengths=values[:count] / len(rows) ** 0.5)


def closed_form_axes(weights: Tensor, count: int, *, unit_rows: bool = True) -> Found:
    """Of the weights [outputs, dim] of the layer that reads a code: along which its outputs change the most.

    These are eigenvectors of ``A' A`` in the order of their eigenvalues, which are the strengths. Of several layers the
    weights are stacked.

    Args:
        weights: [outputs, dim].
        count: how many.
        unit_rows: every output counts alike, as in the released code, whose order of directions is not sorted.

    Raises:
        LatentkitError: a matrix that is none or not finite, or more directions than there can be.
    """
    _check("closed form", weights, count, min(weights.shape))
    if unit_rows:
        weights = torch.nn.functional.normalize(weights, dim=1)
    # The singular values' squares are the eigenvalues, to twice the digits.
    _, values, axes = torch.linalg.svd(weights, full_matrices=False)
    return Found(directions=_signed(axes[:count]), strengths=values[:count].square())


def pulled_back(found: Found, features: Tensor, codes: Tensor) -> Found:
    """Directions of codes that go with directions of the features made of them: least squares of code on coordinate.

    Args:
        found: in features, [k, f].
        features: [n, f].
        codes: that they were made of, [n, dim].

    Returns:
        [k, dim], with the same strengths; each keeps the sign of the feature's direction.

    Raises:
        LatentkitError: sizes that do not agree, or no more samples than directions.
    """
    k = len(found.directions)
    if len(features) != len(codes) or features.shape[1:] != found.directions.shape[1:] or len(codes) <= k:
        raise LatentkitError(
            f"directions: expected features [n, {found.directions.shape[1]}] and codes [n, dim], n above {k}, "
            f"found {list(features.shape)} and {list(codes.shape)}"
        )
    coordinates = (features - features.mean(0)) @ found.directions.T  # n k
    solution = torch.linalg.lstsq(coordinates, codes - codes.mean(0)).solution  # k dim
    return Found(directions=torch.nn.functional.normalize(solution, dim=1), strengths=found.strengths)


def _check(what: str, matrix: Tensor, count: int, most: int) -> None:
    if matrix.ndim != 2 or not matrix.numel() or not matrix.isfinite().all():
        raise LatentkitError(f"{what}: expected a finite matrix [rows, dim], found {list(matrix.shape)}")
    if not 1 <= count <= most:
        raise LatentkitError(f"{what}: expected 1 to {most} directions of a matrix {list(matrix.shape)}, found {count}")


def _signed(directions: Tensor) -> Tensor:
    """The sign of an axis is arbitrary, and differs between libraries."""
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    return directions * largest.sign()
