"""Packages from elsewhere: what is installed, and what each answers when it is asked for components and recipes."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import re
import reprlib
import types
from collections import abc
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from latentkit.errors import RegistryError
from latentkit.registry.catalogue import KINDS, Entry, is_target, module_path, read_catalogue

if TYPE_CHECKING:
    from latentkit.interfaces import Component

GROUP = "latentkit"
UNKNOWN = "?"
_NAME = re.compile(r"[A-Za-z0-9_-]+")


def entry_points() -> list[tuple[str, str, str, str]]:
    """The installed packages as (plugin, module, distribution, version), by name and distribution."""
    found = map(_entry_point, importlib.metadata.entry_points(group=GROUP))
    return sorted(found, key=lambda point: (point[0], point[2]))


def _entry_point(point: importlib.metadata.EntryPoint) -> tuple[str, str, str, str]:
    module = point.value.partition(":")[0].partition("[")[0].strip()  # `point.module` fails where the value is damaged
    return point.name, module, *_distribution(point.dist)


def _distribution(dist: importlib.metadata.Distribution | None) -> tuple[str, str]:
    try:
        return (str(dist.name), str(dist.version)) if dist else (UNKNOWN, UNKNOWN)
    except Exception:  # its metadata are damaged; what it brings may be in order
        return UNKNOWN, UNKNOWN


def read_package(name: str, module: str) -> object:
    """The plugin object of a package: its table in the ``registry.toml`` beside the module, or the module, imported.

    Raises:
        RegistryError: the name cannot be a plugin's, or ``registry.toml`` is faulty.
        BaseException: whatever the module raises.
    """
    if not _NAME.fullmatch(name):
        raise RegistryError(f"'{name}' is no name for a plugin: expected letters, digits, '-' and '_'")
    path = module_path(module)
    catalogue = path.parent / "registry.toml" if path else None
    if catalogue is None or not catalogue.is_file():
        return importlib.import_module(module)
    found = {item.name: item for item in read_catalogue(catalogue)}
    if name not in found:
        raise RegistryError(f"its registry.toml has no table [{name}]")
    return attrs.evolve(found[name], module=module)


def read_components(plugin: str, answer: abc.Mapping[str, object]) -> dict[str, Entry]:
    """What the hook ``latentkit_components`` answered, as entries by full name.

    Raises:
        RegistryError: a value is no component.
    """
    return {f"{plugin}.{bare}": _entry(f"{plugin}.{bare}", target) for bare, target in answer.items()}


def _entry(full: str, target: object) -> Entry:
    if isinstance(target, Entry):
        return target
    return Entry(full, None if is_target(target) else str(component_type(full, target).kind), target)


def component_type(full: str, target: object) -> type[Component]:
    """The class of a component: the target itself, or what a decorated function stands for.

    Raises:
        RegistryError: the target is neither, or its kind is unknown.
    """
    from latentkit.interfaces import Component

    found = getattr(target, "part_type", target)
    if not isinstance(found, type) or not issubclass(found, Component):
        expected = "a class derived from lk.Encoder, lk.Prior, ..., or a function decorated with @lk.loss, ..."
        raise RegistryError(f"'{full}' is not a component: expected {expected}; found {described(target)}")
    if getattr(found, "kind", None) not in KINDS:
        raise RegistryError(f"'{full}' is of no known kind: its class has to derive from lk.Encoder, lk.Loss, ...")
    return found


def read_recipes(answer: abc.Mapping[str, object]) -> dict[str, Path]:
    """What the hook ``latentkit_recipes`` answered.

    Raises:
        RegistryError: a value is no path.
    """
    for name, path in answer.items():
        if not isinstance(path, str | os.PathLike):
            raise RegistryError(f"recipe '{name}': expected the path of a .toml file, found {described(path)}")
    return {name: Path(str(path)) for name, path in answer.items()}


def described(value: object) -> str:
    """A value that was not expected, for a message."""
    if value is None:
        return "None"
    if isinstance(value, type | types.FunctionType):
        return f"the {'class' if isinstance(value, type) else 'function'} '{value.__name__}'"
    return f"{type(value).__name__} {reprlib.repr(value)}"
