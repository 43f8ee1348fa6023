"""A small sample in which every two choices meet: a covering array of strength two, built greedily."""

from __future__ import annotations

import itertools
import random
from collections import abc

from composition.axes import AXES, Axes, Cell, Choice
from composition.verdicts import Count, choices

Item = tuple[int, Choice]
"""A choice, with the number of its axis."""
Pair = tuple[Item, Item]
TRIES = 20
"""Cells that are looked at for each one that is taken."""


class Allowed:
    """The cells that may be taken, and which two choices meet in one of them.

    Args:
        axes: of the matrix.
        counts: those of them without a reason against it are allowed.
    """

    def __init__(self, axes: Axes, counts: abc.Iterable[Count]) -> None:
        self.axes = [axes[axis] for axis in AXES]
        self.groups = [count.groups for count in counts if not count.reason]
        self.leaders: list[dict[Choice, Choice]] = [
            {choice: groups[axis][0] for groups in self.groups for choice in groups[axis]} for axis in range(len(AXES))
        ]
        self.known = {tuple(group[0] for group in groups) for groups in self.groups}
        self.pairs: set[Pair] = set()
        for one, two in itertools.combinations(range(len(AXES)), 2):
            for first, second in {(groups[one], groups[two]) for groups in self.groups}:
                self.pairs |= {((one, a), (two, b)) for a in first for b in second}

    def __contains__(self, cell: Cell) -> bool:
        found = zip(self.leaders, choices(cell), strict=True)
        return tuple(leaders.get(choice) for leaders, choice in found) in self.known

    def any_with(self, pair: Pair, draw: random.Random) -> Cell:
        """Some allowed cell in which these two meet."""
        fixed = dict(pair)
        fits = [groups for groups in self.groups if all(choice in groups[axis] for axis, choice in pair)]
        return Cell(*(fixed.get(axis) or draw.choice(group) for axis, group in enumerate(draw.choice(fits))))


def everything(axes: Axes) -> Allowed:
    """All cells there are."""
    return Allowed(axes, [Count(tuple(axes[axis] for axis in AXES), "")])


def covering(allowed: Allowed, seed: int = 0) -> list[Cell]:
    """Allowed cells in which every two choices meet that do so in any allowed cell; the same for the same ``seed``."""
    draw = random.Random(seed)
    todo = dict.fromkeys(sorted(allowed.pairs, key=str))
    found = []
    while todo:
        pair = next(iter(todo))
        tries = [_grown(pair, todo, allowed, draw) for _ in range(TRIES)]
        good = [cell for cell in tries if cell is not None and cell in allowed] or [allowed.any_with(pair, draw)]
        best = max(good, key=lambda cell: sum(item in todo for item in _pairs(cell)))
        for item in _pairs(best):
            todo.pop(item, None)
        found.append(best)
    return found


def _grown(pair: Pair, todo: abc.Container[Pair], allowed: Allowed, draw: random.Random) -> Cell | None:
    """A cell with these two choices; on each further axis the choice that meets most others for the first time."""
    chosen = dict(pair)
    rest = [axis for axis in range(len(AXES)) if axis not in chosen]
    draw.shuffle(rest)
    for axis in rest:
        fits = [choice for choice in allowed.axes[axis]
                if all(item in allowed.pairs for item in _with(axis, choice, chosen))]  # fmt: skip
        if not fits:
            return None
        draw.shuffle(fits)
        firsts = {choice: sum(item in todo for item in _with(axis, choice, chosen)) for choice in fits}
        chosen[axis] = max(fits, key=firsts.__getitem__)
    return Cell(*(chosen[axis] for axis in range(len(AXES))))


def _with(axis: int, choice: Choice, chosen: dict[int, Choice]) -> list[Pair]:
    mine = (axis, choice)
    return [(mine, (other, its)) if axis < other else ((other, its), mine) for other, its in chosen.items()]


def _pairs(cell: Cell) -> abc.Iterator[Pair]:
    return itertools.combinations(enumerate(choices(cell)), 2)
