"""The hooks a plugin may implement. Built-in and third-party plugins use the same ones."""

from __future__ import annotations

from collections import abc
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from pathlib import Path

    from latentkit.events import Event
    from latentkit.testing.examples import Example

hookspec = pluggy.HookspecMarker("latentkit")
hookimpl = pluggy.HookimplMarker("latentkit")


@hookspec
def latentkit_components() -> abc.Mapping[str, object]:  # type: ignore[empty-body]
    """Components by bare name: a class, a stateless part, or the string ``"module:attribute"``."""


@hookspec
def latentkit_recipes() -> abc.Mapping[str, Path]:  # type: ignore[empty-body]
    """Shipped recipes by name: the TOML file of each."""


@hookspec
def latentkit_converters() -> abc.Mapping[str, object]:  # type: ignore[empty-body]
    """Converters of foreign checkpoints by name: a ``lk.Converter``, its class, or ``"module:attribute"``."""


@hookspec
def latentkit_examples(folder: Path) -> abc.Mapping[str, Example]:  # type: ignore[empty-body]
    """Options and inputs that ``latentkit.testing`` cannot derive, by bare name; ``folder`` is for files."""


@hookspec
def latentkit_run_started(event: Event) -> None:
    """A run starts or continues."""


@hookspec
def latentkit_phase_done(event: Event, phase: str) -> None:
    """One phase of a step has updated its parts."""


@hookspec
def latentkit_step_done(event: Event) -> None:
    """A step is complete."""


@hookspec
def latentkit_evaluated(event: Event, figures: abc.Mapping[str, float]) -> None:
    """Loss terms and monitored values have been read from the device."""


@hookspec
def latentkit_checkpointed(event: Event, path: Path) -> None:
    """A checkpoint has been written."""


@hookspec
def latentkit_run_finished(event: Event) -> None:
    """The run is complete; pictures and weights are on disk."""
