"""Tables read into values, with every fault remembered at its place."""

from __future__ import annotations

from collections import abc
from typing import TypeVar

import attrs

from latentkit.errors import Problem
from latentkit.recipe._lines import Path
from latentkit.recipe.converting import recovered, structure
from latentkit.recipe.quantities import Formula, Quantity, Timed, read_quantity
from latentkit.recipe.schema import UseSpec
from latentkit.recipe.source import Source
from latentkit.recipe.writing import brief

T = TypeVar("T")
U = TypeVar("U", bound=UseSpec)


class TableReader:
    """Reads the tables of a source. What is wrong becomes a problem and reads as ``None``."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.problems: list[Problem] = []

    def quantity(self, value: object, path: Path, formula: bool = True) -> Quantity | None:
        """A number, schedule or expression."""
        try:
            return read_quantity(value, formula=formula)
        except ValueError as error:
            self.problem(path, str(error))
            return None

    def timed(self, value: object, path: Path) -> Timed | None:
        """A number or schedule."""
        quantity = self.quantity(value, path, formula=False)
        return None if isinstance(quantity, Formula) else quantity

    def expression(self, value: object, path: Path) -> str | None:
        """The text of an expression."""
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str):
            self.problem(path, f"expected an expression in quotes, found {brief(value)}")
            return None
        return value

    def use(self, value: object, kind: type[U], path: Path, recover: bool = False) -> U | None:
        """A table with ``use``: known keys make the spec, all others are the component's options."""
        table = self.as_table(value, path)
        if table is None:
            return None
        if not isinstance(table.get("use"), str):
            found = f", found use = {brief(table['use'])}" if "use" in table else ""
            self.problem(path, f"needs use = the name of a component{found}", "see `latentkit list`")
            return None
        names = {field.name for field in attrs.fields(kind)} - {"options"}
        spec = self.build({key: item for key, item in table.items() if key in names}, kind, path, recover)
        options = {key: item for key, item in table.items() if key not in names}
        return attrs.evolve(spec, options=options) if spec else None

    def each(self, key: str, read: abc.Callable[[object, Path], T | None]) -> dict[str, T]:
        """Every entry of a table, read one by one; those with problems are left out."""
        values = {name: read(value, (key, name)) for name, value in self.table((key,)).items()}
        return {name: value for name, value in values.items() if value is not None}

    def table(self, path: Path) -> dict[str, object]:
        """The table at a path; empty where there is none."""
        value: object = self.source.tables
        for key in path:
            value = value.get(key, {}) if isinstance(value, dict) else {}
        return self.as_table(value, path) or {}

    def as_table(self, value: object, path: Path) -> dict[str, object] | None:
        """The value, if it is a table."""
        if isinstance(value, dict):
            return value
        self.problem(path, f"expected a table, found {brief(value)}")
        return None

    def build(self, table: object, kind: type[T], path: Path, recover: bool = False) -> T | None:
        """An attrs class from a table; with ``recover``, where keys are at fault, one without these keys."""
        checked = self.as_table(table, path)
        if checked is None:
            return None
        value, problems = structure(checked, kind, self.source.where, path)
        self.problems += problems
        return recovered(checked, kind) if value is None and recover else value

    def problem(self, path: Path, fact: str, hint: str = "") -> None:
        """Remember a problem at a key."""
        self.problems.append(Problem(self.source.where(path), fact, hint))
