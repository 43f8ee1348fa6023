"""Penalties on gradients and weights, as recipes state them, against numpy values in float64; all are compared."""

from __future__ import annotations

from collections import abc
from typing import Any, ClassVar

import attrs
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from latentkit.engine.training import Training
from latentkit.hooks import hookimpl
from latentkit.interfaces import Discriminator, Encoder
from latentkit.registry.manager import Registry

Values = dict[str, Tensor]
Given = abc.Callable[[str], Values]
Component = abc.Callable[..., abc.Callable[..., Tensor]]
Valued = abc.Callable[..., Values]
Reproduced = abc.Callable[..., None]


class Scores(nn.Module):
    """One hidden layer of tanh; of one output, a score."""

    def __init__(self, dim: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.inner, self.outer, self.score = nn.Linear(dim, hidden), nn.Linear(hidden, outputs), outputs == 1

    def forward(self, x: Tensor) -> Tensor:
        y = self.outer(torch.tanh(self.inner(x)))
        return y[:, 0] if self.score else y


@attrs.frozen(kw_only=True)
class Critic(Discriminator):
    ports: ClassVar[str] = "x: latent[dim] -> score"
    independent: ClassVar[bool] = True
    hidden: int
    dim: int | None = None

    def build(self) -> nn.Module:
        return Scores(self.dim, self.hidden, 1)


@attrs.frozen(kw_only=True)
class Classifier(Encoder):
    ports: ClassVar[str] = "x: latent[dim] -> y: latent[classes]"
    independent: ClassVar[bool] = True
    hidden: int
    dim: int | None = None
    classes: int | None = None

    def build(self) -> nn.Module:
        return Scores(self.dim, self.hidden, self.classes)


@attrs.frozen(kw_only=True)
class Linear(Encoder):
    ports: ClassVar[str] = "x: latent[dim] -> y: latent[dim_out]"
    independent: ClassVar[bool] = True
    dim_out: int
    dim: int | None = None

    def build(self) -> nn.Module:
        return nn.Linear(self.dim, self.dim_out)


class Plugin:
    title = "Networks of the stored penalties"

    @hookimpl
    def latentkit_components(self) -> abc.Mapping[str, object]:
        return {"critic": Critic, "classifier": Classifier, "linear": Linear}


@pytest.fixture
def registry(registry: Registry) -> Registry:
    registry.add("nets", Plugin(), "tests", "0")
    return registry


def penalty(use: str, of: str, wrt: str, weight: object, **options: object) -> dict[str, Any]:
    return {"use": use, "of": of, "wrt": wrt, "weight": weight, **options}


CRITIC_FLOW = {
    "x_mix": "lerp(x_real, x_fake, eps)", "real": "D(x_real)", "fake": "D(x_fake)", "mixed": "D(x_mix)",
    "g_real": "sum(square(grad(real, x_real)))", "g_fake": "sum(square(grad(fake, x_fake)))",
}  # fmt: skip
ROTH = {"of": "square(1 - sigmoid(real)) * g_real + square(sigmoid(fake)) * g_fake", "weight": "gamma / 2"}


def test_penalties_on_gradients(given: Given, valued: Valued, reproduced: Reproduced) -> None:
    values = given("gradpen")
    hidden, dim = values["W"].shape
    labels = values.pop("labels").long()
    values["y"] = torch.nn.functional.one_hot(labels, len(values["V"])).double()

    def load(training: Training) -> None:
        inner = {"inner.weight": values["W"], "inner.bias": values["b"]}
        outer = {"outer.weight": values["v"][None], "outer.bias": values["bias0"][None]}
        training.modules["D"].load_state_dict(inner | outer)
        outer = {"outer.weight": values["V"], "outer.bias": torch.zeros(len(values["V"]))}
        training.modules["C"].load_state_dict(inner | outer)

    def lipschitz(**options: object) -> dict[str, Any]:
        return {"penalty": penalty("gradient-penalty", "mixed", "x_mix", "lam", **options)}

    r1 = {"r1": penalty("r1", "real", "x_real", "gamma / 2")}
    adversarial = {"use": "logistic-discriminator", "real": "real", "fake": "fake"}
    wanted = {
        "s_real": "real", "s_fake": "fake", "x_mix": "x_mix",
        "grad_real": "grad(real, x_real)", "grad_fake": "grad(fake, x_fake)", "grad_mix": "grad(mixed, x_mix)",
        "r1": r1,
        "r2": {"r2": penalty("r1", "fake", "x_fake", "gamma / 2")},
        "wgan_gp": lipschitz(),
        "wgan_gp_one_sided": lipschitz(one_sided=True),
        "gp0": lipschitz(center=0.0),
        "roth": {"roth": ROTH},
        "ns_d_r1": {"adversarial": adversarial} | r1,
        "ce": "ce",
        "ross_input_grad": "grad(ce, x_real)",
        "ross_penalty_sum": {"penalty": penalty("input-gradient", "ce", "x_real", f"{len(labels)} * ross_lambda")},
        "ross_total_mean": {"class": "ce", "penalty": penalty("input-gradient", "ce", "x_real", "ross_lambda")},
    }  # fmt: skip
    parts = {
        "D": {"use": "nets.critic", "hidden": hidden, "dim": dim},
        "C": {"use": "nets.classifier", "hidden": hidden},
        "CE": {"use": "cross-entropy"},
    }
    classes = {"y": {"use": "onehot", "classes": len(values["V"])}}
    given_now = {key: value for key, value in values.items() if key not in ("W", "b", "v", "bias0", "V")}
    flow = CRITIC_FLOW | {"ce": "CE(C(x_real), y)"}
    reproduced("gradpen", valued(wanted, given_now, load, draw=classes, parts=parts, flow=flow))


def test_penalties_on_weights_and_the_spectral_norm(
    given: Given, valued: Valued, component: Component, reproduced: Reproduced
) -> None:
    values = given("specnorm")
    weights = {"weight": values["W"].requires_grad_(), "bias": torch.ones(3)}
    modified = component("orthogonal")(weights)
    (gradient,) = torch.autograd.grad(modified, weights["weight"])
    got = {
        "ortho_modified": modified,
        "ortho_modified_true_grad": gradient,
        "ortho_modified_bigganpt_grad": gradient / 2,  # of weight 1/2
        "ortho_full": component("orthogonal", full=True)(weights),
    }
    # torch iterates from the input side, the stored values from the output side: they are those of the transpose.
    weight = values["W"].detach().T  # i o

    def iterate(training: Training) -> None:
        layer = training.modules["S"]
        norm = layer.parametrizations.weight[0]
        layer.parametrizations.weight.original.data.copy_(weight)
        norm._v.copy_(values["u0"])
        for count in range(1, 4001):
            with torch.no_grad():
                normalised = layer.weight
            sigma = norm._u @ weight @ norm._v
            if count in (1, 5):
                got.update({f"v{count}": norm._u.clone(), f"u{count}": norm._v.clone(), f"sigma{count}": sigma})
            if count == 1:
                got["W_sn1"] = normalised.T
        got["sigma"] = sigma
        assert parametrize.is_parametrized(layer, "weight")

    part = {"use": "nets.linear", "dim_out": weight.shape[0], "spectral_norm": True}
    valued({"any": "S(x)"}, {"x": torch.ones(2, weight.shape[1]).double()}, iterate, parts={"S": part})
    reproduced("specnorm", got)
