"""Tables to a :class:`Recipe`: every key known, every type right, all problems at once."""

from __future__ import annotations

from typing import TypeVar

import attrs

from latentkit.errors import Problem, RecipeError, nearest
from latentkit.recipe.bounds import bounded, value_at
from latentkit.recipe.quantities import Constant, Timed
from latentkit.recipe.schema import (
    ONE,
    AverageSpec,
    DataSpec,
    DrawSpec,
    OptimizerSpec,
    PartSpec,
    PhaseSpec,
    Recipe,
    StateSpec,
    TermSpec,
    TrainSpec,
    UseSpec,
)
from latentkit.recipe.source import Source
from latentkit.recipe.tables import TableReader
from latentkit.recipe.writing import brief

T = TypeVar("T")
U = TypeVar("U", bound=UseSpec)
Path = tuple[str, ...]
_TOP = ("title", "paper", "together", "order", "data", "draw", "scalars", "parts", "flow", "state", "phase",
        "optimizer", "average", "stage", "train", "inference", "monitor", "extends", "remove")  # fmt: skip


def structured(source: Source) -> Recipe:
    """The recipe of merged tables.

    Raises:
        RecipeError: with all the unknown keys and wrong types at once.
    """
    recipe, problems = read_recipe(source)
    if problems:
        raise RecipeError(problems)
    return recipe


def read_recipe(source: Source) -> tuple[Recipe, list[Problem]]:
    """The recipe of merged tables, and what is wrong with them; what could not be read is left out of the recipe."""
    tables, huge = bounded(source.tables)
    reader = _Structurer(attrs.evolve(source, tables=tables) if huge else source)
    for path in huge:
        found = brief(value_at(source.tables, path))
        reader.read.problem(path, f"expected a whole number of at most 64 bits, found {found}")
    return reader.recipe(), reader.read.problems


class _Structurer:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.read = TableReader(source)

    def recipe(self) -> Recipe:
        tables = self.source.tables
        for key in tables:
            if key not in _TOP:
                self.read.problem((key,), "unknown key", nearest(key, _TOP) or f"known: {', '.join(_TOP)}")
        plain = {key: tables[key] for key in ("title", "paper", "together", "order") if key in tables}
        top = self.read.build(plain, _Top, (), recover=True) or _Top()
        each = self.read.each
        phases = each("phase", self.phase)
        order = self.order(top.order)
        return Recipe(
            name=self.source.name,
            title=top.title, paper=top.paper, together=top.together, order=order if set(order) == set(phases) else (),
            data=self.data(), draw=each("draw", self.draw), scalars=each("scalars", self.read.timed),
            parts=each("parts", self.part), flow=each("flow", self.read.expression),
            state=each("state", self.state), phase=phases,
            optimizer=self.optimizer(self.read.table(("optimizer",)), ("optimizer",)) or OptimizerSpec(),
            average=each("average", self.average),
            train=self.read.build(self.read.table(("train",)), TrainSpec, ("train",), recover=True) or TrainSpec(),
            inference=each("inference", self.read.expression), monitor=each("monitor", self.read.expression),
        )  # fmt: skip

    def order(self, order: tuple[str, ...]) -> tuple[str, ...]:
        phases = self.source.tables.get("phase", {})
        if order and isinstance(phases, dict) and sorted(order) != sorted(phases):
            self.read.problem(("order",), f"must name each phase once: {', '.join(phases)}; found {', '.join(order)}")
            return ()
        return order

    def data(self) -> dict[str, DataSpec]:
        table = self.read.table(("data",))
        if not table:
            return {}
        if "use" not in table and not any(isinstance(value, dict) for value in table.values()):
            self.read.problem(("data",), "needs use = the name of a data source", "see `latentkit list data`")
            return {}
        if "use" in table:
            spec = self.source_of(table, ("data",))
            return {"data": spec} if spec else {}
        specs = {name: self.source_of(table[name], ("data", name)) for name in table}
        return {name: spec for name, spec in specs.items() if spec}

    def source_of(self, value: object, path: Path) -> DataSpec | None:
        spec = self.read.use(value, DataSpec, path)
        if spec and spec.range[0] == spec.range[1]:
            fact = f"expected two different numbers, of black and of white; found {brief(spec.range)}"
            self.read.problem((*path, "range"), fact)
        for key in ("resolution", "channels"):
            size = getattr(spec, key, None)
            if size is not None and min(size if isinstance(size, tuple) else (size,)) < 1:
                self.read.problem((*path, key), f"must be at least 1, found {brief(size)}")
                return None
        return spec

    def draw(self, value: object, path: Path) -> DrawSpec | None:
        spec = self.read.use(value, DrawSpec, path)
        return spec if spec and self.sizes(spec.shape, (*path, "shape")) else None

    def sizes(self, value: object, path: Path) -> bool:
        wrong = [size for size in value if size < 1] if isinstance(value, tuple) else []
        if wrong:
            self.read.problem(path, f"sizes must be at least 1, found {wrong[0]}")
        return not wrong

    def part(self, value: object, path: Path) -> PartSpec | None:
        if not isinstance(value, dict):
            return self.read.use(value, PartSpec, path)
        init, constraint = (
            self.read.use(value[key], UseSpec, (*path, key)) if key in value else None for key in ("init", "constraint")
        )
        rest = {key: item for key, item in value.items() if key not in ("init", "constraint")}
        spec = self.read.use(rest, PartSpec, path, recover=True)
        return attrs.evolve(spec, init=init, constraint=constraint) if spec else None

    def state(self, value: object, path: Path) -> StateSpec | None:
        spec = self.read.build(value, StateSpec, path)
        return spec if spec and self.sizes(spec.start, (*path, "start")) else None

    def average(self, value: object, path: Path) -> AverageSpec | None:
        spec = self.read.build(value, AverageSpec, path, recover=True)
        if spec and spec.half_life is not None and spec.half_life <= 0:
            self.read.problem((*path, "half_life"), f"must be above 0, found {spec.half_life:g}")
        if spec and spec.decay is not None and not 0 <= spec.decay < 1:
            self.read.problem((*path, "decay"), f"must be at least 0 and below 1, found {spec.decay:g}")
        if spec and spec.decay is not None and spec.half_life is not None:
            self.read.problem(path, "has both 'decay' and 'half_life'", "keep one of them")
        return spec

    def phase(self, value: object, path: Path) -> PhaseSpec | None:
        table = self.read.as_table(value, path)
        if table is None:
            return None
        terms = {
            name: self.term(term, (*path, "loss", name)) for name, term in self.read.table((*path, "loss")).items()
        }
        own = (
            self.optimizer(self.read.table((*path, "optimizer")), (*path, "optimizer"))
            if "optimizer" in table
            else None
        )
        rest = {key: item for key, item in table.items() if key not in ("loss", "optimizer")}
        plain = self.read.build(rest, _Phase, path, recover=True)
        if not terms:
            self.read.problem(path, "has no loss", "write loss.NAME = an expression, or { use = ..., ... }")
        if plain is None:
            return None
        if not plain.train:
            self.read.problem((*path, "train"), "is empty", "name at least one part that this phase trains")
        good = {name: term for name, term in terms.items() if term is not None}
        return PhaseSpec(loss=good, optimizer=own, **attrs.asdict(plain, recurse=False))

    def term(self, value: object, path: Path) -> TermSpec | None:
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            value = {"of": str(value)}
        table = self.read.as_table(value, path)
        if table is None:
            return None
        known = {key: item for key, item in table.items() if key in ("use", "wrt", "weight", "every")}
        spec = self.read.build(known, TermSpec, path, recover=isinstance(known.get("use", ""), str))
        rest = {key: item for key, item in table.items() if key not in known}
        if spec and spec.use is None:
            for key in rest:
                if key != "of":
                    self.read.problem((*path, key), "unknown key", "a term without 'use' has only of, weight and every")
            if "of" not in rest:
                hint = "write an expression, { of = an expression, ... } or { use = the name of a loss, ... }"
                self.read.problem(path, "needs 'use' or 'of'", hint)
        return attrs.evolve(spec, options=rest) if spec else None

    def optimizer(self, value: object, path: Path) -> OptimizerSpec | None:
        table = self.read.as_table(value, path)
        if table is None:
            return None
        parts = {key: item for key, item in table.items() if isinstance(item, dict) and key != "lr"}
        rates = {}
        for name, options in parts.items():
            for key in sorted(set(options) - {"lr"}):
                self.read.problem((*path, name, key), "unknown key", "a part's own option is 'lr'")
            if "lr" in options:
                rates[name] = self.read.quantity(options["lr"], (*path, name, "lr")) or Constant(0)
        lr = self.read.quantity(table["lr"], (*path, "lr")) if "lr" in table else OptimizerSpec().lr
        use = table.get("use", "adam")
        options = {key: item for key, item in table.items() if key not in (*parts, "use", "lr")}
        if not isinstance(use, str):
            self.read.problem((*path, "use"), f"expected the name of an optimizer, found {brief(use)}")
            return None
        return OptimizerSpec(use=use, lr=lr or Constant(0), parts=rates, options=options)


@attrs.frozen(kw_only=True)
class _Top:
    title: str = ""
    paper: str = ""
    together: bool = False
    order: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class _Phase:
    train: tuple[str, ...]
    repeat: Timed = ONE
    every: int = 1
    keep: tuple[str, ...] = ()
