"""Time of a step: to that of the loop, and to the limit that the machine sets."""

from __future__ import annotations

import statistics
from collections import abc
from typing import Any

import attrs
import torch

from latentkit.settings import Settings
from measuring.contenders import Contender, contender
from measuring.limit import Rates, operations
from measuring.noise import median_of
from measuring.rounds import alternate, ratios
from measuring.rows import Row, row
from measuring.systems import HAND, LOOPS, SYSTEMS, System


@attrs.frozen(kw_only=True)
class Plan:
    """How long to measure, and on what."""

    rounds: int = 20
    seconds: float = 0.5
    """Of a block."""
    rate_seconds: float = 0.1
    """In which the machine's rate of one precision and one operation is measured, in every round."""
    side: int | None = None
    """Of the matrices for that."""
    device: str = "cpu"
    threads: int | None = None


def timed(system: System, names: abc.Sequence[str], plan: Plan) -> list[Row]:
    """Two rows for each of these, the loop among them: its time and how it stands to the limit."""
    Settings(device=plan.device, threads=plan.threads).take_threads()
    chosen = [name for name in system.names if name in {HAND, *names}]
    contenders = [contender(system, name, plan.device, plan.threads) for name in chosen]
    rates = Rates([item.settings for item in contenders], plan.rate_seconds, plan.side)
    times, steps = alternate(contenders, plan.rounds, plan.seconds, rates.measure)
    counted = {item.name: operations(item) for item in contenders if not item.settings.compile}
    rows = []
    for item in contenders:
        details = {
            "ms": statistics.median(times[item.name]), "ms of rounds": times[item.name],
            "steps of a block": steps[item.name], "notes": list(item.notes),
            "changes": item.name not in LOOPS and system.variants[item.name].changes,
        }  # fmt: skip
        found = median_of(ratios(times[item.name], times[HAND]))
        rows.append(row(system.name, item.name, "time", found, torch.get_num_threads(), **details))
        flops = counted.get(item.name.replace(", compiled", ""))
        if flops is not None:
            rows.append(_to_limit(system, item, times[item.name], flops, rates.found[item.settings.precision]))
    return rows


def _to_limit(
    system: System, item: Contender, ms: abc.Sequence[float], flops: float, rates: abc.Sequence[float]
) -> Row:  # fmt: skip
    least = [flops / rate * 1e3 for rate in rates]
    details = {"operations": flops, "operations a second": list(rates), "ms": statistics.median(least)}
    return row(system.name, item.name, "limit", median_of(ratios(ms, least)), torch.get_num_threads(), **details)


def told(asked: float, system: str, names: abc.Sequence[str], plan: abc.Mapping[str, Any]) -> list[dict[str, Any]]:
    """In a process of its own."""
    return [attrs.asdict(each) for each in timed(SYSTEMS[system], names, Plan(**plan))]
