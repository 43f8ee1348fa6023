"""Tables to a :class:`Recipe`: every key known, every type right, all problems at once."""

from __future__ import annotations

from typing import TypeVar

import attrs

from latentkit.errors import RecipeError, nearest
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
    reader = _Structurer(source)
    recipe = reader.recipe()
    if reader.read.problems:
        raise RecipeError(reader.read.problems)
    return recipe


class _Structurer:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.read = TableReader(source)

    def recipe(self) -> Recipe:
        tables = self.source.tables
        for key in tables:
            if key not in _TOP:
                self.read.problem((key,), "unknown key", nearest(key, _TOP) or f"known: {', '.join(_TOP)}")
        if "stage" in tables:
            self.read.problem(("stage",), "stages are part of the language, but this version cannot train them yet")
        plain = {key: tables[key] for key in ("title", "paper", "together", "order") if key in tables}
        top = self.read.build(plain, _Top, ()) or _Top()
        each = self.read.each
        return Recipe(
            name=self.source.name,
            title=top.title, paper=top.paper, together=top.together, order=self.order(top.order),
            data=self.data(), draw=each("draw", self.draw), scalars=each("scalars", self.read.timed),
            parts=each("parts", self.part), flow=each("flow", self.read.expression),
            state=each("state", self.state), phase=each("phase", self.phase),
            optimizer=self.optimizer(self.read.table(("optimizer",)), ("optimizer",)) or OptimizerSpec(),
            average=each("average", self.average),
            train=self.read.build(self.read.table(("train",)), TrainSpec, ("train",)) or TrainSpec(),
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
        if "use" in table:
            spec = self.read.use(table, DataSpec, ("data",))
            return {"data": spec} if spec else {}
        specs = {name: self.read.use(table[name], DataSpec, ("data", name)) for name in table}
        return {name: spec for name, spec in specs.items() if spec}

    def draw(self, value: object, path: Path) -> DrawSpec | None:
        return self.read.use(value, DrawSpec, path)

    def part(self, value: object, path: Path) -> PartSpec | None:
        if not isinstance(value, dict):
            return self.read.use(value, PartSpec, path)
        init, constraint = (
            self.read.use(value[key], UseSpec, (*path, key)) if key in value else None for key in ("init", "constraint")
        )
        rest = {key: item for key, item in value.items() if key not in ("init", "constraint")}
        spec = self.read.use(rest, PartSpec, path)
        return attrs.evolve(spec, init=init, constraint=constraint) if spec else None

    def state(self, value: object, path: Path) -> StateSpec | None:
        return self.read.build(value, StateSpec, path)

    def average(self, value: object, path: Path) -> AverageSpec | None:
        spec = self.read.build(value, AverageSpec, path)
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
        plain = self.read.build(rest, _Phase, path)
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
        spec = self.read.build(known, TermSpec, path)
        rest = {key: item for key, item in table.items() if key not in known}
        if spec and spec.use is None:
            for key in rest:
                if key != "of":
                    self.read.problem((*path, key), "unknown key", "a term without 'use' has only of, weight and every")
            if "of" not in rest:
                self.read.problem(path, "needs 'use' or 'of'")
        return attrs.evolve(spec, options=rest) if spec else None

    def optimizer(self, value: object, path: Path) -> OptimizerSpec | None:
        table = self.read.as_table(value, path)
        if table is None:
            return None
        parts = {key: item for key, item in table.items() if isinstance(item, dict) and key != "lr"}
        rates = {}
        for name, options in parts.items():
            for key in set(options) - {"lr"}:
                self.read.problem((*path, name, key), "unknown key", "a part's own option is 'lr'")
            if "lr" in options:
                rates[name] = self.read.quantity(options["lr"], (*path, name, "lr")) or Constant(0)
        lr = self.read.quantity(table["lr"], (*path, "lr")) if "lr" in table else OptimizerSpec().lr
        use = table.get("use", "adam")
        options = {key: item for key, item in table.items() if key not in (*parts, "use", "lr")}
        if not isinstance(use, str):
            self.read.problem((*path, "use"), f"expected the name of an optimizer, found {use!r}")
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
