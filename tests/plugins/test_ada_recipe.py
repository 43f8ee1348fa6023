"""The recipe with adaptive augmentation: how p moves, and what the discriminator is trained on."""

from __future__ import annotations

from collections import abc
from typing import Any

import pytest
import torch
from torch import Tensor

import latentkit as lk
from latentkit._building import wired
from latentkit.engine.training import Training
from latentkit.registry.manager import default_registry

Narrow = abc.Callable[..., dict[str, object]]
BATCH = 4
SCORE = {"extends": "gan-ada", "draw": {"s": {"use": "uniform"}}, "flow": {"real": "s + 0 * D(A(x, p, a_real))"}}
"""The recipe with scores of real images that a test makes up."""


def training_of(recipe: Any, overrides: dict[str, object]) -> Training:
    return Training(wired(recipe, overrides), default_registry(), seed=0)


def images(training: Training, batch: int = BATCH) -> Tensor:
    return torch.rand(batch, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1


def with_signs(mean: float) -> Tensor:
    """Scores of four real images, whose signs have this mean."""
    positive = round((1 + mean) / 2 * BATCH)
    return torch.tensor([0.3] * positive + [-7.0] * (BATCH - positive))


def test_p_moves_as_published(narrow: Narrow) -> None:
    means = [1, 1, 1, 1, 1, 1, 0.5, 0.5, 1, 1, 0, 0, 0.5, -1, -1, -1, 1, -1, 0.5, 1, 1, 1, 1, 1, 1]
    training = training_of(SCORE, narrow("gan-ada"))
    x, p, found = images(training), 0.0, []
    for step, mean in enumerate(means):
        training.step({"discriminate": {"x": x, "s": with_signs(mean)}, "generate": {"x": x}})
        if step % 4 == 0 and step:  # four minibatches lie behind
            over = sum(means[step - 3 : step + 1]) / 4 - 0.6
            p = min(max(p + (1 if over > 0 else -1) * BATCH * 4 / 500_000, 0), 1)
        found.append(p)
        assert float(training.states["p"]) == pytest.approx(p, abs=1e-9)
    assert len(set(found)) == 3  # it went up, and came back to where it cannot go below


def test_p_moves_as_far_per_image_with_any_batch(narrow: Narrow) -> None:
    training = training_of(SCORE, narrow("gan-ada", **{"train.batch": 12}))
    x, s = images(training, 12), torch.ones(12)
    for _ in range(5):
        training.step({"discriminate": {"x": x, "s": s}, "generate": {"x": x}})
    assert float(training.states["p"]) == pytest.approx(48 / 500_000)


def test_p_stays_below_1(narrow: Narrow) -> None:
    training = training_of(SCORE, narrow("gan-ada"))
    training.states["p"].fill_(0.99999)
    for _ in range(5):
        training.step({"discriminate": {"x": images(training), "s": torch.ones(BATCH)}})
    assert float(training.states["p"]) == 1


def test_the_penalty_is_taken_through_the_augmentation(narrow: Narrow) -> None:
    training = training_of("gan-ada", narrow("gan-ada"))
    training.states["p"].fill_(1.0)
    x, seen = images(training), {}

    def watch(program: Any, slots: Any, _: Any) -> None:
        if program.plan.running[0].name == "discriminate":
            seen.update({value[1]: slots[slot] for slot, value, _ in program.inputs})

    training.watch = watch
    parts = training.modules
    copy = {name: value.clone() for name, value in parts["D"].state_dict().items()}
    terms = training.step({"discriminate": {"x": x}})
    leaf = x.clone().requires_grad_()
    score = torch.func.functional_call(parts["D"], copy, (parts["A"](leaf, seen["p"], seen["a_real"]),))
    (gradient,) = torch.autograd.grad(score.sum(), leaf)
    wanted = gradient.square().flatten(1).sum(1).mean()
    assert float(terms["discriminate", "r1"]) == pytest.approx(float(wanted), rel=1e-4)
    plain = torch.func.functional_call(parts["D"], copy, (leaf,))
    assert not torch.allclose(score, plain)


@pytest.mark.parametrize("limits", [(-1.0, 1.0), (0.0, 1.0)])
def test_black_and_white_come_from_the_flow(narrow: Narrow, limits: tuple[float, float]) -> None:
    sigmoid = {"parts.G.activation": "sigmoid"} if limits[0] == 0 else {}
    wiring = wired("gan-ada", narrow("gan-ada", **{"data.range": list(limits), **sigmoid}))
    part: Any = wiring.parts["A"]
    assert part.range == limits


def test_a_range_that_the_images_have_not_is_told(narrow: Narrow) -> None:
    report = lk.check("gan-ada", narrow("gan-ada", **{"parts.A.range": [0.0, 1.0]}))
    assert any("[0, 1]" in str(problem) and "[-1, 1]" in str(problem) for problem in report.problems)


def test_colors_of_two_channels_are_told_with_their_place(narrow: Narrow) -> None:
    report = lk.check("gan-ada", narrow("gan-ada", **{"data.channels": 2}))
    told = "[parts] A: ada.augment: colours are those of images of 1 or 3 channels, found 2; say color = false"
    assert any(told in str(problem) for problem in report.problems)
    assert lk.check("gan-ada", narrow("gan-ada", **{"data.channels": 2, "parts.A.color": False})).ok


def test_the_first_steps_train_and_end_the_same_from_anew(narrow: Narrow) -> None:
    def trained() -> Training:
        training = training_of("gan-ada", narrow("gan-ada"))
        training.states["p"].fill_(0.8)
        before = [p.detach().clone() for p in training.modules["G"].parameters()]
        for _ in range(3):
            terms = training.step({phase.name: {"x": images(training)} for phase in training.wiring.phases})
            assert all(bool(value.isfinite()) for value in terms.values())
        assert not all(map(torch.equal, before, training.modules["G"].parameters()))
        return training

    one, other = trained(), trained()
    for name, part in one.modules.items():
        assert all(map(torch.equal, part.parameters(), other.modules[name].parameters())), name
