"""What one tiny step on the CPU shows: finite numbers, and gradients that go where the plan says, and nowhere else."""

from __future__ import annotations

from collections import abc
from typing import Any

import attrs
import torch

from latentkit.engine.outcome import Outcome
from latentkit.engine.program import Program
from latentkit.engine.training import Training
from latentkit.errors import Problem, RecipeError
from latentkit.proof.declarations import Declarations
from latentkit.proof.shapes import LEAST_BATCH, failed
from latentkit.proof.synthetic import Synthetic
from latentkit.registry.manager import Registry
from latentkit.wiring.batching import even_batch
from latentkit.wiring.wiring import Phase, Wiring

QUICK, THOROUGH = 1.5e10, 4e11
"""Multiplications and additions that a probe may take: a fraction of a second on a small CPU, and some seconds."""

_SUSPECTS = "look for sqrt, log or / at 0, and for exp of large numbers"


@attrs.define
class Seen:
    """What a probe found."""

    problems: list[Problem] = attrs.field(factory=list)
    seen: list[str] = attrs.field(factory=list)
    not_seen: list[str] = attrs.field(factory=list)


def probe(wiring: Wiring, registry: Registry, flops: float, thorough: bool = False) -> Seen:
    """One real step on synthetic data.

    Args:
        wiring: the recipe.
        registry: where optimizers are found.
        flops: of a step, per sample; where even the smallest batch costs too much, nothing is probed.
        thorough: whether it may take some seconds.
    """
    sizes = [even_batch(wiring.graph.nodes, wanted) for wanted in (LEAST_BATCH, 2)]
    batch = next((size for size in sizes if size * flops <= (THOROUGH if thorough else QUICK)), None)
    if batch is None:
        cost = f"a step on {sizes[-1]} samples takes {sizes[-1] * flops / 1e9:,.0f} GFLOP"
        more = "" if thorough or sizes[-1] * flops > THOROUGH else "; --thorough (before training, always) does it"
        return Seen(not_seen=[f"nothing was probed numerically: {cost}{more}"])
    try:
        inspector = _Inspector(wiring, Training(wiring, registry, batch=batch), Seen())
    except RecipeError as error:
        return Seen(list(error.problems))
    inspector.step(batch)
    found = inspector.found
    found.seen += [
        f"one whole step on {batch} synthetic samples: losses, gradients and updated weights are finite",
        "each phase changed weights of the parts that it trains, and of no other",
        "parts keep samples apart, and draw no numbers of their own, unless they declare it",
    ]
    return found


class _Inspector:
    """Takes one step and looks at every execution of it."""

    def __init__(self, wiring: Wiring, training: Training, found: Seen) -> None:
        self.wiring, self.training, self.found = wiring, training, found
        self.weights = self._sizes()
        self.allowed: abc.Collection[str] = ()
        """The parts that the execution looked at last trains; at first, none."""
        self.dead: dict[tuple[str, str], list[str]] = {}
        self.declarations = Declarations(wiring, training.modules)

    def step(self, batch: int) -> None:
        """One step; phases that repeat are executed twice at most."""
        training = self.training
        synthetic = Synthetic(self.wiring, batch, training.device, training.dtype)
        data = {name: synthetic.of_space(space) for name, space in self.wiring.data_spaces.items()}
        training.watch = self._look
        running: list[str] = []
        training.phase_done = running.append
        try:
            training.step({phase.name: data for phase in self.wiring.phases}, repeats=2)
        except Exception as error:
            nearby = self.wiring.phases[min(len(running), len(self.wiring.phases) - 1)]
            self.found.problems.append(failed(self.wiring, (nearby,), error, "fails on a few synthetic samples"))
            return
        self._updated()
        self.declarations.finish()
        self.found.problems += self.declarations.problems
        for (phase, part), names in self.dead.items():
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            self.found.not_seen.append(
                f"phase '{phase}': no gradient seen at {part}.{', '.join(names[:3])}{more} (all zero on the probe)"
            )

    def _look(self, program: Program, slots: abc.Sequence[Any], outcome: Outcome) -> None:
        if self.found.problems:
            return  # what comes after a fault follows from it
        self._only_trained_parts_changed()
        for phase in program.plan.running:
            self.found.problems += _finite(self.wiring, phase, program, outcome)
            for part, name, gradient in program.named(phase, outcome.gradients[phase.name]):
                if gradient is not None and not bool(gradient.any()):
                    names = self.dead.setdefault((phase.name, part), [])
                    names += [name] if name not in names else []
        self.declarations.look(program, slots)
        self.allowed = {part for phase in program.plan.running for part in phase.spec.train}

    def _sizes(self) -> dict[tuple[str, str], float]:
        """A number per weight that changes when the weight does."""
        named = [((part, name), parameter.detach()) for part, module in self.training.modules.items()
                 for name, parameter in module.named_parameters()]  # fmt: skip
        norms = torch._foreach_norm([value for _, value in named], 2) if named else []
        return {key: float(norm) for (key, _), norm in zip(named, norms, strict=True)}

    def _only_trained_parts_changed(self) -> None:
        """Compare with the weights before the execution that was looked at last."""
        now = self._sizes()
        changed = {part for (part, name), value in now.items() if value != self.weights[part, name]}
        self.weights = now
        for part in sorted(changed - set(self.allowed)):
            fact = f"weights of '{part}' changed in a phase that does not train it"
            self.found.problems.append(Problem(self.wiring.source.where(("parts", part)), fact))

    def _updated(self) -> None:
        if self.found.problems:
            return
        self._only_trained_parts_changed()
        for part, module in self.training.modules.items():
            for name, parameter in module.named_parameters():
                if not bool(parameter.isfinite().all()):
                    fact = f"{part}.{name} is not finite after one step on the probe batch"
                    hint = "look at the learning rate, and for sqrt, log or / at 0"
                    self.found.problems.append(Problem(self.wiring.source.where(("parts", part)), fact, hint))
                    break


def _finite(wiring: Wiring, phase: Phase, program: Program, outcome: Outcome) -> list[Problem]:
    bad = [
        Problem(wiring.source.where(term.path), "is not finite on the probe batch", _SUSPECTS)
        for term in program.plan.terms_of(phase)
        if not bool(torch.isfinite(outcome.terms[phase.name, term.name]))
    ]
    gradients = outcome.gradients[phase.name]
    if not bad and not all(bool(torch.isfinite(gradient).all()) for gradient in gradients if gradient is not None):
        where = wiring.source.where(("phase", phase.name))
        bad.append(Problem(where, "a gradient is not finite on the probe batch", _SUSPECTS))
    return bad
