"""Which cells the library accepts, and why it refuses the others: by names, ports, sizes, ranges and routing alone.

Components of equal ports are the same to these checks, so that one cell stands for all that differ from it only in such
components; and what refuses a part of a recipe refuses the whole, so that it need not be completed.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections import abc

import attrs
import torch

from composition.axes import AXES, BASE, Axes, Cell, Choice
from composition.cells import FLOW, tables
from latentkit._building import wired
from latentkit.errors import LatentkitError, Problem, RecipeError
from latentkit.interfaces import Part
from latentkit.proof.static import has_weights, static_problems
from latentkit.registry.manager import Registry
from latentkit.wiring.wiring import Wiring

SIDES = (8, 16, 32)
"""Sides of images, of which a cell gets the first that its parts take."""
Group = tuple[Choice, ...]
"""Choices that are alike."""
_DIMS = re.compile(r"(?<=\w)\[[\w,]+\]")


@attrs.frozen
class Refused(Exception):
    """A cell that is not accepted, and why: the fact, without sizes."""

    reason: str


@attrs.frozen
class Count:
    """Cells of one verdict: all that take one choice of each group."""

    groups: tuple[Group, ...]
    reason: str
    """Why they are refused; empty where they are accepted."""

    @property
    def cells(self) -> int:
        """How many they are."""
        return self.cells_with(())

    def cells_with(self, fixed: abc.Container[int]) -> int:
        """How many of them have one choice that is given, on each of these axes."""
        return math.prod(len(group) for axis, group in enumerate(self.groups) if axis not in fixed)


class Judge:
    """Tells of single cells whether they are accepted, and counts the recipes that were wired for it."""

    def __init__(self, axes: Axes, registry: Registry) -> None:
        self.axes, self.registry = axes, registry
        self.wirings = 0
        self.sides: dict[tuple[Choice, ...], int | str] = {}
        """By the choices of the base: the side of the images, or why every side is refused."""
        self.weighted = functools.cache(has_weights)
        self.build = functools.cache(_build)

    def wiring(self, cell: Cell) -> Wiring:
        """The wiring of a cell, proved on the graph.

        Raises:
            Refused: says why.
        """
        found = self._wired(cell, self.side(cell))
        problems = static_problems(found, self.weighted)
        if problems:
            raise Refused(_fact(problems))
        return found

    def side(self, cell: Cell) -> int:
        """The side of the images of a cell: the smallest at which its flow is accepted, whatever the losses are.

        Raises:
            Refused: every side is.
        """
        key = choices(cell)[:BASE]
        if key not in self.sides:
            self.sides[key] = self._side(Cell(*key, *(self.axes[axis][0] for axis in AXES[BASE:])))
        found = self.sides[key]
        if isinstance(found, str):
            raise Refused(found)
        return found

    def _side(self, base: Cell) -> int | str:
        reasons = []
        for side in SIDES:
            try:
                for part in self._wired(base, side).parts.values():
                    self.build(part)
                return side
            except Refused as error:
                reasons.append(error.reason)
        return reasons[0]

    def _wired(self, cell: Cell, side: int) -> Wiring:
        self.wirings += 1
        try:
            return wired(tables(cell, side), None, self.registry)
        except RecipeError as error:
            raise Refused(_fact(error.problems)) from None


def decide(judge: Judge) -> list[Count]:
    """The verdict of every cell."""
    groups = [alike(judge.axes[axis]) for axis in AXES]
    *losses, regularizers = groups[BASE:]
    found = []
    for base in itertools.product(*groups[:BASE]):
        reason = _reason(judge.side, _first(judge.axes, base))
        if reason:
            found.append(Count((*base, *(judge.axes[axis] for axis in AXES[BASE:])), reason))
            continue
        for others in itertools.product(*losses):
            plain, *more = ((*base, *others, group) for group in regularizers)  # the first has none
            reason = _reason(judge.wiring, _first(judge.axes, plain))
            if reason:
                found.append(Count((*base, *others, judge.axes[AXES[-1]]), reason))
                continue
            found += [Count(plain, "")]
            found += [Count(each, _reason(judge.wiring, _first(judge.axes, each))) for each in more]
    return found


def alike(group: abc.Iterable[Choice]) -> list[Group]:
    """The choices of an axis, those together that no static check can tell apart."""
    found: dict[object, list[Choice]] = {}
    for choice in group:
        found.setdefault(choice.alike, []).append(choice)
    return [tuple(group) for group in found.values()]


def choices(cell: Cell) -> tuple[Choice, ...]:
    """The choices of a cell, in the order of the axes."""
    return tuple(getattr(cell, axis) for axis in AXES)


def _first(axes: Axes, groups: tuple[Group, ...]) -> Cell:
    rest = [axes[axis][0] for axis in AXES[len(groups) :]]
    return Cell(*(group[0] for group in groups), *rest)


def _reason(ask: abc.Callable[[Cell], object], cell: Cell) -> str:
    try:
        ask(cell)
    except Refused as error:
        return error.reason
    return ""


def _fact(problems: abc.Sequence[Problem]) -> str:
    """What is wrong first in the flow, from which the rest may follow, or first of all; without sizes."""
    places = [f"[flow] {name} " for name in FLOW]
    first = min(problems, key=lambda problem: [place not in f"{problem.where} " for place in places])
    return _DIMS.sub("", first.fact)


def _build(part: Part) -> None:
    """Build a part on the meta device.

    Raises:
        Refused: its sizes are illegal.
    """
    try:
        with torch.device("meta"):
            part.build()
    except LatentkitError as error:
        raise Refused(_DIMS.sub("", str(error))) from None
