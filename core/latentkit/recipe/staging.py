"""``[[stage]]``: a recipe whose numbers change while it trains, as a row of recipes without stages."""

from __future__ import annotations

import math
from collections import abc
from typing import cast

import attrs

from latentkit.errors import Problem, RecipeError, nearest
from latentkit.recipe._lines import Path
from latentkit.recipe.merging import Tree, copy_tree
from latentkit.recipe.schema import TrainSpec
from latentkit.recipe.source import Source
from latentkit.recipe.staged_values import counted_from, is_number, is_schedule, is_size, leaves, put
from latentkit.recipe.writing import brief

KEYS = ("images", "steps", "set", "reset")
RESETS = ("optimizer",)


@attrs.frozen
class Stage:
    """A stretch of training."""

    index: int
    """From 0."""
    source: Source
    """The recipe as it is in this stage: no ``[[stage]]``, and ``train.steps`` of the whole run."""
    start: int
    """The step before it."""
    steps: int | None
    """How many it has; ``None``: to the end."""
    start_images: int
    """Images that have been seen before it, in whole batches."""
    reset: tuple[str, ...] = ()
    """What starts anew with it: ``optimizer``."""
    sets: tuple[str, ...] = ()
    """Dotted paths of what it sets."""

    @property
    def changes(self) -> str:
        """What it sets, and what starts anew: ``"data.resolution = 8, scalars.blend = 0 to 1; optimizer anew"``."""
        sets = ", ".join(f"{path} = {_told(self.source.tables, path)}" for path in self.sets)
        return "; ".join(filter(None, [sets, f"{', '.join(self.reset)} anew" if self.reset else ""]))

    @property
    def end(self) -> float:
        """The step after which the next one starts."""
        return math.inf if self.steps is None else self.start + self.steps


def stages(source: Source) -> tuple[Stage, ...]:
    """The stages of a recipe, one where it names none.

    What a stage sets holds from then on, until a later one sets it again. Schedules that it sets count from its start.

    Raises:
        RecipeError: with all that is wrong with the tables ``[[stage]]``.
    """
    if "stage" not in source.tables:
        return (Stage(0, source, 0, None, 0),)
    return _Reader(source).stages()


def last_stage(source: Source) -> Source:
    """The recipe as it is at the end of training."""
    return stages(source)[-1].source


class _Reader:
    def __init__(self, source: Source) -> None:
        self.source, self.problems = source, list[Problem]()

    def stages(self) -> tuple[Stage, ...]:
        given = self.source.tables["stage"]
        if not isinstance(given, list) or not given or not all(isinstance(item, dict) for item in given):
            hint = "write [[stage]], then steps = N or images = N, and set = { ... }"
            self.problem((), f"expected tables [[stage]], found {brief(given)}", hint)
            raise RecipeError(self.problems)
        tables = copy_tree({key: value for key, value in self.source.tables.items() if key != "stage"})
        places, made = dict(self.source.places), list[Stage]()
        start = images = 0
        for index, table in enumerate(cast("list[Tree]", given)):
            self.keys(table, index)
            sets = self.set(tables, places, table.get("set", {}), index, start, images)
            batch = _batch(tables)
            steps = self.steps(table, index, batch, last=index == len(given) - 1)
            flat = attrs.evolve(self.source, tables=copy_tree(tables), places=dict(places), staged=self.source)
            made.append(Stage(index, flat, start, steps, images, self.reset(table, index), sets))
            start, images = start + (steps or 0), images + (steps or 0) * batch
        total = self.total(made)
        if self.problems:
            raise RecipeError(self.problems)
        return tuple(attrs.evolve(stage, source=_with_total(stage.source, total)) for stage in made)

    def keys(self, table: Tree, index: int) -> None:
        for key in table:
            if key not in KEYS:
                self.problem((str(index), key), "unknown key", nearest(key, KEYS) or f"known: {', '.join(KEYS)}")

    def steps(self, table: Tree, index: int, batch: int, last: bool) -> int | None:
        found = [key for key in ("images", "steps") if key in table]
        if not found and last:
            return None
        if len(found) != 1:
            fact = "needs its length, either images or steps" if not found else "has both images and steps"
            self.problem((str(index),), fact, "as in steps = 1000" if not found else "leave one of them out")
            return 1
        length = table[found[0]]
        if type(length) is not int or length < 1:
            self.problem((str(index), found[0]), f"expected a whole number of at least 1, found {brief(length)}")
            return 1
        return length if found[0] == "steps" else -(-length // batch)

    def reset(self, table: Tree, index: int) -> tuple[str, ...]:
        given = table.get("reset", [])
        if not isinstance(given, list) or not all(item in RESETS for item in given):
            fact = f"expected a list of {' and '.join(map(repr, RESETS))}, found {brief(given)}"
            self.problem((str(index), "reset"), fact, 'as in reset = ["optimizer"]')
            return ()
        return tuple(given)

    def set(
        self, tables: Tree, places: dict[Path, str], given: object, index: int, start: int, images: int
    ) -> tuple[str, ...]:
        if not isinstance(given, dict):
            hint = 'as in set = { "data.resolution" = 16 }'
            self.problem((str(index), "set"), f"expected a table of dotted paths, found {brief(given)}", hint)
            return ()
        done = []
        for path, value in leaves(given):
            dotted, where = ".".join(path), (str(index), "set", *path)
            if isinstance(value, dict) and "by" in value:
                value = self.case(tables, value, where)
                if value is None:
                    continue
            if not is_number(value) and not is_schedule(value) and not is_size(path, value):
                fact = f"a stage sets numbers and schedules, '{dotted}' is {brief(value)}"
                self.problem(where, fact, "the rest of a recipe is the same in all its stages")
            elif path[0] == "stage":
                self.problem(where, "a stage cannot set stages")
            elif not put(tables, path, counted_from(value, start, images) if is_schedule(value) else value):
                self.problem(where, f"'{dotted}' leads through a value that is no table")
            else:
                places[path] = self.source.where(("stage", str(index))).partition(", [")[0]
                done.append(dotted)
        return tuple(done)

    def case(self, tables: Tree, table: Tree, where: Path) -> object:
        """The number of a table of cases: ``{ by = "gpus", 1 = 16, 8 = 32 }`` with a whole number ``scalars.gpus``."""
        scalars, cases = tables.get("scalars"), {key: value for key, value in table.items() if key != "by"}
        chosen = scalars.get(str(table["by"])) if isinstance(scalars, dict) else None
        if type(chosen) is not int or str(chosen) not in cases:
            found = "which is not there" if chosen is None else f"which is {brief(chosen)}"
            hint = f"say [scalars] {table['by']} = {' or '.join(cases)}"
            self.problem(where, f"expected one of the cases {', '.join(cases)} in scalars.{table['by']}, {found}", hint)
            return None
        return cases[str(chosen)]

    def total(self, made: abc.Sequence[Stage]) -> int:
        train = self.source.tables.get("train", {})
        stated = train.get("steps") if isinstance(train, dict) else None
        if stated is not None:
            return cast("int", stated)  # whether it is a number is asked where the recipe is read
        if made[-1].steps is None:
            hint = "or say train.steps, the steps of the whole run"
            self.problem((str(len(made) - 1),), "the last stage needs its length, either images or steps", hint)
            return 1
        return made[-1].start + made[-1].steps

    def problem(self, path: Path, fact: str, hint: str = "") -> None:
        self.problems.append(Problem(self.source.where(("stage", *path)), fact, hint))


def _told(tables: Tree, path: str) -> str:
    found: object = tables
    for key in path.split("."):
        found = found.get(key) if isinstance(found, dict) else None
    if isinstance(found, dict):
        return f"{found['from']} to {found['to']}" if "from" in found and "to" in found else "a schedule"
    return str(found)


def _with_total(source: Source, total: int) -> Source:
    tables = copy_tree(source.tables)
    train = tables.get("train", {})
    tables["train"] = {**train, "steps": total} if isinstance(train, dict) else train
    return attrs.evolve(source, tables=tables)


def _batch(tables: Tree) -> int:
    train = tables.get("train", {})
    batch = train.get("batch", TrainSpec().batch) if isinstance(train, dict) else 1
    return batch if type(batch) is int and batch > 0 else 1
