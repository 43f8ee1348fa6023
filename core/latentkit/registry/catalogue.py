"""``registry.toml``: what a plugin ships, readable without importing it (nor torch)."""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import re
import tomllib
from collections import abc
from pathlib import Path

import attrs

from latentkit.errors import RegistryError
from latentkit.hooks import hookimpl

KINDS = (
    "mapping", "generator", "encoder", "discriminator", "function", "loss", "regularizer", "prior", "data",
    "optimizer", "initializer", "constraint", "metric", "observer", "direction",
)  # fmt: skip
_TARGET = re.compile(r"\w+(\.\w+)*:\w+")


@attrs.frozen
class Entry:
    """One component: its qualified name, kind (``None``: known once imported) and import target."""

    name: str
    kind: str | None
    target: object

    def summary(self) -> str:
        """The first line of the component's docstring, read from the source without importing it."""
        if not isinstance(self.target, str):
            return _first_line(getattr(self.target, "__doc__", None))
        module, _, attribute = self.target.partition(":")
        return _docstrings(module).get(attribute, "")


@attrs.frozen
class Catalogue:
    """The content of one plugin's table in ``registry.toml``. It is itself a plugin that answers the hooks."""

    name: str
    title: str = ""
    paper: str = ""
    module: str = ""
    entries: tuple[Entry, ...] = ()
    recipe_notes: dict[str, str] = attrs.field(factory=dict, eq=False)
    converters: dict[str, object] = attrs.field(factory=dict, eq=False)

    @hookimpl
    def latentkit_components(self) -> abc.Mapping[str, object]:
        """The components, by bare name."""
        return {entry.name.partition(".")[2]: entry for entry in self.entries}

    @hookimpl
    def latentkit_recipes(self) -> abc.Mapping[str, Path]:
        """The recipes, as files in the plugin's folder ``recipes``."""
        if not self.recipe_notes:
            return {}
        folder = module_path(self.module)
        if folder is None:
            raise RegistryError(f"plugin '{self.name}': its module '{self.module}' is not installed")
        return {name: folder.parent / "recipes" / f"{name}.toml" for name in self.recipe_notes}

    @hookimpl
    def latentkit_converters(self) -> abc.Mapping[str, object]:
        """The converters of foreign checkpoints, by name."""
        return self.converters


def read_catalogue(path: Path) -> list[Catalogue]:
    """All plugins of a ``registry.toml``.

    Raises:
        RegistryError: not TOML, or an unknown key or kind.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RegistryError(f"{path.name}: {error}") from None
    return [_catalogue(path, name, table) for name, table in tables.items()]


def _catalogue(path: Path, name: str, table: object) -> Catalogue:
    if not isinstance(table, dict):
        raise RegistryError(f"{path.name}: expected a table [{name}], found {table!r}")
    entries = []
    for key, value in table.items():
        if key in ("title", "paper", "module"):
            continue
        if key == "recipes":
            continue
        if (key not in KINDS and key != "converters") or not isinstance(value, dict):
            raise RegistryError(f"{path.name}, [{name}]: unknown kind '{key}'; known: {', '.join(KINDS)}")
        for bare, target in value.items():
            if not is_target(target):
                expected = 'expected "module:attribute"'
                raise RegistryError(f"{path.name}, [{name}.{key}] {bare}: {expected}, found {target!r}")
        entries += [Entry(f"{name}.{bare}", key, target) for bare, target in value.items() if key in KINDS]
    plain = {key: str(table.get(key, "")) for key in ("title", "paper", "module")}
    notes = table.get("recipes", {})
    if not isinstance(notes, dict) or not all(isinstance(note, str) for note in notes.values()):
        raise RegistryError(f"{path.name}, [{name}.recipes]: expected one line on each recipe, found {notes!r}")
    converters = table.get("converters", {})
    return Catalogue(name=name, entries=tuple(entries), recipe_notes=notes, converters=converters, **plain)


def is_target(value: object) -> bool:
    """Whether it is of the form ``"module:attribute"``."""
    return isinstance(value, str) and _TARGET.fullmatch(value) is not None


def shipped_catalogue() -> Path:
    """The project's own ``registry.toml``: inside the wheel, or at the source root of a checkout."""
    inside = Path(__file__).parents[1] / "registry.toml"
    return inside if inside.is_file() else Path(__file__).parents[3] / "registry.toml"


def module_path(module: str) -> Path | None:
    """The file of a module, found without importing it or the packages that it is in."""
    first, *others = module.split(".")
    full = first
    try:
        spec = importlib.util.find_spec(first)
        for name in others:
            full = f"{full}.{name}"
            folders = spec.submodule_search_locations if spec else None
            spec = importlib.machinery.PathFinder.find_spec(full, folders) if folders else None
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec and spec.has_location and spec.origin else None


def _docstrings(module: str, cache: dict[str, dict[str, str]] = {}) -> dict[str, str]:  # noqa: B006 - a cache
    if module not in cache:
        path = module_path(module)
        try:
            tree = ast.parse(path.read_text(encoding="utf-8")) if path else ast.Module([], [])
        except (OSError, SyntaxError, ValueError):  # told once the component is used
            tree = ast.Module([], [])
        named = [node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
        cache[module] = {node.name: _first_line(ast.get_docstring(node)) for node in named}
    return cache[module]


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]
