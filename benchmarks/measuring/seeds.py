"""Figures of runs that differ in their seed, side by side for several settings: is a difference one of seeds?"""

from __future__ import annotations

import math
import statistics
from collections import abc

import attrs
from scipy import stats

REFERENCE = "float32"
CONFIDENCE = 0.95
Figures = abc.Mapping[str, float]
"""Of one run, by metric."""


@attrs.frozen(kw_only=True)
class Difference:
    """A metric under a setting, over seeds, and how far it is from that of the reference."""

    recipe: str
    metric: str
    setting: str
    mean: float
    deviation: float
    seeds: int
    difference: float = 0.0
    low: float = 0.0
    high: float = 0.0

    @property
    def within(self) -> bool:
        """Whether the interval of the difference holds 0; an interval that is not known holds it."""
        return not (self.low > 0 or self.high < 0)


def differences(recipe: str, runs: abc.Mapping[str, abc.Sequence[Figures]]) -> list[Difference]:
    """By metric and setting; ``runs`` are those of each setting, the reference among them.

    The interval is Welch's, of two means of unequal variance, with 95 %. Runs of one seed under two settings are not
    taken as pairs: training amplifies the first rounding until they have nothing in common.
    """
    metrics = dict.fromkeys(name for found in runs.values() for figures in found for name in figures)
    rows = []
    for metric in metrics:
        own = {name: [each[metric] for each in found if metric in each] for name, found in runs.items()}
        rows += [_difference(recipe, metric, name, own[name], own.get(REFERENCE, [])) for name in own if own[name]]
    return rows


def _difference(
    recipe: str, metric: str, setting: str, mine: abc.Sequence[float], reference: abc.Sequence[float]
) -> Difference:
    found = Difference(
        recipe=recipe, metric=metric, setting=setting, mean=statistics.mean(mine), seeds=len(mine),
        deviation=statistics.stdev(mine) if len(mine) > 1 else math.nan,
    )  # fmt: skip
    if setting == REFERENCE or not reference:
        return found
    difference = found.mean - statistics.mean(reference)
    if min(len(mine), len(reference)) < 2:
        return attrs.evolve(found, difference=difference, low=-math.inf, high=math.inf)
    if not statistics.variance(mine) + statistics.variance(reference):
        return attrs.evolve(found, difference=difference, low=difference, high=difference)
    interval = stats.ttest_ind(mine, reference, equal_var=False).confidence_interval(CONFIDENCE)
    return attrs.evolve(found, difference=difference, low=float(interval.low), high=float(interval.high))


def table(rows: abc.Sequence[Difference], minutes: abc.Mapping[tuple[str, str], float]) -> str:
    """In Markdown; ``minutes`` of training by recipe and setting."""
    lines = [
        "| system | metric | setting | mean ± deviation over seeds | seeds | less float32, 95 % | within seed noise | "
        "training, min |",
        "|---" * 8 + "|",
    ]
    for row in rows:
        known = math.isfinite(row.low)
        apart = f"{row.difference:+.3g} ({row.low:+.3g} to {row.high:+.3g})" if known else f"{row.difference:+.3g}"
        is_reference = row.setting == REFERENCE
        verdict = "" if is_reference else "yes" if known and row.within else "**no**" if known else "one seed only"
        deviation = f" ± {row.deviation:.2g}" if row.seeds > 1 else ""
        lines.append(
            f"| {row.recipe} | {row.metric} | {row.setting} | {row.mean:.4g}{deviation} | {row.seeds} | "
            f"{'' if is_reference else apart} | {verdict} | {minutes.get((row.recipe, row.setting), math.nan):.1f} |"
        )
    judged = [row for row in rows if row.setting != REFERENCE and math.isfinite(row.low)]
    outside = sum(not row.within for row in judged)
    lines.append(
        f"\n{outside} of {len(judged)} differences are beyond their interval of 95 %; by chance alone "
        f"{len(judged) * (1 - CONFIDENCE):.1f} would be."
    )
    return "\n".join(lines)
