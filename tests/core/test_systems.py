"""Twenty-six published systems as recipes on toy parts: each trains, touches what it trains, and resumes exactly."""

from __future__ import annotations

import itertools
import math
from collections import abc
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from latentkit.engine.evaluating import evaluate
from latentkit.engine.training import Training

NAMES = sorted(path.stem for path in (Path(__file__).parent / "systems").glob("*.toml"))
SHIFT_INVARIANT = {("wgan", "D"), ("wgan-gp", "D"), ("biggan", "D")}
"""Critics whose loss is a difference of scores: their last bias cancels."""
Start = abc.Callable[..., Training]

pytestmark = pytest.mark.parametrize("name", NAMES)


def parameters(training: Training) -> dict[str, list[Tensor]]:
    return {name: [p.detach().clone() for p in part.parameters()] for name, part in training.modules.items()}


def carried(training: Training) -> dict[str, Tensor]:
    found = {f"system {key}": value.clone() for key, value in training.system.state_dict().items()}
    found |= {f"state {key}": value.clone() for key, value in training.states.items()}
    for key, slot in training.slots.items():
        found |= {f"optimizer {key} {name}": value.clone() for name, value in slot.tensors().items()}
    for key, average in training.averages.items():
        found |= {f"average {key} {name}": value.clone() for name, value in average.tensors().items()}
    return found


def test_system_trains_eight_steps_with_finite_terms(name: str, start: Start) -> None:
    training = start(name)
    wanted = {(phase.name, term.name) for phase in training.wiring.phases for term in phase.terms}
    seen: set[tuple[str, str]] = set()
    for _ in range(8):
        terms = training.step()
        assert all(math.isfinite(float(value)) for value in terms.values()), terms
        seen |= set(terms)
    assert seen == wanted
    assert training.wiring.warnings == ()
    assert (training.step_count, training.images) == (8, 64)
    assert all(tensor.isfinite().all() for tensor in training.system.state_dict().values())


def test_each_phase_changes_every_part_that_it_trains_and_no_other(name: str, start: Start) -> None:
    training = start(name)
    executions: list[tuple[set[str], dict[str, list[Tensor]]]] = []

    def watch(program: Any, _slots: Any, _outcome: Any) -> None:
        trained = {part for phase in program.plan.phases for part in phase.spec.train}
        executions.append((trained, parameters(training)))

    training.step()  # VampPrior's divergence has weight 0 at first
    training.watch = watch
    for _ in range(2):
        training.step()
    executions.append((set(), parameters(training)))
    for (trained, before), (_, after) in itertools.pairwise(executions):
        changed = {
            part for part in before
            if any(not torch.equal(a, b) for a, b in zip(before[part], after[part], strict=True))
        }  # fmt: skip
        assert changed == trained


def test_every_parameter_of_a_trained_part_gets_a_gradient(name: str, start: Start) -> None:
    training = start(name, {"scalars.lod": 1, "scalars.blend": 0.5} if name == "stylealae" else None)
    reached: dict[str, set[str]] = {part: set() for phase in training.wiring.phases for part in phase.spec.train}

    def watch(program: Any, _slots: Any, outcome: Any) -> None:
        for phase in program.plan.phases:
            gradients = iter(outcome.gradients[phase.name])
            for part in phase.spec.train:
                for key, _ in training.modules[part].named_parameters():
                    gradient = next(gradients)
                    if gradient is not None and gradient.abs().sum() > 0:
                        reached[part].add(key)

    training.watch = watch
    for _ in range(2):
        training.step()
    for part, keys in reached.items():
        missing = {key for key, _ in training.modules[part].named_parameters()} - keys
        assert missing <= ({"net.2.bias"} if (name, part) in SHIFT_INVARIANT else set()), part


def test_three_steps_and_three_steps_are_six_bit_for_bit(
    name: str, start: Start, transplant: abc.Callable[[Training, Training], None]
) -> None:
    whole, first, second = start(name), start(name), start(name)
    wanted = [whole.step() for _ in range(6)]
    found = [first.step() for _ in range(3)]
    second.step()  # what it did before must not matter
    transplant(first, second)
    found += [second.step() for _ in range(3)]
    assert found == wanted
    left, right = carried(whole), carried(second)
    assert left.keys() == right.keys()
    assert [key for key in left if not torch.equal(left[key], right[key])] == []
    assert whole.positions == second.positions


def test_every_role_of_inference_evaluates(name: str, start: Start) -> None:
    training = start(name)
    training.step()
    training.system.eval()
    wiring = training.wiring
    batch = {key: value for batches in training.data.values() for key, value in batches.at(0).items()}

    def value(node: Any) -> Any:
        kind, key = node.value
        if kind == "data":
            return batch[key]
        if kind == "kept":
            dims = wiring.spaces[node].dims
            return torch.zeros(training.batch, *dims)
        return training.source(kind, key)

    results = evaluate(list(wiring.inference.values()), training.modules, wiring.spaces, value)
    for role, node, result in zip(wiring.inference, wiring.inference.values(), results, strict=True):
        space = wiring.spaces[node]
        assert result.shape == (len(result), *space.dims), role
        assert result.isfinite().all()
        assert space.kind == {"sample": "image", "decode": "image"}.get(role, "latent")
