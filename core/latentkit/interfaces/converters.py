"""Converters: somebody else's checkpoint to a run."""

from __future__ import annotations

from abc import abstractmethod
from collections import abc
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import attrs

from latentkit.interfaces.component import Component

if TYPE_CHECKING:
    from torch import Tensor

    State = abc.Mapping[str, Tensor]
    """Tensors by name, as a module's ``state_dict()`` has them."""


@attrs.frozen(kw_only=True, eq=False)
class Conversion:
    """What a checkpoint is here."""

    recipe: str | Path | abc.Mapping[str, object]
    """A shipped name, a path ending in .toml, or tables."""
    overrides: abc.Mapping[str, object] = attrs.field(factory=dict)
    """Dotted keys to values: the sizes that the weights have."""
    weights: abc.Mapping[str, State]
    """State dicts of this library's modules, by the recipe's letters; all parts that have weights."""
    averages: abc.Mapping[str, abc.Mapping[str, State]] = attrs.field(factory=dict)
    """The same by name of ``[average]``. What is not given starts as a copy of ``weights``."""
    states: State = attrs.field(factory=dict)
    """Values of ``[state]``; what is not given starts as the recipe says."""
    step: int = attrs.field(default=0, validator=attrs.validators.ge(0))
    """Training steps behind the weights where the file tells, else 0."""
    images: int = attrs.field(default=0, validator=attrs.validators.ge(0))
    """Images that they have seen, likewise."""
    notes: tuple[str, ...] = ()
    """One sentence each on what a user should know: what was left out, what stands in for what."""


@attrs.frozen(kw_only=True)
class Converter(Component):
    """Turns the content of a checkpoint into a :class:`Conversion`. Every option has a default.

    Plugins name their converters in the hook ``latentkit_converters``, or in ``registry.toml`` under
    ``[PLUGIN.converters]``.
    """

    kind: ClassVar[str] = "converter"

    @abstractmethod
    def convert(self, content: abc.Mapping[str, object], metadata: abc.Mapping[str, str]) -> Conversion:
        """What the checkpoint is here.

        Args:
            content: nested dicts and lists of tensors (on the CPU), numbers and strings. The dotted keys of a
                safetensors file are nested too. An object of any other class is an ``Unknown`` with the class's
                name; nothing of it was imported. ``latentkit.runs.plain.flat`` gives all tensors by dotted name.
            metadata: what the header of a safetensors file says; empty for other files.

        Raises:
            RunError: it is not the layout that this converter knows; says what was expected, and what is there.
        """
