"""Plugins that cannot be used, told after every command that looked at plugins."""

from __future__ import annotations

from latentkit.registry.manager import default_registry
from latentkit_cli.output import note


def tell_faults() -> None:
    """One line on standard error for each."""
    if not default_registry.cache_info().currsize:
        return  # this command has not asked for plugins; asking now could take seconds
    for info in default_registry().plugins.values():
        if info.fault:
            note(info.told)
