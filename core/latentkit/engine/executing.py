"""One execution and its update: as it is, compiled, or captured; and over ranks, if there are several."""

from __future__ import annotations

from collections import abc
from typing import Any

import attrs
import torch
from torch import Tensor

from latentkit.engine.capturing import Capturer, Steps
from latentkit.engine.compiling import Compiler, inductor
from latentkit.engine.outcome import Outcome
from latentkit.engine.program import Program, Values
from latentkit.engine.system import System
from latentkit.engine.updates import Buckets, Kind, Kinds, Slot, apply, buckets, count
from latentkit.engine.updating import InGraph
from latentkit.engine.world import World
from latentkit.settings import Settings
from latentkit.wiring.wiring import Phase

Watch = abc.Callable[[Program, abc.Sequence[Any], Outcome], None]
"""Told of a program, its values and its outcome, before the update."""


class Executor:
    """Executes programs and updates what they train.

    Args:
        system: the parts, and their constraints.
        slots: optimizers' states by owner and part.
        states: the values of ``[state]``.
        settings: how to compute.
        world: whose outcomes are averaged.
    """

    def __init__(
        self, system: System, slots: abc.Mapping[tuple[str, str], Slot], states: abc.Mapping[str, Tensor],
        settings: Settings, world: World,
    ) -> None:  # fmt: skip
        self.system, self.slots, self.states, self.settings, self.world = system, slots, states, settings, world
        self.modules = system.modules_by_name()
        self.compiler = Compiler(settings.autocast, world, inductor, self.joined) if settings.compile else None
        self.capturer = Capturer(self.buckets, self.perform) if settings.capture else None

    def __call__(self, program: Program, values: Values, watch: Watch | None = None) -> Outcome:
        """Execute, and update.

        Args:
            program: what to execute.
            values: every source of it.
            watch: is told. Who watches wants to see every value, of which a compiled execution has only some, so that
                this one runs as it is.
        """
        capturer = self.capturer if watch is None else None
        found = capturer(program, values) if capturer is not None else None
        if found is None:
            found = self._outcome(program, values, watch)
            if found.updated:
                self._advance(found)
                return found
            kinds = {phase.name: _kind(phase, found) for phase in program.plan.running}
            updates = self.buckets(program, kinds)
            self.update(program, found, updates)
            for done in updates.values():
                count(done)
            if capturer is not None:
                capturer.saw(program, kinds)
        return found

    def _outcome(self, program: Program, values: Values, watch: Watch | None = None) -> Outcome:
        """What an execution yields, of the whole batch."""
        found = self.compiler(program, values) if self.compiler is not None and watch is None else None
        slots: abc.Sequence[Any] = ()
        if found is None:
            with self.settings.autocast():
                slots = program.forward(values)
            found = program.outcome(slots)
        if not self.world.alone:
            found = _over_ranks(found, self.world)
        if watch is not None:
            watch(program, slots, found)
        return found

    def joined(self, program: Program) -> InGraph | None:
        """The update of a program, where it can be compiled with it, and that pays.

        On a GPU the fused kernels of optimizers are few launches, and several processes exchange gradients before.
        """
        parts = {part for phase in program.plan.running for part in phase.spec.train}
        found = {phase.name: self._slots(phase) for phase in program.plan.running}
        optimizers = [slot.optimizer for slots in found.values() for slot in slots]
        weights = [weight for part in parts for weight in self.modules[part].parameters()]
        if (
            not self.world.alone or self.settings.capture or any(weight.device.type != "cpu" for weight in weights)
            or parts & self.system.constraints.keys() or not all(optimizer.capturable for optimizer in optimizers)
        ):  # fmt: skip
            return None
        return InGraph(program, found)

    def _slots(self, phase: Phase) -> list[Slot]:
        owner = phase.name if phase.spec.optimizer else ""
        return [self.slots[owner, part] for part in phase.spec.train]

    def buckets(self, program: Program, kinds: Kinds) -> Buckets:
        """How the parameters of each phase are updated next."""
        found = {}
        for phase in program.plan.running:
            found[phase.name] = buckets(self._slots(phase), kinds[phase.name])
        return found

    def update(self, program: Program, outcome: Outcome, updates: Buckets, steps: Steps | None = None) -> None:
        """Parameters, then constraints of their parts, then states; nothing is counted."""
        for phase in program.plan.running:
            mine = None if steps is None else [*steps[phase.name]]
            apply(updates[phase.name], outcome.gradients[phase.name], _rates(phase, outcome), mine)
            for part in phase.spec.train:
                if part in self.system.constraints:
                    self.system.constraints[part].apply(self.modules[part])
        self._advance(outcome)

    def _advance(self, outcome: Outcome) -> None:
        # All next values are known before any state changes, and one may be another's old value itself.
        for name, value in {name: torch.as_tensor(value).clone() for name, value in outcome.states.items()}.items():
            self.states[name].copy_(value)

    def perform(self, program: Program, values: Values, updates: Buckets, steps: Steps) -> Outcome:
        """An execution and its update, with the counts of buckets as tensors, for a capture."""
        outcome = self._outcome(program, values)
        self.update(program, outcome, updates, steps)
        return attrs.evolve(outcome, gradients={}, states={}, rates={})


def _kind(phase: Phase, outcome: Outcome) -> Kind:
    return Kind.of(outcome.gradients[phase.name], _rates(phase, outcome))


def _rates(phase: Phase, outcome: Outcome) -> list[Any]:
    return [outcome.rates[phase.name][part] for part in phase.spec.train]


def _over_ranks(outcome: Outcome, world: World) -> Outcome:
    """The outcome of the whole batch: gradients and terms are means over ranks, in one exchange."""
    gradients = [gradient for found in outcome.gradients.values() for gradient in found]
    arrived = [gradient for gradient in gradients if gradient is not None]
    means = iter(world.means([*arrived, *outcome.terms.values()]))
    return attrs.evolve(
        outcome,
        gradients={
            phase: [None if gradient is None else next(means) for gradient in found]
            for phase, found in outcome.gradients.items()
        },
        terms={key: next(means) for key in outcome.terms},
    )
