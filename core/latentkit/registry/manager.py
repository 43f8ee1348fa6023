"""The registry: plugins through pluggy, components imported when a recipe names them, faults kept in quarantine."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.metadata
from collections import abc
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pluggy

import latentkit.hooks
from latentkit.errors import RegistryError, nearest
from latentkit.registry import packages
from latentkit.registry.asking import asked, register
from latentkit.registry.catalogue import Catalogue, Entry, read_catalogue, shipped_catalogue
from latentkit.registry.converters import find_converter, made, read_converters
from latentkit.registry.quarantine import PluginInfo, Taken, first_line, guarded, raised_in

if TYPE_CHECKING:
    from latentkit.interfaces import Component, Converter
    from latentkit.proof.report import Report


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
        self.converters: dict[str, Entry] = {}
        self.modules: dict[str, str] = {}
        self.notes: dict[str, str] = {}
        self.proofs: dict[object, Report] = {}
        """What was proved with these components, for :mod:`latentkit.proof`."""
        self._loaded: dict[str, tuple[Entry, type[Component]]] = {}
        self._distributions: set[str] = set()
        version = _own_version()
        for catalogue in catalogues:
            self.add(catalogue.name, catalogue, "built in", version)
        for name, module, distribution, its_version in entry_points:
            self._add_package(name, module, distribution, its_version)

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
        known = self._loaded.get(entry.name)
        if known is None or known[0] is not entry:
            known = self._loaded[entry.name] = (entry, self._import(entry))
        part_type = known[1]
        kind = part_type.kind
        if kinds and kind not in kinds:
            raise RegistryError(f"'{entry.name}' is a {kind}; expected a {' or '.join(kinds)}")
        return part_type

    def _import(self, entry: Entry) -> type[Component]:
        target, owner = entry.target, entry.name.partition(".")[0]
        if isinstance(target, str):
            module, _, attribute = target.partition(":")
            with self._blaming(owner, f"'{entry.name}' of plugin '{owner}' cannot be imported: "), guarded():
                target = getattr(importlib.import_module(module), attribute)
        with self._blaming(owner):
            return packages.component_type(entry.name, target)

    def converter(self, name: str) -> Converter:
        """Import a converter of foreign checkpoints.

        Raises:
            RegistryError: unknown, it cannot be imported, or it is none.
        """
        entry = find_converter(name, self.converters)
        owner = entry.name.partition(".")[0]
        with self._blaming(owner, f"converter '{name}' of plugin '{owner}' cannot be used: "), guarded():
            return made(entry)

    def of_kind(self, kind: str | None = None) -> list[Entry]:
        """All entries, or those of a kind, by name."""
        chosen = [entry for entry in self.entries.values() if kind in (None, entry.kind)]
        return sorted(chosen, key=lambda entry: entry.name)

    def activate(self, names: abc.Iterable[str]) -> None:
        """Import the modules of the plugins that own these components, so that their lifecycle hooks run.

        Raises:
            RegistryError: one cannot be imported, or implements a hook that does not exist.
        """
        for owner in sorted({(name if "." in name else f"core.{name}").partition(".")[0] for name in names}):
            module = self.modules.get(owner, "")
            if module and not self.manager.has_plugin(module):
                with self._blaming(owner, f"plugin '{owner}' cannot take part in a run: "), guarded():
                    register(self.manager, importlib.import_module(module), module)

    def add(self, name: str, plugin: object, origin: str, version: str) -> None:
        """Take a plugin object that implements the hooks; one that fails is put in quarantine.

        Args:
            name: its name, which its components start with.
            plugin: a module or object with hook implementations.
            origin: where it comes from, for messages.
            version: of the package.
        """
        title, paper = (str(getattr(plugin, key, "")) for key in ("title", "paper"))
        info = PluginInfo(name, title, paper, origin, version, "", self._known([origin]))
        try:
            with guarded():
                register(self.manager, plugin, f"catalogue of {name}")
                try:
                    self._take(name, plugin)
                except BaseException:
                    self.manager.unregister(plugin)
                    raise
        except RegistryError as error:
            self._put_aside(name, info, error)
            return
        self.plugins[name] = info
        if isinstance(plugin, Catalogue):
            self.modules[name] = plugin.module
            self.notes.update(plugin.recipe_notes)

    def _take(self, name: str, plugin: object) -> None:
        fresh = packages.read_components(name, asked(self.manager, "latentkit_components", plugin))
        recipes = packages.read_recipes(asked(self.manager, "latentkit_recipes", plugin))
        for recipe in recipes:
            if recipe in self.recipes:
                raise Taken(f"recipe '{recipe}'", self.plugins[self.recipe_owner[recipe]])
        converters = read_converters(name, asked(self.manager, "latentkit_converters", plugin))
        for bare in converters:
            if bare in self.converters:
                raise Taken(f"converter '{bare}'", self.plugins[self.converters[bare].name.partition(".")[0]])
        self.entries.update(fresh)
        self.recipes.update(recipes)
        self.converters.update(converters)
        self.recipe_owner.update(dict.fromkeys(recipes, name))

    def _add_package(self, name: str, module: str, distribution: str, version: str) -> None:
        self._distributions |= {distribution} - {packages.UNKNOWN}
        info = PluginInfo(name, "", "", distribution, version)
        if name in self.plugins:
            self._put_aside(f"{name} ({distribution})", info, Taken("its name", self.plugins[name]))
            return
        try:
            with guarded():
                plugin = packages.read_package(name, module)
        except RegistryError as error:
            self._put_aside(name, info, error)
            return
        self.add(name, plugin, distribution, version)

    def _put_aside(self, key: str, info: PluginInfo, error: RegistryError) -> None:
        fault = "\n".join(filter(None, [str(error), raised_in(error.__cause__)]))
        rivals = [error.owner.origin] if isinstance(error, Taken) else []
        self.plugins[key] = attrs.evolve(info, fault=fault, distributions=self._known([info.origin, *rivals]))

    def _known(self, origins: abc.Sequence[str]) -> tuple[str, ...]:
        return tuple(origin for origin in dict.fromkeys(origins) if origin in self._distributions)

    @contextlib.contextmanager
    def _blaming(self, owner: str, what: str = "") -> abc.Iterator[None]:
        """A plugin that was well until it was used: where it failed, whose it is, how to remove it."""
        try:
            yield
        except RegistryError as error:
            info = self.plugins[owner]
            whose = f"({info.package}; {info.remedy})" if info.remedy else ""
            said = [f"{what}{first_line(str(error))}", raised_in(error.__cause__), whose]
            raise RegistryError(" ".join(filter(None, said))) from error

    def _unknown(self, full: str, kinds: abc.Collection[str]) -> str:
        owner = full.partition(".")[0]
        info = self.plugins.get(owner)
        if info is not None and info.fault:
            why = "; ".join(filter(None, [info.reason, info.remedy]))
            return f"plugin '{owner}' is broken, so '{full}' is not available: {why}"
        names = [entry.name for entry in self.entries.values() if not kinds or entry.kind in kinds]
        missing = "" if info else f": no plugin '{owner}' is installed"
        hint = nearest(full, names) or f"see `latentkit {'list' if info else 'plugins'}`"
        return f"no {' or '.join(kinds) or 'component'} is called '{full}'{missing}; {hint}"


def _own_version() -> str:
    try:
        return importlib.metadata.version("latentkit")
    except importlib.metadata.PackageNotFoundError:
        return "source"


@functools.cache
def default_registry() -> Registry:
    """The registry of what is installed here."""
    return Registry(read_catalogue(shipped_catalogue()), packages.entry_points())
