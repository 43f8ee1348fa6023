"""The one table of the suite, a line per contender."""

from __future__ import annotations

from collections import abc
from typing import Any

from measuring.rows import Results, Row
from measuring.single import PARTS
from measuring.systems import AGAIN
from measuring.variants import CHANGED

HEAD = (
    "system", "setting", "ms / step", "to hand-written", "95 %", "to the limit", "memory, MiB", "to hand-written",
    "start, s", "compile, s", "checkpoint, steps",
)  # fmt: skip
Found = abc.Mapping[str, Row]


def table(results: Results) -> str:
    """In the order of measuring; a dash is what was not measured."""
    by_contender: dict[tuple[str, int, str], dict[str, Row]] = {}
    for row in results.rows:
        by_contender.setdefault((row.system, row.threads, row.setting), {})[row.measure] = row
    several = len({threads for _, threads, _ in by_contender}) > 1
    lines = [f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|"]
    for (system, threads, setting), found in by_contender.items():
        name = f"{system}, {threads} threads" if several else system
        lines.append(f"| {' | '.join([name, setting, *_cells(found)])} |")
    return "\n".join([*lines, "", *_notes(results)])


def _cells(found: Found) -> list[str]:
    time, memory = found.get("time"), found.get("memory")
    compile_, again = found.get("compile"), found.get("compile again")
    return [
        _number(time and time.details["ms"]),
        _number(time and time.value, 3),
        f"{time.low:.3f}–{time.high:.3f}" if time else "–",
        _number("limit" in found and found["limit"].value, 2),
        _number(memory and sorted(memory.details["MiB"])[len(memory.details["MiB"]) // 2]),
        _number(memory and memory.value, 2),
        _number("start" in found and found["start"].value),
        f"{compile_.value:,.1f}, then {again.value:,.1f}" if compile_ and again else "–",
        _number("checkpoint" in found and found["checkpoint"].value, 2),
    ]


def _number(value: Any, digits: int = 1) -> str:
    return f"{value:,.{digits}f}" if value else "–"


def _notes(results: Results) -> list[str]:
    machine = results.machine
    lines = []
    for row in results.rows:
        if row.setting == AGAIN and row.measure == "time":
            lines.append(
                f"Noise of {row.system}: the loop beside itself {row.value:.3f} ({row.low:.3f}–{row.high:.3f})."
            )
    if any(CHANGED in row.setting for row in results.rows):
        lines.append(f"{CHANGED} The recipe with options that change its mathematics; the loop has them not.")
    for row in results.rows:
        lines += [f"{row.system}, {row.setting}: {note}." for note in row.details.get("notes", ())]
    changed = " and changes" if machine.get("changed") else ""
    lines.append(
        f"{machine['cpu']}, {machine['threads']} threads, {machine['device']}; torch {machine['torch']}; "
        f"commit {machine['commit'][:10]}{changed}."
    )
    return lines


def parts(results: Results) -> str:
    """What a start consists of, in seconds."""
    rows = [row for row in results.rows if row.measure == "start"]
    names = [part for part in PARTS if any(part in row.details["parts"] for row in rows)]
    if not rows:
        return ""
    lines = [f"| start, s: system | setting | {' | '.join(names)} |", "|---" * (len(names) + 2) + "|"]
    for row in rows:
        cells = [_number(row.details["parts"].get(part), 2) for part in names]
        lines.append(f"| {row.system} | {row.setting} | {' | '.join(cells)} |")
    return "\n".join(lines)
