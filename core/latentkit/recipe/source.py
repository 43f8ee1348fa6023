"""Recipe text: reading TOML, following ``extends``, ``remove`` and overrides, and writing it back."""

from __future__ import annotations

from collections import abc
from pathlib import Path as FilePath

import attrs

from latentkit.errors import Problem, RecipeError, nearest
from latentkit.recipe._lines import Path, key_lines, shown
from latentkit.recipe._toml import MAX_DEPTH, check_depth, parse, read_text
from latentkit.recipe.merging import Tree, copy_tree, merge, paths, plant
from latentkit.recipe.writing import brief


@attrs.frozen
class Source:
    """The merged tables of a recipe, and where each key was written."""

    name: str
    tables: Tree
    places: abc.Mapping[Path, str]
    """Path of a key to ``"FILE, line N"``."""
    parent: Source | None = None
    own: Tree = attrs.field(factory=dict)
    """What the recipe itself says, before it was merged with what it extends."""
    staged: Source | None = None
    """The recipe with stages that this is one stage of."""

    @property
    def whole(self) -> Source:
        """The recipe with all its stages."""
        return self.staged or self

    def where(self, path: abc.Sequence[str]) -> str:
        """``"FILE, line N, [table] key"`` for the key, or for the nearest table that was written."""
        path = tuple(path)
        for depth in range(len(path), -1, -1):
            if path[:depth] in self.places:
                return f"{self.places[path[:depth]]}, {shown(path)}".rstrip(", ")
        return f"{self.name}, {shown(path)}".rstrip(", ")


def read(
    recipe: str | FilePath | abc.Mapping[str, object] | Source,
    overrides: abc.Mapping[str, object] | None = None,
    shipped: abc.Mapping[str, FilePath] | None = None,
) -> Source:
    """Read a recipe by shipped name, path or tables, with all that it extends, and apply the overrides.

    Raises:
        RecipeError: unknown name, unreadable file, not TOML, a circle of ``extends``, a path in ``remove`` that does
            not exist.
    """
    reader = _Reader(shipped or {})
    if isinstance(recipe, Source):
        source = recipe
    elif isinstance(recipe, abc.Mapping):
        source = reader.tables(dict(recipe), "recipe", None)
    else:
        source = reader.load(recipe)
    if overrides:
        overlay: Tree = {}
        for dotted, value in overrides.items():
            plant(overlay, tuple(dotted.split(".", MAX_DEPTH + 1)), value)
        check_depth(overlay, "--set")
        places = dict(source.places)
        for path in paths(overlay):
            places[path] = f"--set {'.'.join(path)}"
        source = attrs.evolve(source, tables=merge(source.tables, overlay), places=places)
    return source


class _Reader:
    def __init__(self, shipped: abc.Mapping[str, FilePath]) -> None:
        self.shipped = shipped
        self.chain: list[FilePath] = []

    def load(self, recipe: str | FilePath, base: FilePath | None = None, where: str = "") -> Source:
        path = self._locate(recipe, base, where)
        if path in self.chain:
            circle = " -> ".join(item.name for item in [*self.chain, path])
            raise RecipeError([Problem(where, f"extends in a circle: {circle}", "remove one of the 'extends'")])
        if len(self.chain) == MAX_DEPTH:
            raise RecipeError([Problem(where, f"extends a chain of more than {MAX_DEPTH} recipes")])
        self.chain.append(path)
        label = path.name if base is not None or path in self.shipped.values() else str(recipe)
        text = read_text(path, label)
        return self.tables(parse(text, label), label, path, key_lines(text))

    def tables(
        self, tables: Tree, label: str, path: FilePath | None, lines: abc.Mapping[Path, int] | None = None
    ) -> Source:
        check_depth(tables, label)
        name = path.stem if path else label
        places = {(): label} | {key: f"{label}, line {line}" for key, line in (lines or {}).items()}
        own = dict(tables)
        extends = tables.pop("extends", None)
        removed = tables.pop("remove", [])
        here = Source(name, tables, places, None, own)
        if extends is None:
            if removed:
                fact = "'remove' needs 'extends': there is nothing to remove from"
                hint = "name the recipe that this one changes, or drop 'remove'"
                raise RecipeError([Problem(here.where(("remove",)), fact, hint)])
            return here
        if not isinstance(extends, str):
            fact = f"expected a recipe's name, found {brief(extends)}"
            hint = "a shipped recipe (see `latentkit recipes`), or a path ending in .toml"
            raise RecipeError([Problem(here.where(("extends",)), fact, hint)])
        parent = self.load(extends, path.parent if path else FilePath.cwd(), here.where(("extends",)))
        base = _removed(parent, removed, here)
        return Source(name, merge(base, tables), {**parent.places, **places}, parent, own)

    def _locate(self, recipe: str | FilePath, base: FilePath | None, where: str) -> FilePath:
        text = str(recipe)
        if not text.endswith(".toml"):
            if text in self.shipped:
                return self.shipped[text]
            hint = nearest(text, self.shipped) or "see `latentkit recipes`, or give a path ending in .toml"
            raise RecipeError([Problem(where, f"no shipped recipe is called '{text}'", hint)])
        return _file(FilePath(text) if base is None else base / text, text, where)


def _file(path: FilePath, text: str, where: str) -> FilePath:
    try:
        path = path.resolve()
        if path.is_file():
            return path
        there = path.exists()
        near = [] if there else [item.stem for item in path.parent.glob("*.toml") if item.is_file()]
    except RuntimeError:  # a circle of links
        raise RecipeError([Problem(where, f"no such recipe file: {text}")]) from None
    except (OSError, ValueError) as error:  # a name too long, or with a NUL in it
        said = error.strerror if isinstance(error, OSError) else error
        raise RecipeError([Problem(where, f"no such recipe file: {text} ({said})")]) from None
    if there:
        what = "a folder" if path.is_dir() else "no regular file"
        raise RecipeError([Problem(where, f"no such recipe file: {text} is {what}")])
    hint = nearest(path.stem, near).replace("'?", ".toml'?")
    raise RecipeError([Problem(where, f"no such recipe file: {text}", hint)])


def _removed(parent: Source, removed: object, here: Source) -> Tree:
    base = copy_tree(parent.tables)
    if not isinstance(removed, list) or not all(isinstance(item, str) for item in removed):
        fact = f"expected a list of dotted paths, found {brief(removed)}"
        raise RecipeError([Problem(here.where(("remove",)), fact, 'as in remove = ["parts.D", "flow.fake"]')])
    problems = []
    for dotted in removed:
        *tables, last = dotted.split(".")
        inner: object = base
        for key in tables:
            inner = inner.get(key) if isinstance(inner, dict) else None
        if isinstance(inner, dict) and last in inner:
            del inner[last]
        else:
            fact = f"'{parent.name}' has no '{dotted}'"
            hint = nearest(dotted, (".".join(path) for path in paths(parent.tables)))
            problems.append(Problem(here.where(("remove",)), fact, hint))
    if problems:
        raise RecipeError(problems)
    return base
