"""What is proved before training: on the graph, on the meta device, and by one tiny numeric batch.

The three are kept apart: what the graph shows holds always, what meta shows holds for the shapes, and what a probe did
not see is reported as not seen.
"""

from __future__ import annotations

from collections import abc
from typing import Any

import attrs
import torch
from torch import Tensor

from latentkit.engine.plan import groups, plan
from latentkit.engine.program import Outcome, Program, evaluate
from latentkit.engine.training import Training, at_time
from latentkit.engine.updates import trainable
from latentkit.errors import LatentkitError, Problem, RecipeError
from latentkit.registry.manager import Registry
from latentkit.settings import Settings
from latentkit.spaces import Space
from latentkit.wiring.graph import Node, ancestors, differentiable_ancestors
from latentkit.wiring.wiring import Phase, Term, Wiring, parts_called

PROBE_BATCH = 4


@attrs.frozen
class Report:
    """The result of a check: ``ok``, and all the problems and warnings."""

    name: str
    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()
    proved: tuple[str, ...] = ()
    """What was established, one sentence each."""

    @property
    def ok(self) -> bool:
        """Whether the recipe may be trained."""
        return not self.problems

    def raise_for_problems(self) -> None:
        """Raise what was found.

        Raises:
            RecipeError: there are problems.
        """
        if self.problems:
            raise RecipeError(self.problems)


def prove(wiring: Wiring, registry: Registry) -> Report:
    """Check a wired recipe. Never opens data: synthetic values of the declared shape and range stand in."""
    problems = _static(wiring)
    warnings = list(wiring.warnings)
    proved = ["every edge agrees in space and size; every loss term reaches a part that its phase trains"]
    if not problems:
        problems += _on_meta(wiring, registry)
        proved.append("all phases and roles run on the meta device, at two batch sizes")
    if not problems:
        seen_problems, not_seen = _probe(wiring, registry)
        problems += seen_problems
        warnings += not_seen
        proved.append(f"one step on {PROBE_BATCH} synthetic samples: gradients are finite and go where the plan says")
    shown = tuple(proved) if not problems else ()
    return Report(wiring.recipe.name, tuple(dict.fromkeys(problems)), tuple(warnings), shown)


def _static(wiring: Wiring) -> list[Problem]:
    problems = []
    for phase in wiring.phases:
        trained = set(phase.spec.train)
        reached: set[str] = set()
        for term in phase.terms:
            mine = trained_by(term, trained)
            if not mine:
                problems.append(_phantom(wiring, phase, term))
            reached |= mine
        for part in sorted(trained - reached):
            if part in wiring.parts:
                fact = f"'{part}' is trained here, but no term's gradient reaches it"
                hint = f"add a term that depends on {part}, or take it out of 'train'"
                problems.append(Problem(wiring.source.where(("phase", phase.name, "train")), fact, hint))
    return [*problems, *_ownership(wiring)]


def _phantom(wiring: Wiring, phase: Phase, term: Term) -> Problem:
    parts = sorted(parts_called(ancestors([term.node])))
    fact = f"this term reaches no part that the phase trains ({', '.join(phase.spec.train)}): it has no gradient"
    cut = any(node.op in ("detach", "sign") for node in ancestors([term.node]))
    hint = f"it depends on {', '.join(parts) or 'no part'}" + ("; a detach() or sign() cuts the way" if cut else "")
    return Problem(wiring.source.where(term.path), fact, hint)


def trained_by(term: Term, trained: abc.Collection[str]) -> set[str]:
    """The parts, of those trained, that a term's gradient can reach."""
    live = differentiable_ancestors([term.node])
    return parts_called(live) & set(trained)


def _ownership(wiring: Wiring) -> list[Problem]:
    problems = []
    somewhere = {part for phase in wiring.phases for part in phase.spec.train}
    for name, part in wiring.parts.items():
        spec = wiring.recipe.parts[name]
        has_weights = any(True for _ in _parameters(part))
        if spec.frozen and name in somewhere:
            problems.append(Problem(wiring.source.where(("parts", name)), "is frozen, but a phase trains it"))
        if not spec.frozen and has_weights and name not in somewhere:
            fact = f"'{name}' has weights, but no phase trains it"
            hint = "name it in a phase's 'train', or write frozen = true"
            problems.append(Problem(wiring.source.where(("parts", name)), fact, hint))
    for phase in wiring.phases:
        for name in phase.spec.train:
            if name in wiring.parts and not any(True for _ in _parameters(wiring.parts[name])):
                fact = f"'{name}' has no parameters, so it cannot be trained"
                problems.append(Problem(wiring.source.where(("phase", phase.name, "train")), fact))
    return problems


def _parameters(part: Any) -> abc.Iterator[Tensor]:
    try:
        with torch.device("meta"):
            yield from part.build().parameters()
    except LatentkitError:
        return  # building again reports it, with its place


def _on_meta(wiring: Wiring, registry: Registry) -> list[Problem]:
    try:
        training = Training(wiring, registry, settings=Settings(device="meta"), batch=PROBE_BATCH)
    except RecipeError as error:
        return list(error.problems)
    problems = []
    for batch in (PROBE_BATCH, PROBE_BATCH + 2):
        synthetic = _Synthetic(wiring, batch, torch.device("meta"), torch.float32)
        for group in groups(wiring):
            try:
                _run_group(training, group, synthetic)
            except Exception as error:
                problems.append(_failed(wiring, group, error))
    for role, node in wiring.inference.items():
        synthetic = _Synthetic(wiring, PROBE_BATCH, torch.device("meta"), torch.float32)
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


def _run_group(
    training: Training, group: tuple[Phase, ...], synthetic: _Synthetic
) -> tuple[Program, Outcome]:
    terms = tuple(term for phase in group for term in phase.terms)
    states = {name: node for phase in group for name, node in phase.states.items()}
    planned = plan(group, terms, states)
    program = Program(planned, training.modules, training.wiring.spaces)
    values = {node.source: synthetic.value(node) for node in planned.sources()}
    outcome = program(values)
    for phase in planned.phases:
        synthetic.kept |= {name: outcome.kept[name] for name in phase.kept}
    return program, outcome


def _probe(wiring: Wiring, registry: Registry) -> tuple[list[Problem], list[str]]:
    training = Training(wiring, registry, batch=PROBE_BATCH)
    synthetic = _Synthetic(wiring, PROBE_BATCH, training.device, training.dtype)
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


def named_gradients(
    training: Training, phase: Phase, outcome: Outcome
) -> abc.Iterator[tuple[str, str, Tensor | None]]:
    """Part, parameter name and gradient, for all that a phase trains."""
    gradients = iter(outcome.gradients[phase.name])
    for part in phase.spec.train:
        for name in trainable(training.modules[part]):
            yield part, name, next(gradients)


class _Synthetic:
    """Values of the declared spaces and ranges in place of data and draws."""

    def __init__(self, wiring: Wiring, batch: int, device: torch.device, dtype: torch.dtype) -> None:
        self.wiring, self.batch, self.device, self.dtype = wiring, batch, device, dtype
        self.kept: dict[str, Any] = {}
        self.generator = torch.Generator().manual_seed(0)

    def value(self, node: Node) -> Any:
        kind, name = node.source
        if kind == "kept" and name in self.kept:
            return self.kept[name]
        if kind in ("timed", "scalars"):
            quantity = self.wiring.recipe.scalars[name] if kind == "scalars" else name
            return quantity.at(0, 0)
        if kind == "draw":
            draw = self.wiring.draws[name]
            dims = () if draw.row else tuple(dim for dim in draw.space.dims if isinstance(dim, int))
            prior = at_time(draw.prior, self.wiring.recipe.scalars, 0, 0)
            value = prior.draw((round(self.batch * draw.share), *dims), self.generator)
            return self._placed(value)
        return self._of_space(self.wiring.spaces[node])

    def _of_space(self, space: Space) -> Any:
        dims = tuple(dim if isinstance(dim, int) else 2 for dim in space.dims)
        shape = (self.batch, *dims) if space.batched else dims
        if space.kind == "label":
            index = torch.randint(dims[0], (self.batch,), generator=self.generator)
            return self._placed(torch.nn.functional.one_hot(index, dims[0]).float())
        value = torch.rand(shape, generator=self.generator)
        if isinstance(space.range, tuple):
            value = value * (space.range[1] - space.range[0]) + space.range[0]
        return self._placed(value)

    def _placed(self, value: Tensor) -> Tensor:
        value = value.to(self.device)
        return value.to(self.dtype) if value.is_floating_point() else value


__all__ = ["Report", "named_gradients", "prove", "trained_by"]
