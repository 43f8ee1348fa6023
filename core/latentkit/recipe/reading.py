"""Tables to a :class:`Recipe`: every key known, every type right, all problems at once."""

from __future__ import annotations

from collections import abc
from typing import TypeVar

import attrs

from latentkit.errors import Problem, RecipeError, nearest
from latentkit.recipe.converting import structure
from latentkit.recipe.quantities import Constant, Formula, Quantity, Timed, read_quantity
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
    if reader.problems:
        raise RecipeError(reader.problems)
    return recipe


class _Structurer:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.problems: list[Problem] = []

    def recipe(self) -> Recipe:
        tables = self.source.tables
        for key in tables:
            if key not in _TOP:
                self.problem((key,), "unknown key", nearest(key, _TOP) or f"known: {', '.join(_TOP)}")
        if "stage" in tables:
            self.problem(("stage",), "stages are part of the language, but this version cannot train them yet")
        plain = {key: tables[key] for key in ("title", "paper", "together", "order") if key in tables}
        top = self.build(plain, _Top, ()) or _Top()
        return Recipe(
            name=self.source.name,
            title=top.title, paper=top.paper, together=top.together, order=self.order(top.order),
            data=self.data(), draw=self.each("draw", self.draw), scalars=self.each("scalars", self.timed),
            parts=self.each("parts", self.part), flow=self.each("flow", self.expression),
            state=self.each("state", self.state), phase=self.each("phase", self.phase),
            optimizer=self.optimizer(self.table(("optimizer",)), ("optimizer",)) or OptimizerSpec(),
            average=self.each("average", self.average),
            train=self.build(self.table(("train",)), TrainSpec, ("train",)) or TrainSpec(),
            inference=self.each("inference", self.expression), monitor=self.each("monitor", self.expression),
        )  # fmt: skip

    def order(self, order: tuple[str, ...]) -> tuple[str, ...]:
        phases = self.source.tables.get("phase", {})
        if order and isinstance(phases, dict) and sorted(order) != sorted(phases):
            self.problem(("order",), f"must name each phase once: {', '.join(phases)}; found {', '.join(order)}")
            return ()
        return order

    def data(self) -> dict[str, DataSpec]:
        table = self.table(("data",))
        if not table:
            return {}
        if "use" in table:
            spec = self.use(table, DataSpec, ("data",))
            return {"data": spec} if spec else {}
        specs = {name: self.use(table[name], DataSpec, ("data", name)) for name in table}
        return {name: spec for name, spec in specs.items() if spec}

    def draw(self, value: object, path: Path) -> DrawSpec | None:
        return self.use(value, DrawSpec, path)

    def part(self, value: object, path: Path) -> PartSpec | None:
        if not isinstance(value, dict):
            return self.use(value, PartSpec, path)
        init, constraint = (
            self.use(value[key], UseSpec, (*path, key)) if key in value else None for key in ("init", "constraint")
        )
        rest = {key: item for key, item in value.items() if key not in ("init", "constraint")}
        spec = self.use(rest, PartSpec, path)
        return attrs.evolve(spec, init=init, constraint=constraint) if spec else None

    def state(self, value: object, path: Path) -> StateSpec | None:
        return self.build(value, StateSpec, path)

    def average(self, value: object, path: Path) -> AverageSpec | None:
        spec = self.build(value, AverageSpec, path)
        if spec and spec.decay is not None and not 0 <= spec.decay < 1:
            self.problem((*path, "decay"), f"must be at least 0 and below 1, found {spec.decay:g}")
        if spec and spec.decay is not None and spec.half_life is not None:
            self.problem(path, "has both 'decay' and 'half_life'", "keep one of them")
        return spec

    def phase(self, value: object, path: Path) -> PhaseSpec | None:
        table = self.as_table(value, path)
        if table is None:
            return None
        terms = {name: self.term(term, (*path, "loss", name)) for name, term in self.table((*path, "loss")).items()}
        own = self.optimizer(self.table((*path, "optimizer")), (*path, "optimizer")) if "optimizer" in table else None
        rest = {key: item for key, item in table.items() if key not in ("loss", "optimizer")}
        plain = self.build(rest, _Phase, path)
        if not terms:
            self.problem(path, "has no loss", "write loss.NAME = an expression, or { use = ..., ... }")
        if plain is None:
            return None
        if not plain.train:
            self.problem((*path, "train"), "is empty", "name at least one part that this phase trains")
        good = {name: term for name, term in terms.items() if term is not None}
        return PhaseSpec(loss=good, optimizer=own, **attrs.asdict(plain, recurse=False))

    def term(self, value: object, path: Path) -> TermSpec | None:
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            value = {"of": str(value)}
        table = self.as_table(value, path)
        if table is None:
            return None
        known = {key: item for key, item in table.items() if key in ("use", "wrt", "weight", "every")}
        spec = self.build(known, TermSpec, path)
        rest = {key: item for key, item in table.items() if key not in known}
        if spec and spec.use is None:
            for key in rest:
                if key != "of":
                    self.problem((*path, key), "unknown key", "a term without 'use' has only of, weight and every")
            if "of" not in rest:
                self.problem(path, "needs 'use' or 'of'")
        return attrs.evolve(spec, options=rest) if spec else None

    def optimizer(self, value: object, path: Path) -> OptimizerSpec | None:
        table = self.as_table(value, path)
        if table is None:
            return None
        parts = {key: item for key, item in table.items() if isinstance(item, dict) and key != "lr"}
        rates = {}
        for name, options in parts.items():
            for key in set(options) - {"lr"}:
                self.problem((*path, name, key), "unknown key", "a part's own option is 'lr'")
            if "lr" in options:
                rates[name] = self.quantity(options["lr"], (*path, name, "lr")) or Constant(0)
        lr = self.quantity(table["lr"], (*path, "lr")) if "lr" in table else OptimizerSpec().lr
        use = table.get("use", "adam")
        options = {key: item for key, item in table.items() if key not in (*parts, "use", "lr")}
        if not isinstance(use, str):
            self.problem((*path, "use"), f"expected the name of an optimizer, found {use!r}")
            return None
        return OptimizerSpec(use=use, lr=lr or Constant(0), parts=rates, options=options)

    def quantity(self, value: object, path: Path, formula: bool = True) -> Quantity | None:
        try:
            return read_quantity(value, formula=formula)
        except ValueError as error:
            self.problem(path, str(error))
            return None

    def timed(self, value: object, path: Path) -> Timed | None:
        quantity = self.quantity(value, path, formula=False)
        return None if isinstance(quantity, Formula) else quantity

    def expression(self, value: object, path: Path) -> str | None:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str):
            self.problem(path, f"expected an expression in quotes, found {value!r}")
            return None
        return value

    def use(self, value: object, kind: type[U], path: Path) -> U | None:
        """A table with ``use``: known keys make the spec, all others are the component's options."""
        table = self.as_table(value, path)
        if table is None:
            return None
        if not isinstance(table.get("use"), str):
            self.problem(path, "needs use = the name of a component", "see `latentkit list`")
            return None
        names = {field.name for field in attrs.fields(kind)} - {"options"}
        spec = self.build({key: item for key, item in table.items() if key in names}, kind, path)
        options = {key: item for key, item in table.items() if key not in names}
        return attrs.evolve(spec, options=options) if spec else None

    def each(self, key: str, read: abc.Callable[[object, Path], T | None]) -> dict[str, T]:
        values = {name: read(value, (key, name)) for name, value in self.table((key,)).items()}
        return {name: value for name, value in values.items() if value is not None}

    def table(self, path: Path) -> dict[str, object]:
        value: object = self.source.tables
        for key in path:
            value = value.get(key, {}) if isinstance(value, dict) else {}
        return self.as_table(value, path) or {}

    def as_table(self, value: object, path: Path) -> dict[str, object] | None:
        if isinstance(value, dict):
            return value
        self.problem(path, f"expected a table, found {value!r}")
        return None

    def build(self, table: object, kind: type[T], path: Path) -> T | None:
        checked = self.as_table(table, path)
        if checked is None:
            return None
        value, problems = structure(checked, kind, self.source.where, path)
        self.problems += problems
        return value

    def problem(self, path: Path, fact: str, hint: str = "") -> None:
        self.problems.append(Problem(self.source.where(path), fact, hint))


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
