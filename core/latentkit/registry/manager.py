"""The registry: plugins through pluggy, components imported when a recipe names them, faults kept in quarantine."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
from collections import abc
from pathlib import Path

import attrs
import pluggy

import latentkit.hooks
from latentkit.errors import RegistryError, nearest
from latentkit.registry.catalogue import Catalogue, Entry, module_path, read_catalogue, shipped_catalogue

GROUP = "latentkit"


@attrs.frozen
class PluginInfo:
    """What ``latentkit plugins`` tells of one plugin."""

    name: str
    title: str
    paper: str
    origin: str
    version: str
    fault: str = ""
    """Why it is in quarantine; empty when it is well."""


class Registry:
    """Finds components and recipes by name.

    Args:
        catalogues: built-in plugins.
        entry_points: third-party packages: (name, module, distribution, version).
    """

    def __init__(
        self,
        catalogues: abc.Iterable[Catalogue],
        entry_points: abc.Iterable[tuple[str, str, str, str]] = (),
    ) -> None:
        self.manager = pluggy.PluginManager("latentkit")
        self.manager.add_hookspecs(latentkit.hooks)
        self.plugins: dict[str, PluginInfo] = {}
        self.entries: dict[str, Entry] = {}
        self.recipes: dict[str, Path] = {}
        self.recipe_owner: dict[str, str] = {}
        self.modules: dict[str, str] = {}
        self.notes: dict[str, str] = {}
        version = _own_version()
        for catalogue in catalogues:
            self.add(catalogue.name, catalogue, "built in", version)
        for name, module, origin, its_version in entry_points:
            self._add_package(name, module, origin, its_version)

    def find(self, name: str, kinds: abc.Collection[str] = ()) -> Entry:
        """The entry of a component; a name without a dot means ``core.NAME``.

        Raises:
            RegistryError: no such component, or it is of another kind.
        """
        full = name if "." in name else f"core.{name}"
        entry = self.entries.get(full)
        if entry is None:
            raise RegistryError(self._unknown(full, kinds))
        if kinds and entry.kind not in (*kinds, None):
            raise RegistryError(f"'{full}' is a {entry.kind}; expected a {' or '.join(kinds)}")
        return entry

    def load(self, name: str, kinds: abc.Collection[str] = ()) -> type:
        """Import a component: its class.

        Raises:
            RegistryError: unknown, of another kind, or it cannot be imported.
        """
        entry = self.find(name, kinds)
        target = entry.target
        if isinstance(target, str):
            module, _, attribute = target.partition(":")
            try:
                target = getattr(importlib.import_module(module), attribute)
            except Exception as error:
                owner = entry.name.partition(".")[0]
                raise RegistryError(f"'{entry.name}' of plugin '{owner}' cannot be imported: {_said(error)}") from error
        part_type = getattr(target, "part_type", target)
        if not isinstance(part_type, type):
            raise RegistryError(f"'{entry.name}' is not a component: {target!r}")
        kind = getattr(part_type, "kind", None)
        if kinds and kind not in kinds:
            raise RegistryError(f"'{entry.name}' is a {kind}; expected a {' or '.join(kinds)}")
        return part_type

    def of_kind(self, kind: str | None = None) -> list[Entry]:
        """All entries, or those of a kind, by name."""
        chosen = [entry for entry in self.entries.values() if kind in (None, entry.kind)]
        return sorted(chosen, key=lambda entry: entry.name)

    def activate(self, names: abc.Iterable[str]) -> None:
        """Import the modules of the plugins that own these components, so that their lifecycle hooks run."""
        for owner in {(name if "." in name else f"core.{name}").partition(".")[0] for name in names}:
            module = self.modules.pop(owner, "")
            if module and not self.manager.has_plugin(module):
                self.manager.register(importlib.import_module(module), module)
        self.manager.check_pending()

    def add(self, name: str, plugin: object, origin: str, version: str) -> None:
        """Take a plugin object that implements the hooks; one that fails is put in quarantine.

        Args:
            name: its name, which its components start with.
            plugin: a module or object with hook implementations.
            origin: where it comes from, for messages.
            version: of the package.
        """
        title, paper = getattr(plugin, "title", ""), getattr(plugin, "paper", "")
        try:
            self.manager.register(plugin, f"catalogue of {name}")
            self.manager.check_pending()  # a misspelt hook would never be called
            hooks = self.manager.subset_hook_caller(
                "latentkit_components", [other for other in self.manager.get_plugins() if other is not plugin]
            )
            self._take(name, hooks(), plugin)
            self.modules[name] = getattr(plugin, "module", "")
            self.notes.update(getattr(plugin, "recipe_notes", {}))
            self.plugins[name] = PluginInfo(name, title, paper, origin, version)
        except Exception as error:
            if self.manager.is_registered(plugin):
                self.manager.unregister(plugin)
            self.plugins[name] = PluginInfo(name, title, paper, origin, version, _said(error))

    def _take(self, name: str, components: abc.Sequence[abc.Mapping[str, object]], plugin: object) -> None:
        fresh: dict[str, Entry] = {}
        for bare, target in (item for answer in components for item in answer.items()):
            full = f"{name}.{bare}"
            part_type = getattr(target, "part_type", target)
            entry = target if isinstance(target, Entry) else Entry(full, getattr(part_type, "kind", None), target)
            if full in self.entries:
                raise RegistryError(f"'{full}' is taken by plugin '{self.entries[full].name.partition('.')[0]}'")
            fresh[full] = entry
        recipes: dict[str, Path] = {}
        others = [other for other in self.manager.get_plugins() if other is not plugin]
        for answer in self.manager.subset_hook_caller("latentkit_recipes", others)():
            for recipe, path in answer.items():
                if recipe in self.recipes:
                    raise RegistryError(f"recipe '{recipe}' is taken by plugin '{self.recipe_owner[recipe]}'")
                recipes[recipe] = path
        self.entries.update(fresh)
        self.recipes.update(recipes)
        self.recipe_owner.update(dict.fromkeys(recipes, name))

    def _add_package(self, name: str, module: str, origin: str, version: str) -> None:
        if name in self.plugins:
            fault = f"the name '{name}' is taken by {self.plugins[name].origin}"
            self.plugins[f"{name} ({origin})"] = PluginInfo(name, "", "", origin, version, fault)
            return
        path = module_path(module)
        catalogue = path.parent / "registry.toml" if path else None
        try:
            if catalogue is not None and catalogue.is_file():
                found = {item.name: item for item in read_catalogue(catalogue)}
                if name not in found:
                    raise RegistryError(f"its registry.toml has no table [{name}]")
                plugin: object = attrs.evolve(found[name], module=module)
            else:
                plugin = importlib.import_module(module)
        except Exception as error:
            self.plugins[name] = PluginInfo(name, "", "", origin, version, _said(error))
            return
        self.add(name, plugin, origin, version)

    def _unknown(self, full: str, kinds: abc.Collection[str]) -> str:
        owner = full.partition(".")[0]
        info = self.plugins.get(owner)
        if info is not None and info.fault:
            return f"plugin '{owner}' is broken, so '{full}' is not available: {info.fault}"
        names = [entry.name for entry in self.entries.values() if not kinds or entry.kind in kinds]
        hint = nearest(full, names) or "see `latentkit list`"
        return f"no {' or '.join(kinds) or 'component'} is called '{full}'; {hint}"


def _said(error: BaseException) -> str:
    return str(error) if isinstance(error, RegistryError) else f"{type(error).__name__}: {error}"


def _own_version() -> str:
    try:
        return importlib.metadata.version("latentkit")
    except importlib.metadata.PackageNotFoundError:
        return "source"


def _entry_points() -> abc.Iterator[tuple[str, str, str, str]]:
    for point in importlib.metadata.entry_points(group=GROUP):
        dist = point.dist
        yield point.name, point.module, dist.name if dist else "?", dist.version if dist else "?"


@functools.cache
def default_registry() -> Registry:
    """The registry of what is installed here."""
    return Registry(read_catalogue(shipped_catalogue()), _entry_points())
