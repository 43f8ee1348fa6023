"""Recipe text: reading TOML, following ``extends``, ``remove`` and overrides, and writing it back."""

from __future__ import annotations

import tomllib
from collections import abc
from pathlib import Path as FilePath

import attrs

from latentkit.errors import Problem, RecipeError, nearest
from latentkit.recipe._lines import Path, key_lines, shown
from latentkit.recipe.merging import Tree, copy_tree, merge, paths, plant

MAX_BYTES = 1_000_000
MAX_DEPTH = 32


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
            plant(overlay, tuple(dotted.split(".")), value)
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
        self.chain.append(path)
        text = _text(path)
        try:
            tables = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise RecipeError([_not_toml(path, text, error)]) from None
        except RecursionError:
            raise RecipeError([_too_deep(str(path))]) from None
        if _depth(tables) > MAX_DEPTH:
            raise RecipeError([_too_deep(str(path))])
        label = path.name if base is not None or path in self.shipped.values() else str(recipe)
        return self.tables(tables, label, path, key_lines(text))

    def tables(
        self, tables: Tree, label: str, path: FilePath | None, lines: abc.Mapping[Path, int] | None = None
    ) -> Source:
        if _depth(tables) > MAX_DEPTH:
            raise RecipeError([_too_deep(label)])
        name = path.stem if path else label
        places = {key: f"{label}, line {line}" for key, line in (lines or {}).items()}
        own = dict(tables)
        extends = tables.pop("extends", None)
        removed = tables.pop("remove", [])
        here = Source(name, tables, places, None, own)
        if extends is None:
            if removed:
                fact = "'remove' needs 'extends': there is nothing to remove from"
                raise RecipeError([Problem(here.where(("remove",)), fact)])
            return here
        if not isinstance(extends, str):
            raise RecipeError([Problem(here.where(("extends",)), f"expected a recipe's name, found {extends!r}")])
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
        path = (base / text if base is not None else FilePath(text)).resolve()
        if not path.is_file():
            raise RecipeError([Problem(where, f"no such recipe file: {text}")])
        return path


def _text(path: FilePath) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            size = path.stat().st_size / 1e6
            raise RecipeError([Problem(str(path), f"{size:.1f} MB is no recipe; at most 1 MB is read")])
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise RecipeError([Problem(str(path), "not a text file: a recipe is TOML in UTF-8")]) from None
    except OSError as error:
        raise RecipeError([Problem(str(path), f"cannot be read: {error.strerror}")]) from None


def _not_toml(path: FilePath, text: str, error: tomllib.TOMLDecodeError) -> Problem:
    message = str(error)
    hint = ""
    if any(sign in message for sign in ("inline", "immutable", "Cannot mutate", "Cannot declare")):
        hint = (
            "an inline table { ... } is closed: write its further keys inside the braces, or use a [table] header "
            "instead of the braces"
        )
    return Problem(str(path.name), f"not valid TOML: {message}", hint)


def _too_deep(label: str) -> Problem:
    return Problem(label, f"tables are nested more than {MAX_DEPTH} deep")


def _removed(parent: Source, removed: object, here: Source) -> Tree:
    base = copy_tree(parent.tables)
    if not isinstance(removed, list) or not all(isinstance(item, str) for item in removed):
        raise RecipeError([Problem(here.where(("remove",)), f"expected a list of dotted paths, found {removed!r}")])
    problems = []
    for dotted in removed:
        *tables, last = dotted.split(".")
        inner: object = base
        for key in tables:
            inner = inner.get(key) if isinstance(inner, dict) else None
        if isinstance(inner, dict) and last in inner:
            del inner[last]
        else:
            fact = f"remove: '{parent.name}' has no '{dotted}'"
            hint = nearest(dotted, (".".join(path) for path in paths(parent.tables)))
            problems.append(Problem(here.where(("remove",)), fact, hint))
    if problems:
        raise RecipeError(problems)
    return base


def _depth(value: object, level: int = 0) -> int:
    if level > MAX_DEPTH:
        return level
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return max((_depth(item, level + 1) for item in inner), default=level)
