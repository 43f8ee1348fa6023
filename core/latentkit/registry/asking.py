"""Plugins under pluggy: registered with a check of their hooks, and asked one at a time."""

from __future__ import annotations

from collections import abc

import pluggy

from latentkit import hooks
from latentkit.errors import RegistryError, nearest
from latentkit.registry.packages import described


def register(manager: pluggy.PluginManager, plugin: object, name: str) -> None:
    """Register a plugin all of whose hooks exist; one that is refused leaves nothing behind.

    Raises:
        RegistryError: a hook is misspelt or has other arguments, or the plugin is registered under another name.
    """
    if manager.is_registered(plugin):
        raise RegistryError(f"its module is in use already, by the {manager.get_name(plugin)}")
    try:
        manager.register(plugin, name)
        manager.check_pending()  # a misspelt hook would never be called
    except BaseException as error:
        unknown = [caller.name for caller in manager.get_hookcallers(plugin) or () if not caller.has_spec()]
        if manager.is_registered(plugin):
            manager.unregister(plugin)
        if isinstance(error, pluggy.PluginValidationError):
            raise RegistryError(_unknown(unknown[0]) if unknown else " ".join(str(error).split())) from error
        raise


def _unknown(hook: str) -> str:
    known = [name for name in vars(hooks) if name.startswith("latentkit_")]
    return f"no hook is called '{hook}'; {nearest(hook, known) or 'known: ' + ', '.join(known)}"


def asked(manager: pluggy.PluginManager, hook: str, plugin: object) -> abc.Mapping[str, object]:
    """What one plugin answers to a hook that asks for names; nothing where it does not implement the hook.

    Raises:
        RegistryError: the answer is no table of names.
        BaseException: whatever the plugin raises.
    """
    others = [other for other in manager.get_plugins() if other is not plugin]
    caller = manager.subset_hook_caller(hook, others)
    if not caller.get_hookimpls():
        return {}
    answers = caller()  # without those that are None
    answer = answers[0] if answers else None
    if not isinstance(answer, abc.Mapping) or not all(isinstance(name, str) for name in answer):
        raise RegistryError(f"{hook}() returned {described(answer)}; expected a dict with names as keys")
    return answer
