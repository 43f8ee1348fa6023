"""How far a median could have been another: intervals from the rounds themselves."""

from __future__ import annotations

import statistics
from collections import abc

import attrs
import numpy as np

RESAMPLES = 4000
CONFIDENCE = 0.95


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
    """The median, with the percentile bootstrap's interval of 95 %; below six values, from the least to the largest."""
    middle = statistics.median(values)
    if len(values) < 6:
        return Estimate(value=middle, low=min(values), high=max(values))
    drawn = np.random.Generator(np.random.Philox(0)).choice(np.asarray(values), (RESAMPLES, len(values)))
    low, high = np.quantile(np.median(drawn, 1), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(value=middle, low=float(low), high=float(high))
