"""The update that follows an execution, as operations of its graph: a compiler joins them with what they wait for."""

from __future__ import annotations

from collections import abc

import torch
from torch import Tensor

from latentkit.engine.outcome import Outcome
from latentkit.engine.program import Program
from latentkit.engine.updates import Slot
from latentkit.optimizers import same_layout

At = abc.Callable[[Tensor], Tensor]
"""What stands for a parameter, or a state of an optimizer, in the graph."""


class InGraph:
    """Updates what a program trains, one parameter after the other, each by its own count.

    Args:
        program: whose phases are updated.
        slots: per phase, those of the parts that it trains.
    """

    def __init__(self, program: Program, slots: abc.Mapping[str, abc.Sequence[Slot]]) -> None:
        self.program = program
        self.members = {phase: [(slot, index) for slot in found for index in range(len(slot.names))]
                        for phase, found in slots.items()}  # fmt: skip
        """Per phase, slot and index in it of each parameter, in the order of gradients."""
        states = [
            tensor for found in slots.values() for slot in found for kind in slot.slots.values() for tensor in kind
        ]
        self.states = list({id(tensor): tensor for tensor in states}.values())
        """Of the optimizers."""
        self.updated: list[tuple[Slot, int]] = []
        """What has a gradient; known when it has been traced."""

    def counts(self) -> Tensor:
        """How often each parameter will have been updated after the next update, float64 [parameters of all phases]."""
        return torch.tensor(
            [float(slot.steps[index] + 1) for found in self.members.values() for slot, index in found],
            dtype=torch.float64,
        )

    @torch.no_grad()
    def __call__(self, outcome: Outcome, counts: Tensor, at: At) -> None:
        """Do it.

        Args:
            outcome: of an execution.
            counts: as of :meth:`counts`.
            at: finds what to change.
        """
        self.updated.clear()
        waiting = iter(counts.unbind())
        for phase in self.program.plan.running:
            rates = [outcome.rates[phase.name][part] for part, _ in self.program.names[phase.name]]
            members, gradients = self.members[phase.name], outcome.gradients[phase.name]
            for (slot, index), gradient, rate in zip(members, gradients, rates, strict=True):
                count = next(waiting)
                if gradient is not None:
                    self._update(slot, index, gradient, count, rate * slot.factors[index], at)

    def _update(self, slot: Slot, index: int, gradient: Tensor, count: Tensor, rate: float | Tensor, at: At) -> None:
        parameter = at(slot.parameters[index])
        states = {kind: [at(tensors[index])] for kind, tensors in slot.slots.items()}
        slot.optimizer.update([parameter], same_layout([gradient], [parameter]), states, count, rate)  # type: ignore[arg-type]  # those that are capturable take tensors
        self.updated.append((slot, index))

    def count(self) -> None:
        """Note that an update is done."""
        after = [slot.steps[index] + 1 for slot, index in self.updated]
        for (slot, index), step in zip(self.updated, after, strict=True):
            slot.steps[index] = step
