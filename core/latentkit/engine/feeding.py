"""What an execution is given from outside: batches, and values that a caller injects."""

from __future__ import annotations

from collections import abc
from typing import Any

import attrs
import torch
from torch import Tensor

from latentkit.engine.batches import Batches
from latentkit.errors import LatentkitError
from latentkit.wiring.wiring import Wiring

Injected = abc.Mapping[str, abc.Mapping[str, Any]]
"""Per phase, values by name."""


@attrs.define
class Feed:
    """Batches of one execution: the step's own, or fresh ones for later repeats and for ``per = "phase"``."""

    batches: abc.Mapping[str, Batches]
    positions: dict[str, int]
    """Of each source, counted in batches; moved on when a fresh batch has been taken."""
    bases: abc.Mapping[str, int]
    """Positions at the start of the step."""
    repeat: int
    fetched: dict[str, Any]
    """The step's own values, shared by its executions."""
    channels_last: bool = False
    whole: bool = False
    """Whether batches are those of all ranks, and not this one's share."""
    mine: dict[str, Any] = attrs.field(factory=dict)

    def value(self, name: str) -> Any:
        """A data value by name.

        Raises:
            LatentkitError: no open source gives it.
        """
        for source, batches in self.batches.items():
            if name not in batches.samples.spec.gives:
                continue
            fresh = self._fresh(batches)
            known = self.mine if fresh else self.fetched
            if name not in known:
                at = self.positions[source] if fresh else self.bases[source]
                known.update(self._laid_out(batches.at(at, self.whole)))
            return known[name]
        raise LatentkitError(f"no data source is open for '{name}', and it was not injected")

    def finish(self) -> None:
        """Move past the batches that this execution took for itself."""
        for source, batches in self.batches.items():
            self.positions[source] += self._fresh(batches)

    def _fresh(self, batches: Batches) -> bool:
        return self.repeat > 0 or batches.samples.spec.per == "phase"

    def _laid_out(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        if not self.channels_last:
            return values
        return {
            name: value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value
            for name, value in values.items()
        }


def check_injected(wiring: Wiring, values: Injected) -> Injected:
    """The values, if all their names exist.

    Raises:
        LatentkitError: a phase or a value that the recipe does not have.
    """
    phases = {phase.name for phase in wiring.phases}
    recipe = wiring.recipe
    sources = {*wiring.data_spaces, *recipe.draw, *recipe.scalars, *recipe.state}
    sources |= {name for phase in wiring.phases for name in phase.kept}
    for phase, given in values.items():
        for name, known in ((phase, phases), *((name, sources) for name in given)):
            if name not in known:
                what = "phase" if known is phases else "value from outside"
                raise LatentkitError(f"step(): no {what} is called '{name}'; known: {', '.join(sorted(known))}")
    return values
