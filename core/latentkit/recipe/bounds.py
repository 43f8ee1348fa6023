"""Whole numbers that TOML does not have, found before anything computes with them."""

from __future__ import annotations

import functools
from collections import abc
from typing import cast

from latentkit.recipe._lines import Path
from latentkit.recipe.merging import Tree


def bounded(tables: Tree) -> tuple[Tree, list[Path]]:
    """The tables with 1 in place of each whole number of more than 64 bits, and where these stand."""
    huge: list[Path] = []
    found = {key: _bounded(value, (key,), huge) for key, value in tables.items()}
    return (found if huge else tables), huge


def value_at(tables: Tree, path: abc.Sequence[str]) -> object:
    """What stands at a path; the entries of lists count from ``"0"``."""
    return functools.reduce(_entry, path, cast(object, tables))


def _bounded(value: object, path: Path, huge: list[Path]) -> object:
    if isinstance(value, dict):
        return {key: _bounded(item, (*path, key), huge) for key, item in value.items()}
    if isinstance(value, list):
        return [_bounded(item, (*path, str(index)), huge) for index, item in enumerate(value)]
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        huge.append(path)
        return 1
    return value


def _entry(value: object, key: str) -> object:
    return value[int(key)] if isinstance(value, list) else value[key] if isinstance(value, dict) else None
