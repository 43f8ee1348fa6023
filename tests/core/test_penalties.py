"""Penalties on gradients as recipes state them: what a phase trains gets their true gradient."""

from __future__ import annotations

import copy
from collections import abc
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from latentkit.components.regularizers import gradient_penalty
from latentkit.engine.training import Training

Start = abc.Callable[..., Training]
Gradients = list[Tensor | None]


def gradients(training: Training, phase: str, **values: Tensor) -> Gradients:
    """What a phase's weights are given in a step on these values."""
    found: dict[str, Gradients] = {}
    training.watch = lambda _program, _slots, outcome: found.update(outcome.gradients)
    training.step({phase: values})
    return found[phase]


def randn(*sizes: int, seed: int = 0) -> Tensor:
    return torch.randn(sizes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def at(y: Tensor, x: Tensor) -> Tensor:
    """Squared norm per sample of d y / d x, differentiable again."""
    (gradient,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    return gradient.square().flatten(1).sum(1)


def assert_gradients(found: Gradients, value: Tensor, module: nn.Module) -> None:
    """Those of the module's weights, in order; a bias that no gradient of the input depends on has none."""
    wanted = torch.autograd.grad(value, list(module.parameters()), allow_unused=True)
    assert [item is None for item in found] == [item is None for item in wanted]
    for mine, other in zip(found, wanted, strict=True):
        if mine is not None:
            torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-12)


def test_roth_regularizer_differentiates_through_its_sigmoid_factors(start: Start) -> None:
    terms = {"phase.discriminate.loss.adversarial": {"use": "drift", "of": "real", "weight": 0.0}}
    training = start("roth", terms, precision="float64")
    critic = copy.deepcopy(training.modules["D"])
    x, z = randn(8, 1, 8, 8), randn(8, 6, seed=1)
    x_fake = training.modules["G"](z).detach().requires_grad_()
    found = gradients(training, "discriminate", x=x, z=z)
    x = x.requires_grad_()
    real, fake = critic(x), critic(x_fake)
    penalty = (1 - real.sigmoid()).square() * at(real, x) + fake.sigmoid().square() * at(fake, x_fake)
    assert_gradients(found, 2.0 / 2 * penalty.mean(), critic)  # gamma is 2 at first


CLASSIFIER: dict[str, Any] = {
    "data": {"use": "toy.images", "gives": {"x": "image", "y": "label"}},
    "train": {"batch": 8, "steps": 8},
    "parts": {"C": {"use": "toy.enc"}, "CE": {"use": "cross-entropy"}},
    "flow": {"logits": "C(x)", "ce": "CE(logits, y)"},
    "phase": {
        "classify": {
            "train": ["C"],
            "loss": {
                "label": "ce",
                "smooth": {"use": "input-gradient", "of": "ce", "wrt": "x", "weight": 0.3},
            },
        }
    },
    "inference": {"logits": "logits"},
}


def test_input_gradient_is_of_the_loss_and_reaches_the_weights(start: Start) -> None:
    training = start(CLASSIFIER, precision="float64")
    assert training.wiring.parts["C"].dim == 10  # type: ignore[attr-defined]  # as many as there are classes
    classifier = copy.deepcopy(training.modules["C"])
    x, y = randn(8, 1, 8, 8), torch.eye(10, dtype=torch.float64)[:8]
    found = gradients(training, "classify", x=x, y=y)
    x = x.requires_grad_()
    loss = torch.nn.functional.cross_entropy(classifier(x), y.argmax(1), reduction="none")
    assert_gradients(found, (loss + 0.3 * at(loss, x)).mean(), classifier)


def test_r2_is_r1_at_the_fakes_and_leaves_the_generator_alone(start: Start) -> None:
    penalty = {"use": "r1", "of": "fake", "wrt": "x_fake", "weight": 5.0}
    training = start("gan", {"phase.discriminate.loss.adversarial": penalty}, precision="float64")
    critic, z = copy.deepcopy(training.modules["D"]), randn(8, 6, seed=1)
    x_fake = training.modules["G"](z).detach().requires_grad_()
    found = gradients(training, "discriminate", x=randn(8, 1, 8, 8), z=z)
    assert_gradients(found, 5.0 * at(critic(x_fake), x_fake).mean(), critic)


@pytest.mark.parametrize(("center", "one_sided", "wanted"), [(1.0, False, 1.0), (1.0, True, 0.0), (0.0, False, 0.0)])
def test_gradient_penalty_of_a_vanishing_gradient_is_finite_and_so_is_its_derivative(
    center: float, one_sided: bool, wanted: float
) -> None:
    gradient = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    value = gradient_penalty(gradient, center=center, one_sided=one_sided)
    assert value.tolist() == pytest.approx([wanted, wanted])
    (derivative,) = torch.autograd.grad(value.sum(), gradient)
    assert derivative.tolist() == [[0.0] * 3] * 2


def test_one_sided_penalty_leaves_small_gradients_alone() -> None:
    gradient = torch.tensor([[0.3, 0.4], [3.0, 4.0]])  # norms 0.5 and 5
    assert gradient_penalty(gradient).tolist() == pytest.approx([0.25, 16.0])
    assert gradient_penalty(gradient, one_sided=True).tolist() == pytest.approx([0.0, 16.0])
    assert gradient_penalty(gradient, center=0.0).tolist() == pytest.approx([0.25, 25.0])
