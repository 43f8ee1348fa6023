"""Two commits side by side: which figures moved by more than the noise of both."""

from __future__ import annotations

import math
from collections import abc

import attrs

from measuring.rows import MEASURES, Results, Row
from measuring.systems import AGAIN

LEAST = 0.02
"""A figure that moved by less is not worth a line."""
STEPWISE = ("time", "limit", "checkpoint")
"""Measures that a loop entered twice says the noise of."""


@attrs.frozen(kw_only=True)
class Moved:
    """A figure of both, and how far apart they could be by noise alone."""

    before: Row
    after: Row
    noise: float
    """In logarithms."""

    @property
    def distance(self) -> float:
        """Of the logarithms."""
        return math.log(self.after.value / self.before.value)

    @property
    def beyond(self) -> bool:
        """Whether noise does not explain it."""
        return abs(self.distance) > max(self.noise, LEAST)


def compared(before: Results, after: Results) -> tuple[list[Moved], list[Row]]:
    """Every figure that both have, and those that only one has."""
    old, new = ({row.key: row for row in each.rows} for each in (before, after))
    floors = [_floors(each.rows) for each in (before, after)]
    pairs = [
        Moved(before=old[key], after=new[key], noise=_noise(old[key], new[key], floors)) for key in old if key in new
    ]
    return pairs, [row for key, row in {**old, **new}.items() if key not in old or key not in new]


def _floors(rows: abc.Iterable[Row]) -> dict[tuple[str, int], float]:
    """By system and threads, how far from 1 the ratio of a loop to itself may be."""
    return {
        (row.system, row.threads): max(abs(math.log(row.low)), abs(math.log(row.high)))
        for row in rows
        if row.setting == AGAIN and row.measure == "time"
    }


def _noise(before: Row, after: Row, floors: abc.Sequence[abc.Mapping[tuple[str, int], float]]) -> float:
    """Half widths of both intervals and, for step times, both loops' own, as independent errors add."""
    if not before.low or not after.low:
        return math.inf  # measured once
    halves = [math.log(row.high / row.low) / 2 for row in (before, after)]
    if before.measure in STEPWISE:
        halves += [each.get((before.system, before.threads), 0.0) for each in floors]
    return math.hypot(*halves)


def page(before: Results, after: Results) -> str:
    """What to say of two files."""
    pairs, single = compared(before, after)
    lines = [_differing(before, after)]
    moved = sorted((pair for pair in pairs if pair.beyond), key=lambda pair: -abs(pair.distance))
    lines.append(f"{len(moved)} of {len(pairs)} figures moved by more than the noise of both files.\n")
    if moved:
        lines += ["| system | setting | measure | before | after | after / before | noise |", "|---" * 7 + "|"]
    for pair in moved:
        row = pair.before
        lines.append(
            f"| {row.system} | {row.setting} | {row.measure} | {row.value:.3f} | {pair.after.value:.3f} | "
            f"{math.exp(pair.distance):.3f} | ± {_percent(pair.noise)} |"
        )
    for measure in MEASURES:
        noises = sorted(pair.noise for pair in pairs if pair.before.measure == measure)
        if noises:
            lines.append(f"\n{measure}: noise {_percent(noises[len(noises) // 2])} (median of {len(noises)})")
    if single:
        lines.append(f"\n{len(single)} figures are in one of the files only")
    return "\n".join(lines)


def _percent(noise: float) -> str:
    return "unknown (measured once)" if math.isinf(noise) else f"{math.expm1(noise):.1%}"


def _differing(before: Results, after: Results) -> str:
    """What else has changed between the two."""
    keys = ("commit", "torch", "python", "cpu", "threads", "device")
    told = [f"{key}: {before.machine.get(key)} -> {after.machine.get(key)}"
            for key in keys if before.machine.get(key) != after.machine.get(key)]  # fmt: skip
    return "\n".join(told) + "\n" if told else "The same commit, on the same machine.\n"
