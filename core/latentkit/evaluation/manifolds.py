"""How far two sets of features cover each other: precision and recall, density and coverage.

A set stands for the union of balls around its rows, each as wide as the distance to the row's k-th neighbour within the
set. Kynkäänniemi, Karras, Laine, Lehtinen, Aila 2019, https://arxiv.org/abs/1904.06991, eq. 1 and 2: closed balls,
k = 3. Naeem, Oh, Uh, Choi, Yoo 2020, https://arxiv.org/abs/2002.09797, eq. 3 and 4: open balls, as in its released
code, and k = 5.
"""

from __future__ import annotations

from collections import abc

import attrs
import torch
from torch import Tensor

NEAREST, NEAREST_DENSITY = 3, 5
"""k of precision and recall, and of density and coverage."""
LEAST = NEAREST_DENSITY + 1
"""Rows without which there is no k-th neighbour."""
_MOST_NUMBERS = 2**22
"""Distances in memory at once (32 MiB of float64)."""


@attrs.frozen(kw_only=True)
class Cover:
    """Shares of rows, all but the density in [0, 1]."""

    precision: float
    """Made rows within the real set's balls."""
    recall: float
    """Real rows within the made set's balls."""
    density: float
    """Real balls that a made row lies in, on average, divided by k; 1 where the sets are alike."""
    coverage: float
    """Real balls with a made row in them."""


def cover(real: Tensor, made: Tensor, k: int = NEAREST, k_density: int = NEAREST_DENSITY) -> Cover:
    """Precision, recall, density and coverage of two sets of rows, float64 [n, d] and [m, d].

    Distances are Euclidean and exact, n m numbers of d terms each. Memory is bounded: never more than some million of
    them are held.

    Args:
        real: more than ``k`` and ``k_density`` rows.
        made: likewise.
        k: neighbours of precision and recall.
        k_density: neighbours of density and coverage.
    """
    wide = max(k, k_density)
    near, near_made = _nearest(real, wide), _nearest(made, k)
    radii, radii_made, radii_density = near[:, k - 1], near_made[:, k - 1], near[:, k_density - 1]
    precise = torch.zeros(len(made), dtype=torch.bool, device=real.device)
    recalled, covered, inside = 0, 0, 0
    for rows, distances in _between(real, made):  # some real rows, all made rows
        precise |= (distances <= radii[rows, None]).any(0)
        recalled += int((distances <= radii_made[None]).any(1).sum())
        balls = distances < radii_density[rows, None]
        inside += int(balls.sum())
        covered += int(balls.any(1).sum())
    return Cover(
        precision=float(precise.double().mean()), recall=recalled / len(real),
        density=inside / (k_density * len(made)), coverage=covered / len(real),
    )  # fmt: skip


def _nearest(rows: Tensor, k: int) -> Tensor:
    """Distances of each row to its nearest others, rising: [n, d] to [n, k]."""
    found = []
    for part, distances in _between(rows, rows):
        # The row itself is left out by its place, not by its distance, which duplicates have too.
        places = torch.arange(len(rows), device=rows.device)[part]
        distances[torch.arange(len(places), device=rows.device), places] = torch.inf
        found.append(distances.topk(k, dim=1, largest=False, sorted=True).values)
    return torch.cat(found)


def _between(a: Tensor, b: Tensor) -> abc.Iterator[tuple[slice, Tensor]]:
    step = max(1, _MOST_NUMBERS // len(b))
    for start in range(0, len(a), step):
        part = slice(start, min(start + step, len(a)))
        # By differences: products would lose the digits by which equal rows have distance 0.
        yield part, torch.cdist(a[part], b, compute_mode="donot_use_mm_for_euclid_dist")
