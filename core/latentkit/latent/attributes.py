"""Vectors in latent space that stand for attributes of images, and how far they are mixed up with each other.

Differences of means are White 2016, https://arxiv.org/abs/1609.04468; least squares on all attributes at once Sainburg,
Thielk, Theilman, Migliori and Gentner 2018, https://arxiv.org/abs/1807.06650. With one attribute both are the same. Of
attributes that go together (age and sex in portraits) a difference of means has both, least squares what each adds.
"""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from latentkit.errors import LatentkitError


@attrs.frozen(kw_only=True, eq=False)
class AttributeVectors:
    """``z ~ attributes @ vectors + bias``, fitted by least squares.

    Attributes:
        vectors: [k, dim]; adding one changes its attribute from 0 to 1.
        bias: the code of no attribute, [dim].
    """

    vectors: Tensor
    bias: Tensor


def mean_differences(z: Tensor, attributes: Tensor) -> Tensor:
    """Per attribute, the mean of codes that have it minus the mean of those that have not.

    Args:
        z: [n, dim].
        attributes: [n, k], 0 or 1.

    Returns:
        [k, dim].

    Raises:
        LatentkitError: other values, another n, or an attribute that all or none have.
    """
    _check(z, attributes)
    if not ((attributes == 0) | (attributes == 1)).all():
        raise LatentkitError("attributes: expected 0 or 1 for differences of means; other values need least squares")
    having = attributes.to(z.dtype).T  # k n
    counts = having.sum(1, keepdim=True)
    constant = [i for i, count in enumerate(counts.flatten().tolist()) if count in (0, len(z))]
    if constant:
        raise LatentkitError(f"attributes: expected codes with and without each, found only one of both for {constant}")
    return having @ z / counts - (1 - having) @ z / (len(z) - counts)


def least_squares(z: Tensor, attributes: Tensor) -> AttributeVectors:
    """Vectors of all attributes at once, and an intercept, in float64 on the CPU; the result is as ``z``.

    Args:
        z: [n, dim].
        attributes: [n, k], any numbers.

    Raises:
        LatentkitError: another n; attributes that others of them determine, or that are the same for all.
    """
    _check(z, attributes)
    regressors = attributes.detach().cpu().double()
    design = torch.cat([regressors, torch.ones_like(regressors[:, :1])], 1)  # n (k + 1)
    # Rank before the solution: the solver that finds both is not on every device, and its answer is one of many.
    rank = int(torch.linalg.matrix_rank(design))
    if rank < design.shape[1]:
        raise LatentkitError(
            f"attributes: expected {attributes.shape[1]} that differ between codes and do not follow from each other, "
            f"found {max(rank - 1, 0)}; leave the others out"
        )
    solution = torch.linalg.lstsq(design, z.detach().cpu().double()).solution.to(z)
    return AttributeVectors(vectors=solution[:-1], bias=solution[-1])


def cosines(vectors: Tensor, others: Tensor | None = None) -> Tensor:
    """Cosines of the angles between vectors, or from each to each of others: [k, dim], [m, dim] to [k, m].

    Of attribute vectors this is the entanglement by geometry: 0 where an edit leaves the other attribute's boundary as
    far as it was (Shen, Gu, Tang, Zhou 2020, https://arxiv.org/abs/1907.10786).
    """
    others = vectors if others is None else others
    return torch.nn.functional.normalize(vectors, dim=1) @ torch.nn.functional.normalize(others, dim=1).T


def entanglement(scores: Tensor, edited: Tensor) -> Tensor:
    """Change of every attribute by the edit of each, as a share of the change of the one that was meant.

    Entanglement by what a classifier sees: the identity where edits change nothing else (as rescoring in Shen et al.).

    Args:
        scores: of the images before, [n, k].
        edited: after the edit of each attribute, [k, n, k].

    Returns:
        [k, k], a row per edit, ones on the diagonal; where an edit does not change its own score, no finite row.

    Raises:
        LatentkitError: other sizes.
    """
    k = scores.shape[-1]
    if scores.ndim != 2 or edited.shape != (k, *scores.shape):
        raise LatentkitError(
            f"entanglement: expected scores [n, k] and edited ones [k, n, k], found {list(scores.shape)} and "
            f"{list(edited.shape)}"
        )
    change = (edited - scores).mean(1)  # k k
    return change / change.diagonal()[:, None]


def _check(z: Tensor, attributes: Tensor) -> None:
    if z.ndim != 2 or attributes.ndim != 2 or len(z) != len(attributes) or not z.numel() or not attributes.numel():
        raise LatentkitError(
            f"attributes: expected codes [n, dim] and attributes [n, k], found {list(z.shape)} and "
            f"{list(attributes.shape)}"
        )
