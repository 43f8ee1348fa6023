"""Blocks of every contender in turn, in one process; what is compared is compared within a round."""

from __future__ import annotations

import sys
from collections import abc

from measuring.contenders import Contender

Times = dict[str, list[float]]
"""By contender, milliseconds a step, a number per round."""


def block_steps(reference: float, seconds: float, period: int) -> int:
    """Steps of a block that lasts about so long at so many milliseconds a step; whole periods, at least one."""
    return max(1, round(seconds * 1e3 / reference / period)) * period


def alternate(
    contenders: abc.Sequence[Contender], rounds: int, seconds: float, beside: abc.Callable[[], None]
) -> tuple[Times, dict[str, int]]:
    """Times of every contender by round, and the steps of its blocks.

    Every second round goes backwards, so that what drifts does not favour the last one.

    Args:
        contenders: not warm yet.
        rounds: in each of which every contender has a block.
        seconds: of a block.
        beside: called once a round, in the middle.
    """
    steps = {}
    for item in contenders:
        pace = item.warm()
        steps[item.name] = block_steps(pace, seconds, item.period)
        told = "".join(f"; {note}" for note in item.notes)
        print(f"  {item.name}: {pace:.1f} ms a step{told}", file=sys.stderr, flush=True)
    times: Times = {item.name: [] for item in contenders}
    for round_ in range(rounds):
        for at, item in enumerate(contenders if round_ % 2 == 0 else contenders[::-1]):
            times[item.name].append(item.block(steps[item.name]))
            if at == len(contenders) // 2:
                beside()
    return times, steps


def ratios(mine: abc.Sequence[float], reference: abc.Sequence[float]) -> list[float]:
    """Within each round."""
    return [a / b for a, b in zip(mine, reference, strict=True)]
