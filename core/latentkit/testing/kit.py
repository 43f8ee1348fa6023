"""All checks of a plugin: of its components by kind, its converters, and its recipes."""

from __future__ import annotations

import functools
from collections import abc

from latentkit.errors import LatentkitError, RegistryError, nearest
from latentkit.interfaces import Component
from latentkit.registry.catalogue import Entry
from latentkit.registry.manager import Registry, default_registry
from latentkit.testing import descents, finders, parts, priors, recipes, sources, updates, watching
from latentkit.testing.checks import Check, Nonconforming, NotExercised
from latentkit.testing.subjects import Subject
from latentkit.testing.workplace import Workplace
from latentkit.wiring.components import PART_KINDS

Looks = abc.Mapping[str, abc.Callable[[], None]]
"""The properties of one component, by name."""
_KINDS: dict[str, abc.Callable[[Subject], Looks]] = {
    **dict.fromkeys(PART_KINDS, parts.checks),
    "prior": priors.checks,
    "data": sources.checks,
    "optimizer": descents.optimizer_checks,
    "initializer": updates.initializer_checks,
    "constraint": updates.constraint_checks,
    "metric": watching.metric_checks,
    "observer": watching.observer_checks,
    "direction": finders.finder_checks,
}


def checks_of(*plugins: str, registry: Registry | None = None, with_recipes: bool = True) -> list[Check]:
    """One check per component and property of these plugins, components by name, then converters, then recipes.

    Components are imported, and nothing else happens until a check is run. What the checks of one component have in
    common is made once; so the checks of one component should run in one process.

    Args:
        plugins: names as ``latentkit plugins`` has them; ``core`` and the other plugins that ship too.
        registry: where they are; what is installed by default.
        with_recipes: recipes too, which take seconds each.

    Raises:
        RegistryError: no such plugin, or it cannot be used.
    """
    registry = registry or default_registry()
    for plugin in plugins:
        require_plugin(plugin, registry)
    return [check for plugin in plugins for check in _of_plugin(plugin, registry, with_recipes)]


def require_plugin(name: str, registry: Registry) -> None:
    """Go on where there is such a plugin.

    Raises:
        RegistryError: there is none, or it cannot be used.
    """
    info = registry.plugins.get(name)
    if info is None:
        known = ", ".join(other for other, found in registry.plugins.items() if not found.fault)
        hint = nearest(name, registry.plugins) or f"there is {known}"
        raise RegistryError(f"no plugin '{name}' is installed; {hint}")
    if info.fault:
        raise RegistryError(info.told)


def _of_plugin(plugin: str, registry: Registry, with_recipes: bool) -> abc.Iterator[Check]:
    workplace = Workplace(registry, plugin)
    for name in sorted(name for name in registry.entries if name.startswith(f"{plugin}.")):
        yield from _named(name, _component(workplace, registry.entries[name]))
    for bare, entry in sorted(registry.converters.items()):
        if entry.name.startswith(f"{plugin}."):
            yield from _named(f"converter:{bare}", watching.converter_checks(workplace, bare))
    for recipe in sorted(name for name, owner in registry.recipe_owner.items() if owner == plugin):
        if with_recipes:
            yield from _named(f"recipe:{recipe}", recipes.checks(workplace, recipe))


def _named(name: str, looks: Looks) -> abc.Iterator[Check]:
    return (Check(f"{name}[{what}]", look) for what, look in looks.items())


def _component(workplace: Workplace, entry: Entry) -> Looks:
    try:
        kind: type[Component] = workplace.registry.load(entry.name)
    except LatentkitError as error:
        return {"is there": functools.partial(_fails, str(error))}
    make = _KINDS.get(kind.kind)
    if make is None:
        return {"is there": functools.partial(_skips, f"there are no checks for the kind '{kind.kind}'")}
    return make(Subject(workplace, entry.name, kind))


def _fails(message: str) -> None:
    raise Nonconforming(message)


def _skips(reason: str) -> None:
    raise NotExercised(reason)
