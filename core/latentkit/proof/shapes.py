"""What shapes alone show, on the meta device: everything runs, and where gradients can structurally arrive."""

from __future__ import annotations

from collections import abc
from typing import Any

import attrs
import torch
from torch import Tensor

from latentkit.engine.evaluating import evaluate
from latentkit.engine.plan import groups, plan
from latentkit.engine.program import Program
from latentkit.engine.training import Training
from latentkit.engine.updates import trainable
from latentkit.errors import LatentkitError, Problem, RecipeError
from latentkit.proof.counting import Counting
from latentkit.proof.static import trained_by
from latentkit.proof.synthetic import Synthetic
from latentkit.registry.manager import Registry
from latentkit.settings import Settings
from latentkit.spaces import Space
from latentkit.wiring.batching import even_batch
from latentkit.wiring.wiring import Phase, Wiring

LEAST_BATCH = 4


@attrs.define
class Meta:
    """What was found on shapes."""

    problems: list[Problem] = attrs.field(factory=list)
    proved: list[str] = attrs.field(factory=list)
    flops: float = 0.0
    """Multiplications and additions of all phases, per sample."""
    lost: dict[str, list[str]] = attrs.field(factory=dict)
    """By trained part, the weights at which no term's gradient can arrive."""


def on_meta(wiring: Wiring, registry: Registry) -> Meta:
    """Run every phase and role on shapes alone, at two batch sizes."""
    found = Meta()
    try:
        training = Training(wiring, registry, settings=Settings(device="meta"), batch=LEAST_BATCH)
    except RecipeError as error:
        found.problems += error.problems
        return found
    found.problems += _shared(wiring, training)
    small = even_batch(wiring.graph.nodes, LEAST_BATCH)
    reached: set[tuple[str, str]] = set()
    counting = Counting()
    for batch in (small, 2 * small):
        synthetic = Synthetic(wiring, batch, torch.device("meta"), torch.float32)
        for group in groups(wiring):
            try:
                found.problems += _run_group(training, group, synthetic, reached, counting)
            except Exception as error:
                found.problems.append(failed(wiring, group, error, "does not run on shapes alone"))
        if found.problems:
            return found
    found.flops = counting.flops / (3 * small)
    synthetic = Synthetic(wiring, small, torch.device("meta"), torch.float32)
    for role, node in wiring.inference.items():
        try:
            evaluate([node], training.modules, wiring.spaces, synthetic.value)
        except Exception as error:
            found.problems.append(Problem(wiring.source.where(("inference", role)), first_line(error)))
    found.lost = _lost(wiring, training, reached)
    found.proved += [
        f"all phases and roles run at batches of {small} and {2 * small}, and every value has its declared sizes",
        "a gradient arrives, from each term, at the parts that the graph says, and no weight belongs to two parts",
    ]
    return found


def failed(wiring: Wiring, group: tuple[Phase, ...], error: Exception, what: str) -> Problem:
    """A phase that could not be executed."""
    path = ("phase", group[0].name) if len(group) == 1 else ("phase",)
    return Problem(wiring.source.where(path), f"{what}: {first_line(error)}")


def first_line(error: Exception) -> str:
    """What an exception says, in a line."""
    text = str(error).strip().partition("\n")[0]
    return text if isinstance(error, LatentkitError) else f"{type(error).__name__}: {text}"


def _shared(wiring: Wiring, training: Training) -> list[Problem]:
    """Weights that two parts hold: training one would change the other."""
    owners: dict[int, tuple[str, str]] = {}
    problems = []
    for part, module in training.modules.items():
        for name, parameter in module.named_parameters():
            other, its_name = owners.setdefault(id(parameter), (part, name))
            if other == part:
                continue
            fact = f"{part}.{name} and {other}.{its_name} are one tensor, so training one part changes the other"
            hint = "build() must make new modules; to share weights, use one part twice in the flow"
            problems.append(Problem(wiring.source.where(("parts", part)), fact, hint))
    return problems[:4]


def _run_group(
    training: Training, group: tuple[Phase, ...], synthetic: Synthetic, reached: set[tuple[str, str]],
    counting: Counting,
) -> list[Problem]:  # fmt: skip
    wiring = training.wiring
    terms = tuple(term for phase in group for term in phase.terms)
    states = {name: node for phase in group for name, node in phase.states.items()}
    planned = plan(group, terms, states)
    program = Program(planned, training.modules, wiring.spaces)
    with counting:
        slots = program.forward({node.source: synthetic.value(node) for node in planned.sources()})
    problems = _sizes(wiring, program, slots)
    if problems:
        return problems
    values = program.terms(slots)
    for phase in planned.running:
        arriving: set[str] = set()
        for term in planned.terms_of(phase):
            gradients = program.gradients_of(phase, {(phase.name, term.name): values[phase.name, term.name]}, slots)
            mine = {(part, name) for part, name, gradient in program.named(phase, gradients) if gradient is not None}
            reached |= mine
            arriving |= {part for part, _ in mine}
            if not mine:
                fact = "no gradient of this term arrives at a part that the phase trains"
                expected = ", ".join(sorted(trained_by(term, set(phase.spec.train))))
                hint = _cutting(program, slots) or f"the expressions say that {expected} should get one"
                problems.append(Problem(wiring.source.where(term.path), fact, hint))
        for part in phase.spec.train:
            if part not in arriving and not problems:
                fact = f"'{part}' is trained here, but no term's gradient arrives at it"
                place = wiring.source.where(("phase", phase.name, "train"))
                problems.append(Problem(place, fact, _cutting(program, slots)))
    with counting:
        outcome = program.outcome(slots)
    for phase in planned.phases:
        synthetic.kept |= {name: outcome.kept[name] for name in phase.kept}
    return problems


def _cutting(program: Program, slots: abc.Sequence[Any]) -> str:
    """The parts whose result has no graph although it should have one."""
    cut = [
        node for node in program.plan.order
        if node.op == "call" and node in program.plan.graph
        and not any(tensor.requires_grad for tensor in tensors_in(slots[program.slots[node]]))
    ]  # fmt: skip
    names = dict.fromkeys(node.callee[0] + (f".{node.callee[1]}" if node.callee[1] else "") for node in cut)
    return f"{', '.join(names)} cuts the way: no_grad(), detach() or .data inside the part" if names else ""


def tensors_in(value: Any) -> list[Tensor]:
    """The tensors of a value: itself, or its fields."""
    if isinstance(value, Tensor):
        return [value]
    return [tensor for field in value for tensor in tensors_in(field)] if isinstance(value, tuple) else []


def _sizes(wiring: Wiring, program: Program, slots: abc.Sequence[Any]) -> list[Problem]:
    """Calls whose results have other sizes than their ports declare."""
    problems = []
    for node in program.plan.order:
        space = wiring.spaces.get(node)
        if node.op not in ("call", "apply") or space is None:
            continue
        wrong = _wrong_size(slots[program.slots[node]], space)
        if wrong:
            problems.append(Problem(wiring.where(node), f"declares {space}, but its result has {wrong}"))
    return problems


def _wrong_size(value: Any, space: Space) -> str:
    if space.kind == "record":
        pairs = [(getattr(value, name, None), inner) for name, inner in space.fields]
        return next(filter(None, (_wrong_size(item, inner) for item, inner in pairs if isinstance(inner, Space))), "")
    tensors = tensors_in(value)
    if not tensors:
        return f"no tensor but {type(value).__name__}" if space.kind != "scalar" else ""
    for tensor in tensors:
        found = tuple(tensor.shape[1:]) if space.batched else tuple(tensor.shape)
        known = [dim for dim in space.dims if isinstance(dim, int)]
        if len(known) == len(space.dims) and (found != tuple(known) or (space.batched and not tensor.ndim)):
            sizes = list(tensor.shape)
            return f"sizes {sizes} (a batch first)" if space.batched else f"sizes {sizes}"
    return ""


def _lost(wiring: Wiring, training: Training, reached: abc.Collection[tuple[str, str]]) -> dict[str, list[str]]:
    """Weights of trained parts that no term of any phase can reach."""
    trained = sorted({part for phase in wiring.phases for part in phase.spec.train})
    found = {part: [name for name in trainable(training.modules[part]) if (part, name) not in reached]
             for part in trained}  # fmt: skip
    return {part: names for part, names in found.items() if names}


def unreached(lost: abc.Mapping[str, abc.Sequence[str]]) -> list[str]:
    """What to say of weights that no term's gradient can reach."""
    said = []
    for part, names in lost.items():
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            said.append(
                f"no term's gradient can arrive at {part}.{', '.join(names[:3])}{more}; they stay as they start"
            )
    return said
