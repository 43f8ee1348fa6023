"""Calling the lifecycle hooks of a run: its own observers, those of one call, and those of plugins."""

from __future__ import annotations

import inspect
from collections import abc
from typing import Any

import pluggy

import latentkit.hooks
from latentkit.errors import RegistryError, nearest
from latentkit.events import Event
from latentkit.runs.files import cannot_write
from latentkit.runs.stopping import Stopping, StopRun

Say = abc.Callable[[str], None]
PREFIX = "latentkit_"


def check_observers(manager: pluggy.PluginManager, observers: abc.Sequence[object]) -> None:
    """Whether these objects can observe a run.

    Raises:
        RegistryError: a hook that does not exist, which would never be called, or an argument that it does not have.
    """
    known = [name for name in vars(latentkit.hooks) if name.startswith(PREFIX)]
    for observer in observers:
        if inspect.isclass(observer):
            raise RegistryError(f"observer {observer.__name__}: is a class; pass an object, {observer.__name__}()")
        if type(observer).__hash__ is None:
            raise RegistryError(f"observer '{_name(observer)}': is compared by value; declare its class with eq=False")
        for name in dir(observer):
            if name.startswith(PREFIX) and name not in known:
                hint = nearest(name, known) or f"known: {', '.join(known)}"
                raise RegistryError(f"observer '{_name(observer)}': there is no hook '{name}'; {hint}")
        try:
            manager.register(observer)
            manager.unregister(observer)
        except (pluggy.PluginValidationError, ValueError) as error:
            raise RegistryError(f"observer '{_name(observer)}': {str(error).partition(chr(10))[0]}") from None


def _name(observer: object) -> str:
    return getattr(observer, "__name__", type(observer).__name__)


class Lifecycle:
    """Tells observers what happens. A guest that fails is told of and left out; the run goes on without it.

    Args:
        manager: where observers and plugins are registered.
        own: observers that a run cannot do without; what they raise ends it.
        guests: observers of this run.
        say: told of a guest's failure.
        stopping: notes when an observer raises :class:`~latentkit.StopRun`.
        mute: tell nobody, not the plugins either: another process does.
    """

    def __init__(
        self,
        manager: pluggy.PluginManager,
        own: abc.Sequence[object],
        guests: abc.Sequence[object],
        say: Say,
        stopping: Stopping,
        mute: bool = False,
    ) -> None:
        self.mute = mute
        self.manager, self.own, self.guests, self.say, self.stopping = manager, own, guests, say, stopping
        self.callers: dict[str, list[tuple[object, pluggy.HookCaller]]] = {}

    def __enter__(self) -> Lifecycle:
        for observer in (*self.own, *self.guests):
            self.manager.register(observer)
        return self

    def __exit__(self, *_: object) -> None:
        for observer in (*self.own, *self.guests):
            self.manager.unregister(observer)

    def listens(self, hook: str) -> bool:
        """Whether anyone implements a hook."""
        return bool(self._callers(hook))

    def tell(self, hook: str, event: Event, **more: Any) -> None:
        """Call one hook of everyone, e.g. ``tell("step_done", event)``; the run's own observers come first."""
        for plugin, caller in list(self._callers(hook)):
            try:
                caller(event=event, **more)
            except StopRun:
                self.stopping.early = True
            except Exception as error:
                if plugin in self.own:
                    raise cannot_write(event.path, error) if isinstance(error, OSError) else error from None
                self._leave_out(plugin, hook, event, error)

    def _callers(self, hook: str) -> list[tuple[object, pluggy.HookCaller]]:
        """One caller per observer, so that the failure of one is not the failure of the others."""
        if self.mute:
            return []
        if hook not in self.callers:
            full = PREFIX + hook
            plugins = [impl.plugin for impl in getattr(self.manager.hook, full).get_hookimpls()]
            plugins.sort(key=lambda plugin: plugin not in self.own)  # stable: otherwise as they were registered
            others = {id(plugin): [other for other in plugins if other is not plugin] for plugin in plugins}
            self.callers[hook] = [
                (plugin, self.manager.subset_hook_caller(full, others[id(plugin)])) for plugin in plugins
            ]
        return self.callers[hook]

    def _leave_out(self, plugin: object, hook: str, event: Event, error: Exception) -> None:
        for known in self.callers.values():
            known[:] = [(other, caller) for other, caller in known if other is not plugin]
        why = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}".rstrip(": ")
        where = f"at step {event.step} in {PREFIX}{hook}"
        self.say(f"observer '{_name(plugin)}' failed {where} ({why}); the run goes on without it")
