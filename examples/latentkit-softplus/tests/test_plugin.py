"""The loss has the values of its formula, the critic is what it says, the recipe trains, and all of it conforms."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import latentkit as lk
import pytest
import torch
from latentkit.testing import checks_of
from torch import Tensor

from latentkit_softplus.parts import SmoothDiscriminator, scaled_softplus

RECIPE = "softplus-gan"
SMALL = {"data.count": 32, "data.resolution": 8, "parts.D.hidden": 16, "train.batch": 8}


@pytest.mark.parametrize("run", [pytest.param(check.run, id=check.name) for check in checks_of("softplus")])
def test_the_plugin_conforms(run: Callable[[], None]) -> None:
    run()


@pytest.mark.parametrize("beta", [0.5, 1.0, 4.0])
def test_the_loss_has_the_values_of_its_formula(beta: float) -> None:
    score = torch.tensor([-3.0, 0.0, 2.0], dtype=torch.float64)
    expected = [math.log(1 + math.exp(beta * s)) / beta for s in (-3.0, 0.0, 2.0)]
    torch.testing.assert_close(scaled_softplus(score, beta), torch.tensor(expected, dtype=torch.float64))


def test_the_derivative_of_the_loss_is_a_sigmoid() -> None:
    score = torch.linspace(-5, 5, 11, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(scaled_softplus(score, 2.0).sum(), score)
    torch.testing.assert_close(slope, torch.sigmoid(2.0 * score.detach()))


def test_a_very_sharp_loss_is_relu_and_large_scores_do_not_overflow() -> None:
    score = torch.tensor([-1e4, -1.0, 1.0, 1e4])
    torch.testing.assert_close(scaled_softplus(score, 1e3), score.relu())


def test_a_penalty_on_the_gradient_of_the_critic_moves_its_biases() -> None:
    torch.manual_seed(0)
    critic = SmoothDiscriminator(channels=1, height=4, width=4, hidden=8).build()
    x = torch.randn(5, 1, 4, 4, requires_grad=True)
    score: Tensor = critic(x)
    assert score.shape == (5,)
    (slope,) = torch.autograd.grad(score.sum(), x, create_graph=True)
    biases = [bias for name, bias in critic.named_parameters() if name.endswith("bias")][:-1]
    assert all(moved.abs().max() > 0 for moved in torch.autograd.grad(slope.square().sum(), biases))


def test_the_recipe_is_sound() -> None:
    report = lk.check(RECIPE)
    assert report.ok, report.problems


def test_the_recipe_trains(tmp_path: Path) -> None:
    run = lk.train(RECIPE, tmp_path / "run", steps=2, overrides=SMALL)
    assert all(math.isfinite(value) for value in run.metrics[-1].values())
    assert run.model.sample(3, seed=0).shape == (3, 1, 8, 8)
