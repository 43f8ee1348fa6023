"""What a recipe names, seen from its tables alone: also where these have faults."""

from __future__ import annotations

import re
from collections import abc

from latentkit.recipe.schema import Recipe
from latentkit.recipe.source import Source


def declared(source: Source) -> dict[str, list[str]]:
    """The names that each table of a recipe declares, whether or not what they are is sound."""
    tables = source.tables
    data = tables.get("data", {})
    inner = list(data.values()) if isinstance(data, dict) else []
    sources = [data] if isinstance(data, dict) and "use" in data else inner
    gives = [one.get("gives", {"x": "image"}) for one in sources if isinstance(one, dict)]
    found = {"data": [name for given in gives for name in (given if isinstance(given, dict) else ("x",))]}
    for key in ("draw", "scalars", "state", "parts", "flow"):
        table = tables.get(key, {})
        found[key] = list(table) if isinstance(table, dict) else []
    return found


def words(value: object) -> set[str]:
    """Every word in the texts of the tables, but for the names of what is trained: all that may be an expression."""
    if isinstance(value, str):
        return set(re.findall(r"\w+", value))
    if isinstance(value, dict):
        return {word for key, item in value.items() if key != "train" for word in words(item)}
    return {word for item in value for word in words(item)} if isinstance(value, list) else set()


def lost_expressions(source: Source, recipe: Recipe) -> bool:
    """Whether a place where an expression stands could not be read at all, so that nobody knows what it said."""
    tables = source.tables
    pairs: list[tuple[object, abc.Sized]] = [
        (tables.get("flow", {}), recipe.flow), (tables.get("phase", {}), recipe.phase),
        (tables.get("inference", {}), recipe.inference), (tables.get("monitor", {}), recipe.monitor),
        (tables.get("state", {}), recipe.state), (tables.get("draw", {}), recipe.draw),
    ]  # fmt: skip
    phases = tables.get("phase", {})
    for name, spec in recipe.phase.items():
        table = phases[name] if isinstance(phases, dict) else {}
        pairs.append((table.get("loss", {}), spec.loss))
    return any(not isinstance(written, dict) or len(written) != len(read) for written, read in pairs)
