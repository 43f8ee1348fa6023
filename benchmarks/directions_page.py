"""Tables of directions: means over seeds with standard deviations, and for each claim whether these numbers bear it."""

from __future__ import annotations

import itertools
import math
import statistics
from collections import abc
from typing import Any

Figures = abc.Mapping[str, abc.Sequence[abc.Mapping[str, Any]]]
"""Per system, what each seed gave."""
LABELS = {"horizontal-shift": "x-shift", "vertical-shift": "y-shift", "zoom": "scale"}


def page(figures: Figures) -> str:
    """Everything as Markdown."""
    betas = [name for name in figures if name.startswith("beta-vae")]
    parts = [control(figures), searches(figures), textures(figures)]
    if len(betas) > 1:
        parts.insert(1, precision(figures, betas))
    seconds = [run["seconds"] for runs in figures.values() for run in runs]
    times = {key: statistics.mean(item[key] for item in seconds) for key in ("training", "directions")}
    told = ", ".join(f"{key} {value:.0f} s" for key, value in times.items())
    return "\n\n".join([*parts, f"CPU time of a run, the mean: {told}."])


def control(figures: Figures) -> str:
    """Per system and direction, how what was measured follows what was asked."""
    head = (
        "system", "direction", "Spearman", "of each draw", "R²", "of each draw", "of the unit", "deviation",
        "drift of others",
    )  # fmt: skip
    keys, rows = ("spearman", "each", "r2", "r2-each", "identity", "std"), []
    for system, runs in figures.items():
        for name, label in LABELS.items():
            found = [run["control"][name] for run in runs]
            others = {key: _mean([item["drift"][key] for item in found]) for key in found[0]["drift"]}
            drift = ", ".join(f"{key} {value:.3f}" for key, value in others.items())
            rows.append((system, label, *(_both([item[key] for item in found]) for key in keys), drift))
    return _table(head, rows)


def precision(figures: Figures, betas: abc.Sequence[str]) -> str:
    """First claim: with a higher beta the controlled factor varies less between draws."""
    head, rows, falls, wins = ("deviation of the controlled factor", *betas, "lower at the highest"), [], [], []
    for name, label in LABELS.items():
        each = [[run["control"][name]["std"] for run in figures[system]] for system in betas]
        better = [last < first for first, last in zip(each[0], each[-1], strict=False)]
        wins += better
        falls.append(all(_mean(a) > _mean(b) for a, b in itertools.pairwise(each)))
        rows.append((label, *map(_both, each), f"{sum(better)} of {len(better)}"))
    said = f"{_verdict(wins)} From each beta to the next the mean falls for {sum(falls)} of {len(falls)} directions."
    return f"**A higher beta gives a lower deviation.** {said}\n\n{_table(head, rows)}"


def searches(figures: Figures) -> str:
    """Second claim: step by step is better than at once."""
    head = ("system", "squared error, step by step", "at once", "pixels missed, step by step", "at once", "better in")
    keys, rows, wins = ("many-squared", "once-squared", "many-pixels", "once-pixels"), [], []
    for system, runs in figures.items():
        found = [run["search"] for run in runs]
        better = [item["many-squared"] < item["once-squared"] for item in found]
        nearer = [item["many-pixels"] < item["once-pixels"] for item in found]
        wins += better + nearer
        values = [_both([item[key] for item in found]) for key in keys]
        rows.append((system, *values, f"{sum(better)} and {sum(nearer)} of {len(found)}"))
    return f"**Step by step beats one search.** {_verdict(wins)}\n\n{_table(head, rows)}"


def textures(figures: Figures) -> str:
    """Third claim: behind the filter texture does less harm."""
    head = (
        "system", "pixels missed, filtered", "plain", "without texture, filtered", "plain", "code moved, filtered",
        "plain", "better in",
    )  # fmt: skip
    keys = [f"{name}-{what}" for what in ("pixels", "clean-pixels", "code") for name in ("filtered", "plain")]
    rows, wins = [], []
    for system, runs in figures.items():
        found = [run["texture"] for run in runs]
        nearer = [item["filtered-pixels"] < item["plain-pixels"] for item in found]
        stiller = [item["filtered-code"] < item["plain-code"] for item in found]
        wins += nearer + stiller
        values = [_both([item[key] for item in found]) for key in keys]
        rows.append((system, *values, f"{sum(nearer)} and {sum(stiller)} of {len(found)}"))
    return f"**The filtered error beats plain squares under texture.** {_verdict(wins)}\n\n{_table(head, rows)}"


def _verdict(wins: abc.Sequence[bool]) -> str:
    share = sum(wins) / len(wins)
    what = "Holds" if share == 1 else "Holds mostly" if share >= 0.8 else "Does not hold throughout"
    return f"{what}: in {sum(wins)} of {len(wins)} comparisons."


def _mean(values: abc.Sequence[float]) -> float:
    return statistics.mean(values)


def _both(values: abc.Sequence[float | None]) -> str:
    known = [value for value in values if value is not None and not math.isnan(value)]
    if not known:
        return ""
    spread = f" ± {statistics.stdev(known):.2g}" if len(known) > 1 else ""
    return f"{_mean(known):.3g}{spread}"


def _table(head: abc.Sequence[str], rows: abc.Iterable[abc.Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
