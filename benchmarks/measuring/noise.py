"""How far a median could have been another: intervals from the rounds themselves."""

from __future__ import annotations

import math
import statistics
from collections import abc

import attrs
import numpy as np

RESAMPLES = 4000
CONFIDENCE = 0.95
FEW = 6


@attrs.frozen(kw_only=True)
class Estimate:
    """A median and an interval about it."""

    value: float
    low: float
    high: float

    def scaled(self, factor: float) -> Estimate:
        """In another unit."""
        return Estimate(value=self.value * factor, low=self.low * factor, high=self.high * factor)


def median_of(values: abc.Sequence[float]) -> Estimate:
    """The median of positive values, with an interval of 95 % by the percentile bootstrap.

    Of less than six values an interval twice as wide (in logarithms) as they are, and of one value none.
    """
    middle = statistics.median(values)
    if len(values) == 1:
        return Estimate(value=middle, low=0.0, high=math.inf)
    if len(values) < FEW:
        low, high = min(values), max(values)
        return Estimate(value=middle, low=low * math.sqrt(low / high), high=high * math.sqrt(high / low))
    drawn = np.random.Generator(np.random.Philox(0)).choice(np.asarray(values), (RESAMPLES, len(values)))
    low, high = np.quantile(np.median(drawn, 1), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(value=middle, low=float(low), high=float(high))
