"""What a stage sets: values by their paths, and schedules that count from its start."""

from __future__ import annotations

from collections import abc
from typing import cast

from latentkit.recipe._lines import Path
from latentkit.recipe.merging import Tree
from latentkit.recipe.source import Source


def leaves(table: abc.Mapping[str, object], prefix: Path = ()) -> abc.Iterator[tuple[Path, object]]:
    """The values that a table of a stage sets, each with its path."""
    for key, value in table.items():
        path = (*prefix, *key.split("."))
        if isinstance(value, dict) and not is_schedule(value) and "by" not in value:
            yield from leaves(value, path)
        else:
            yield path, value


def is_number(value: object) -> bool:
    """Whether it is a number, and not true or false."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_size(path: Path, value: object) -> bool:
    """Whether it is height and width of images."""
    return path[0] == "data" and path[-1] == "resolution" and isinstance(value, list) and all(map(is_number, value))


def is_schedule(value: object) -> bool:
    """Whether it is a ramp or stairs."""
    return isinstance(value, dict) and ("from" in value or isinstance(value.get("steps"), list))


def counted_from(value: object, start: int, images: int) -> Tree:
    """A schedule that counts from the start of its stage, as one that counts from the start of training."""
    table = dict(cast("Tree", value))
    shift = images if table.get("unit") == "images" else start
    if "from" in table:
        first = table.get("start", 0)
        table["start"] = first + shift if isinstance(first, int | float) else first
    elif isinstance(table["steps"], list):
        table["steps"] = [
            [item[0] + shift, *item[1:]] if isinstance(item, list) and item and is_number(item[0]) else item
            for item in table["steps"]
        ]
    return table


def put(tables: Tree, path: Path, value: object) -> bool:
    """Set a value in place; an expression on the way becomes the ``of`` of a table. Whether the path could be gone."""
    for key in path[:-1]:
        inner = tables.setdefault(key, {})
        if isinstance(inner, str) and path[0] == "phase" and "loss" in path:
            inner = tables[key] = {"of": inner}
        if not isinstance(inner, dict):
            return False
        tables = inner
    tables[path[-1]] = value
    return True


def flat_paths(table: abc.Mapping[str, object]) -> dict[str, object]:
    """What a stage sets, by dotted path."""
    return {".".join(path): value for path, value in leaves(table)}


def selectors(source: Source) -> frozenset[str]:
    """Scalars that choose between cases of a stage."""
    given = source.tables.get("stage", [])
    tables = [table for table in given if isinstance(table, dict)] if isinstance(given, list) else []
    sets = [table["set"] for table in tables if isinstance(table.get("set"), dict)]
    values = [value for each in sets for _, value in leaves(each)]
    return frozenset(str(value["by"]) for value in values if isinstance(value, dict) and "by" in value)
