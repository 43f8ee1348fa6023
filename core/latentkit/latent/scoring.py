"""How closely measured values, [k, n] and NaN where there are none, follow k places that were asked for."""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor

from latentkit._optional import of_sklearn


def correlation(places: Tensor, values: Tensor) -> float:
    """Spearman's rank correlation, ties at their mean rank, of all values together; NaN where all are the same."""
    asked, found = _known(places, values)
    return _spearman(asked, found)


def mean_correlation(places: Tensor, values: Tensor) -> float:
    """The mean of each column's rank correlation; columns that have none, as they do not change, are left out."""
    each = [_spearman(*_known(places, column[:, None])) for column in values.T]
    known = [value for value in each if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def determined(places: Tensor, values: Tensor) -> float:
    """``R^2`` of the least-squares line of values on places."""
    asked, found = _known(places, values)
    if _still(asked) or _still(found):
        return math.nan
    return float(torch.corrcoef(torch.stack([asked, found]))[0, 1].square())


def same_slope(places: Tensor, values: Tensor, slope: float) -> float:
    """``R^2`` of the line of this slope that passes through the middle of all; below 0 where a constant is nearer."""
    asked, found = _known(places, values)
    if _still(found):
        return math.nan
    left = found - found.mean() - slope * (asked - asked.mean())
    return float(1 - left.square().sum() / (found - found.mean()).square().sum())


def _known(places: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    known = ~values.isnan()
    return places[:, None].expand_as(values)[known].double(), values[known].double()


def _still(values: Tensor) -> bool:
    return len(values) < 3 or float(values.max() - values.min()) == 0


def _spearman(asked: Tensor, found: Tensor) -> float:
    if _still(asked) or _still(found):
        return math.nan
    stats = of_sklearn("scipy.stats", "rank correlations need")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(stats.spearmanr(asked.numpy(), found.numpy()).statistic)
