"""What happens when numbers stop being finite: where it began, and with which values.

Losses are looked at together whenever they are read, weights and optimizer states before each checkpoint, so that a
checkpoint on disk is always good and a step pays next to nothing. A gradient that is not finite shows there too, but
later than it arose. As every number of a step follows from the run's seed and the step, the steps since the last
checkpoint are then taken once more, now looking at everything.
"""

from __future__ import annotations

from collections import abc
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor

from latentkit.engine.outcome import Outcome
from latentkit.engine.program import Program
from latentkit.engine.training import Training
from latentkit.runs.files import write_tensors
from latentkit.wiring.wiring import Phase

OFFENDING = "not-finite.safetensors"
ADVICE = "Try a lower learning rate, or look at what divides by zero"


class Flags:
    """The losses of the steps since the last look; the device is asked only when they are looked at."""

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def add(self, terms: abc.Mapping[tuple[str, str], Tensor]) -> None:
        """Note the losses of a step."""
        if terms:
            self.seen.append(torch.stack([value.float() for value in terms.values()]))

    def finite(self) -> bool:
        """Whether all losses since the last look were finite."""
        found = not self.seen or bool(torch.cat(self.seen).isfinite().all())
        self.seen.clear()
        return found


def weights_are_finite(training: Training) -> bool:
    """Whether all weights, buffers, optimizer states and ``[state]`` values are finite. Averages follow weights."""
    tensors = [*training.system.parameters(), *training.system.buffers(), *training.states.values()]
    tensors += [tensor for slot in training.slots.values() for kind in slot.slots.values() for tensor in kind]
    real = [tensor for tensor in tensors if tensor.is_floating_point() and tensor.numel()]
    if not real:
        return True
    with torch.no_grad():
        # The greatest magnitude is not finite where any number is not.
        return bool(torch.stack([norm.float() for norm in torch._foreach_norm(real, float("inf"))]).isfinite().all())


@attrs.frozen(eq=False)
class Found:
    """Where numbers first were not finite."""

    step: int
    phase: str
    fact: str
    values: dict[str, Tensor]
    """What the execution was given from outside: data, draws, scalars, states, kept values."""

    def write(self, folder: Path, recipe: str) -> Path:
        """Write the values beside the checkpoint."""
        path = folder / OFFENDING
        notes = {"step": str(self.step), "phase": self.phase, "fact": self.fact, "recipe": recipe}
        write_tensors(path, self.values, notes)
        return path


class Watcher:
    """Looks at the losses and gradients of each execution, before its update (as ``Training.watch``)."""

    def __init__(self, training: Training) -> None:
        self.training = training
        self.found: Found | None = None

    def __call__(self, program: Program, slots: abc.Sequence[Any], outcome: Outcome) -> None:
        """Notes the first execution that has a loss or gradient that is not finite."""
        if self.found is not None:
            return
        bad = [key for key, value in outcome.terms.items() if not bool(value.isfinite().all())]
        phase, fact = (bad[0][0], _losses(bad)) if bad else self._gradients(program, slots, outcome)
        if fact:
            self.found = Found(self.training.step_count + 1, phase, fact, _given(program, slots))

    def _gradients(self, program: Program, slots: abc.Sequence[Any], outcome: Outcome) -> tuple[str, str]:
        for phase in program.plan.running:
            named = program.named(phase, outcome.gradients[phase.name])
            bad = [f"{part}.{name}" for part, name, gradient in named if not _is_finite(gradient)]
            if bad:
                more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
                with self.training.settings.autocast():
                    cause = _causes(program, phase, slots)
                return phase.name, f"the gradient {cause}at {bad[0]}{more} is not finite"
        return "", ""


def _is_finite(gradient: Tensor | None) -> bool:
    return gradient is None or bool(gradient.isfinite().all())


def _losses(bad: abc.Sequence[tuple[str, str]]) -> str:
    names = ", ".join(f"{phase}.{term}" for phase, term in bad)
    return f"the loss {names} is not finite" if len(bad) == 1 else f"the losses {names} are not finite"


def _causes(program: Program, phase: Phase, slots: abc.Sequence[Any]) -> str:
    """The terms whose own gradient is not finite; the values are computed anew, as their graph has been used up."""
    sources = {source: slots[slot] for slot, source, _ in program.inputs}
    fresh = program.forward(sources)
    bad = []
    for (owner, name), value in program.terms(fresh).items():
        found = program.gradients_of(phase, {(owner, name): value}, fresh)
        if not all(map(_is_finite, found)):
            bad.append(f"{owner}.{name}")
    return f"of {', '.join(bad)} " if bad else ""


def _given(program: Program, slots: abc.Sequence[Any]) -> dict[str, Tensor]:
    values = {str(source[1]): slots[slot] for slot, source, _ in program.inputs if source[0] != "timed"}
    plain = {name: value for name, value in values.items() if isinstance(value, Tensor | float)}
    return {name: torch.as_tensor(value).detach() for name, value in plain.items()}
