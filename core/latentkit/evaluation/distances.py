"""Distances between two sets of features: Fréchet's, of Gaussians, and that of a kernel.

Fréchet: Heusel, Ramsauer, Unterthiner, Nessler, Hochreiter 2017, https://arxiv.org/abs/1706.08500, eq. 6. Kernel:
Binkowski, Sutherland, Arbel, Gretton 2018, https://arxiv.org/abs/1801.01401, section 4 and appendix A.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

DEGREE = 3
"""Of the polynomial kernel."""


def frechet(a: Tensor, b: Tensor) -> float:
    """Squared Fréchet distance of two Gaussians with the moments of these rows, float64 [n, d] and [m, d]; 0 or more.

    ``|mean_a - mean_b|^2 + tr(A + B - 2 (A^1/2 B A^1/2)^1/2)`` with covariances A, B (divided by n - 1).
    """
    first, second = torch.cov(a.T).reshape(a.shape[1], -1), torch.cov(b.T).reshape(b.shape[1], -1)
    values, vectors = torch.linalg.eigh(first)
    root = vectors @ (values.clamp(min=0).sqrt()[:, None] * vectors.T)
    cross = torch.linalg.eigvalsh(root @ second @ root).clamp(min=0).sqrt().sum()
    distance = (a.mean(0) - b.mean(0)).square().sum() + first.trace() + second.trace() - 2 * cross
    return max(float(distance), 0.0)


def squared_mmd(a: Tensor, b: Tensor) -> float:
    """Unbiased estimate of the squared maximum mean discrepancy, float64 [n, d] and [m, d] with n, m of 2 or more.

    ``mean_{i != j} k(a_i, a_j) + mean_{i != j} k(b_i, b_j) - 2 mean_{i, j} k(a_i, b_j)`` with ``k(x, y) =
    (x.y / d + 1)^3``. Being unbiased, it may be negative where the two sets are alike.
    """
    within = sum(_between_others(rows) for rows in (a, b))
    return within - 2 * float(_kernel(a, b).mean())


def kernel_distance(
    a: Tensor, b: Tensor, *, subsets: int, size: int, generator: torch.Generator
) -> tuple[float, float | None]:
    """Mean of :func:`squared_mmd` over random subsets of both sets, and the standard error of that mean.

    Args:
        a: float64 [n, d].
        b: float64 [m, d].
        subsets: how many; each is drawn without replacement.
        size: of each subset, from 2 to n and m.
        generator: that draws them, on the CPU.

    Returns:
        The mean, and its standard error over these subsets (``None`` of a single one), images given.
    """
    found = []
    for _ in range(subsets):
        chosen = [rows[torch.randperm(len(rows), generator=generator)[:size]] for rows in (a, b)]
        found.append(squared_mmd(*chosen))
    values = torch.tensor(found, dtype=torch.float64)
    error = float(values.std() / math.sqrt(subsets)) if subsets > 1 else None
    return float(values.mean()), error


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b.T / a.shape[1] + 1).pow(DEGREE)


def _between_others(rows: Tensor) -> float:
    kernel, count = _kernel(rows, rows), len(rows)
    return float((kernel.sum() - kernel.trace()) / (count * (count - 1)))
