"""Start, compilation and memory of contenders, each in processes of its own, a number of times."""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections import abc
from pathlib import Path
from typing import Any

from measuring.apart import apart
from measuring.noise import Estimate, median_of
from measuring.rows import Row, row
from measuring.systems import HAND, LOOPS, System

LOOPS_NEED = ("python", "torch", "data", "build", "first step")
"""Parts of the start; the loop needs no library."""


def alone(
    system: System, names: abc.Sequence[str], repeats: int, device: str, threads: int | None
) -> list[Row]:  # fmt: skip
    """Rows of start, memory and compilation for each of these, the loop among them."""
    chosen = [name for name in system.names if name in {HAND, *names}]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in chosen}
    cold: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as caches:
        for _ in range(repeats):
            for name in chosen:
                asked = {"system": system.name, "setting": name, "device": device, "threads": threads}
                cache = str(Path(caches) / str(chosen.index(name)))
                if "compiled" in name and name not in cold:  # once, as it takes minutes
                    cold[name] = apart("single:started", asked, TORCHINDUCTOR_CACHE_DIR=cache)
                found[name].append(apart("single:started", asked, TORCHINDUCTOR_CACHE_DIR=cache))
            print(f"  {system.name}: {len(chosen)} starts", file=sys.stderr, flush=True)
    reference = statistics.median(each["MiB"] for each in found[HAND])
    rows = []
    for name in chosen:
        rows += _rows(system, name, found[name], reference)
        if name in cold:
            rows.append(_compiling(system, name, "compile", [cold[name]]))
            rows.append(_compiling(system, name, "compile again", found[name]))
    return rows


def _rows(system: System, name: str, found: list[dict[str, Any]], reference: float) -> list[Row]:
    threads, parts = found[0]["threads"], [each["parts"] for each in found]
    if name in LOOPS:
        parts = [{part: seconds for part, seconds in each.items() if part in LOOPS_NEED} for each in parts]
    totals, memory = [sum(each.values()) for each in parts], [each["MiB"] for each in found]
    added: Estimate = median_of([each / reference for each in memory])
    notes = sorted({note for each in found for note in each["notes"]})
    medians = {part: statistics.median(each[part] for each in parts) for part in parts[0]}
    return [
        row(system.name, name, "start", median_of(totals), threads, parts=medians, seconds=totals, notes=notes),
        row(system.name, name, "memory", added, threads, MiB=memory),
    ]


def _compiling(system: System, name: str, measure: str, found: list[dict[str, Any]]) -> Row:
    """What the first step takes beyond a later one."""
    seconds = [each["parts"]["first step"] - statistics.median(each["ms"]) / 1e3 for each in found]
    return row(system.name, name, measure, median_of(seconds), found[0]["threads"], seconds=seconds)
