"""Merging of tables: a recipe over what it extends, overrides over the recipe."""

from __future__ import annotations

from collections import abc

from latentkit.errors import Problem, RecipeError
from latentkit.recipe._lines import Path

Tree = dict[str, object]
COMMON_DATA_OPTIONS = frozenset({"resolution", "channels", "range", "split", "flip", "gives", "per"})


def plant(tree: Tree, path: Path, value: object) -> None:
    """Set a value at a path of an overlay.

    Raises:
        RecipeError: the path is set to a value and to a table.
    """
    for key in path[:-1]:
        inner = tree.setdefault(key, {})
        if not isinstance(inner, dict):
            raise RecipeError([Problem(f"--set {'.'.join(path)}", f"'{key}' is set to a value and to a table")])
        tree = inner
    known = tree.get(path[-1])
    if known is not None and isinstance(known, dict) != isinstance(value, dict):
        raise RecipeError([Problem(f"--set {'.'.join(path)}", f"'{path[-1]}' is set to a value and to a table")])
    if isinstance(value, dict):
        table: Tree = known if isinstance(known, dict) else {}
        tree[path[-1]] = table
        for key, inner in value.items():
            plant(table, (key,), inner)
    else:
        tree[path[-1]] = value


def copy_tree(tree: Tree) -> Tree:
    """Tables anew; their values are shared."""
    return {key: copy_tree(value) if isinstance(value, dict) else value for key, value in tree.items()}


def paths(tree: Tree, prefix: Path = ()) -> abc.Iterator[Path]:
    """The path of every table and key."""
    for key, value in tree.items():
        yield (*prefix, key)
        if isinstance(value, dict):
            yield from paths(value, (*prefix, key))


def merge(parent: Tree, child: Tree, path: Path = ()) -> Tree:
    """Child over parent, key by key; a table that names another ``use`` replaces the parent's whole.

    Of a data source the options that every source has survive a change of ``use``.
    """
    merged = dict(parent)
    for key, value in child.items():
        old = parent.get(key)
        if isinstance(old, str) and isinstance(value, dict) and "loss" in path and "use" not in value:
            old = {"of": old}
        if isinstance(old, dict) and isinstance(value, dict):
            merged[key] = _merge_tables(old, value, (*path, key))
        else:
            merged[key] = copy_tree(value) if isinstance(value, dict) else value
    return merged


def _merge_tables(old: Tree, new: Tree, path: Path) -> Tree:
    if ("from" in old and "steps" in new) or ("steps" in old and "from" in new and "use" not in old):
        return copy_tree(new)  # one kind of schedule in place of the other
    changed = "use" in new and new["use"] != old.get("use")
    if changed and path[0] == "data":
        return merge({key: value for key, value in old.items() if key in COMMON_DATA_OPTIONS}, new, path)
    return copy_tree(new) if changed and "use" in old else merge(old, new, path)
