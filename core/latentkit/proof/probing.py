"""What needs modules: shapes on the meta device, and gradients of one tiny batch."""

from __future__ import annotations

from collections import abc

import torch
from torch import Tensor

from latentkit.engine.evaluating import evaluate
from latentkit.engine.plan import groups, plan
from latentkit.engine.program import Outcome, Program
from latentkit.engine.training import Training
from latentkit.engine.updates import trainable
from latentkit.errors import LatentkitError, Problem, RecipeError
from latentkit.proof.synthetic import Synthetic
from latentkit.registry.manager import Registry
from latentkit.settings import Settings
from latentkit.wiring.batching import even_batch
from latentkit.wiring.wiring import Phase, Wiring

LEAST_BATCH = 4


def on_meta(wiring: Wiring, registry: Registry) -> list[Problem]:
    """Run every phase and role on shapes alone, at two batch sizes."""
    try:
        training = Training(wiring, registry, settings=Settings(device="meta"), batch=LEAST_BATCH)
    except RecipeError as error:
        return list(error.problems)
    problems = []
    small = even_batch(wiring.graph.nodes, LEAST_BATCH)
    for batch in (small, 2 * small):
        synthetic = Synthetic(wiring, batch, torch.device("meta"), torch.float32)
        for group in groups(wiring):
            try:
                _run_group(training, group, synthetic)
            except Exception as error:
                problems.append(_failed(wiring, group, error))
    for role, node in wiring.inference.items():
        synthetic = Synthetic(wiring, small, torch.device("meta"), torch.float32)
        try:
            evaluate([node], training.modules, wiring.spaces, synthetic.value)
        except Exception as error:
            problems.append(Problem(wiring.source.where(("inference", role)), _first(error)))
    return problems


def _failed(wiring: Wiring, group: tuple[Phase, ...], error: Exception) -> Problem:
    path = ("phase", group[0].name) if len(group) == 1 else ("phase",)
    return Problem(wiring.source.where(path), f"does not run on shapes alone: {_first(error)}")


def _first(error: Exception) -> str:
    text = str(error).strip().partition("\n")[0]
    return text if isinstance(error, LatentkitError) else f"{type(error).__name__}: {text}"


def _run_group(training: Training, group: tuple[Phase, ...], synthetic: Synthetic) -> tuple[Program, Outcome]:
    terms = tuple(term for phase in group for term in phase.terms)
    states = {name: node for phase in group for name, node in phase.states.items()}
    planned = plan(group, terms, states)
    program = Program(planned, training.modules, training.wiring.spaces)
    values = {node.source: synthetic.value(node) for node in planned.sources()}
    outcome = program(values)
    for phase in planned.phases:
        synthetic.kept |= {name: outcome.kept[name] for name in phase.kept}
    return program, outcome


def probe(wiring: Wiring, registry: Registry) -> tuple[list[Problem], list[str]]:
    """One numeric step: problems, and what was not seen."""
    batch = even_batch(wiring.graph.nodes, LEAST_BATCH)
    training = Training(wiring, registry, batch=batch)
    synthetic = Synthetic(wiring, batch, training.device, training.dtype)
    problems: list[Problem] = []
    missing: dict[str, set[str]] = {}
    present: set[tuple[str, str]] = set()
    dead: list[str] = []
    for group in groups(wiring):
        try:
            program, outcome = _run_group(training, group, synthetic)
        except Exception as error:
            problems.append(_failed(wiring, group, error))
            continue
        for phase in program.plan.running:
            problems += _finite(wiring, phase, program, outcome)
            for part, name, gradient in named_gradients(training, phase, outcome):
                if gradient is None:
                    missing.setdefault(part, set()).add(name)
                else:
                    present.add((part, name))
                    if not bool(gradient.any()):
                        dead.append(f"phase '{phase.name}': no gradient seen at {part}.{name} (all zero on the probe)")
    for part, names in missing.items():
        lost = sorted(name for name in names if (part, name) not in present)
        if lost:
            dead.append(f"no phase gives {part}.{', '.join(lost[:4])} a gradient")
    return problems, dead


def _finite(wiring: Wiring, phase: Phase, program: Program, outcome: Outcome) -> list[Problem]:
    bad = [
        Problem(wiring.source.where(term.path), "is not finite on the probe batch")
        for term in program.plan.terms_of(phase)
        if not bool(torch.isfinite(outcome.terms[phase.name, term.name]))
    ]
    gradients = outcome.gradients[phase.name]
    if not bad and not all(bool(torch.isfinite(gradient).all()) for gradient in gradients if gradient is not None):
        where = wiring.source.where(("phase", phase.name))
        bad.append(Problem(where, "a gradient is not finite on the probe batch", "look for sqrt, log or / at 0"))
    return bad


def named_gradients(training: Training, phase: Phase, outcome: Outcome) -> abc.Iterator[tuple[str, str, Tensor | None]]:
    """Part, parameter name and gradient, for all that a phase trains."""
    gradients = iter(outcome.gradients[phase.name])
    for part in phase.spec.train:
        for name in trainable(training.modules[part]):
            yield part, name, next(gradients)
