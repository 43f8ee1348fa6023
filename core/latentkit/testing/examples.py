"""What authors give where nothing can be derived: the hook ``latentkit_examples``."""

from __future__ import annotations

import importlib
from collections import abc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pluggy

from latentkit import hooks
from latentkit.testing.checks import Nonconforming, said

if TYPE_CHECKING:
    from latentkit.registry.manager import Registry

Value = abc.Callable[[int], Any]
"""From a number of samples to a value of a port: a tensor, batch first."""


@attrs.frozen(kw_only=True)
class Example:
    """How a component can be exercised.

    Most need none: sizes, inputs and the options that must be given are found by their types. A plugin's module
    answers with what cannot be, by the bare names of its components and recipes::

        @lk.hookimpl
        def latentkit_examples(folder):
            write_pictures(folder / "pictures")
            return {"pictures": Example(options={"path": str(folder / "pictures")})}
    """

    options: abc.Mapping[str, object] = attrs.field(factory=dict)
    """As a recipe gives them; open sizes too. Of a recipe: overrides, dotted keys to values."""
    inputs: abc.Mapping[str, Value] = attrs.field(factory=dict)
    """Values by the name of a port, where those of its space at large do not do."""


def examples_of(registry: Registry, plugin: str, folder: Path) -> dict[str, Example]:
    """What the module of a plugin answers to ``latentkit_examples``; nothing where it has no such hook.

    Args:
        registry: where the plugin is registered.
        plugin: its name.
        folder: for files that the examples need; it is there as long as the checks are.

    Raises:
        Nonconforming: the module fails, or its answer is no table of examples.
    """
    own: object = registry.manager.get_plugin(f"catalogue of {plugin}")
    module = registry.modules.get(plugin, "")
    manager = pluggy.PluginManager("latentkit")
    manager.add_hookspecs(hooks)
    try:
        manager.register(importlib.import_module(module) if module else own)
        answers = manager.hook.latentkit_examples(folder=folder)
    except Exception as error:
        raise Nonconforming(f"latentkit_examples of plugin '{plugin}' raises {said(error)}") from error
    found = answers[0] if answers else {}
    if not isinstance(found, abc.Mapping) or not all(isinstance(value, Example) for value in found.values()):
        raise Nonconforming(f"latentkit_examples of plugin '{plugin}': expected a dict of Example by name")
    return dict(found)
