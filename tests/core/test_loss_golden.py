"""Core losses, layers and paths against numpy values in float64; every value of a case is compared."""

from __future__ import annotations

import functools
from collections import abc

import pytest
import torch
from torch import Tensor, nn

from latentkit.components import adversarial as adv
from latentkit.components.layers import SameConv2d, SameConvTranspose2d, SelfModulatedBatchNorm, blur
from latentkit.components.regularizers import gradient_penalty, orthogonal, r1
from latentkit.latents import lerp, slerp

Values = dict[str, Tensor]
Case = abc.Callable[[Values], Values]


def gradients(values: Values, name: str, value: Tensor, **wrt: Tensor) -> Values:
    got = torch.autograd.grad(value, list(wrt.values()))
    return values | {f"{name}_d{key}": grad for key, grad in zip(wrt, got, strict=True)}


def gan(given: Values) -> Values:
    real, fake = given["s_real"].requires_grad_(), given["s_fake"].requires_grad_()
    pm = {"real_target": 1.0, "fake_target": -1.0}
    out = {
        "ns_d": adv.logistic_discriminator(real, fake),
        "ns_g": adv.logistic_generator(fake),
        "sat_g": adv.saturating_generator(fake),
        "hinge_d": adv.hinge_discriminator(real, fake),
        "hinge_g": adv.hinge_generator(fake),
        "wgan_d": adv.wasserstein_discriminator(real, fake),
        "wgan_g": adv.wasserstein_generator(fake),
        "lsgan01_d": adv.least_squares_discriminator(real, fake),
        "lsgan01_g": adv.least_squares_generator(fake),
        "lsgan_pm_d": adv.least_squares_discriminator(real, fake, **pm),
        "lsgan_pm_g": adv.least_squares_generator(fake, target=0.0),
        "drift": 1e-3 * adv.drift(real),
    }
    out = {name: value.mean() for name, value in out.items()}
    for name in ("ns_d", "hinge_d", "lsgan01_d"):
        out = gradients(out, name, out[name], real=real, fake=fake)
    for name in ("ns_g", "sat_g", "lsgan01_g"):
        out = gradients(out, name, out[name], fake=fake)
    big = torch.tensor([1e3, -1e3, 40.0], dtype=torch.float64)
    return out | {"big_logits": adv.logistic_generator(-big)}


def selfmod_bn(given: Values) -> Values:
    h, z = given["h"], given["z"]
    layer = SelfModulatedBatchNorm(h.shape[1], z.shape[1], eps=float(given["bn_eps"])).double()
    for letter, perceptron in (("g", layer.gamma), ("b", layer.beta)):
        state = {"0.weight": given[f"W{letter}1"].T, "0.bias": given[f"b{letter}1"]}
        state |= {"2.weight": given[f"W{letter}2"].T, "2.bias": given[f"b{letter}2"]}
        perceptron.load_state_dict(state)
    return {"gamma": layer.gamma(z), "beta": layer.beta(z), "out": layer(h, z)}


def tf_same(given: Values) -> Values:
    def run(layer_type: type[nn.Module], weight: Tensor) -> Tensor:
        inputs, outputs = weight.shape[:2] if layer_type is SameConvTranspose2d else weight.shape[1::-1]
        layer = layer_type(inputs, outputs, weight.shape[-1]).double()
        layer.load_state_dict({"weight": weight, "bias": torch.zeros(outputs)})
        return layer(given["x"])

    convolved = {f"conv{k}_s2": run(SameConv2d, given[f"k{k}"]) for k in (4, 5)}
    return convolved | {f"convT{k}_s2": run(SameConvTranspose2d, given[f"kt{k}"]) for k in (4, 5)}


def blurpool(given: Values) -> Values:
    return {"blur121": blur(given["x"])}


def misc(given: Values) -> Values:
    a, b, t = given["a"], given["b"], given["t"]

    def standard(code: Tensor) -> Tensor:
        return (code - code.mean(-1, keepdim=True)) / code.std(-1, correction=0, keepdim=True)

    return {
        "lerp": lerp(a, b, t),
        "slerp": slerp(a, b, t),
        "lerp_N": standard(lerp(standard(a), standard(b), t)),
    }


def gradpen(given: Values) -> Values:
    weight, bias, row = given["W"], given["b"], given["v"]

    def score(x: Tensor) -> Tensor:
        return torch.tanh(x @ weight.T + bias) @ row + given["bias0"]

    def gradient(x: Tensor) -> Tensor:
        x = x.requires_grad_()
        return torch.autograd.grad(score(x).sum(), x)[0]

    real, fake, mix = given["x_real"], given["x_fake"], given["eps"][:, None]
    mixed = (1 - mix) * real + mix * fake
    at_real, at_fake, at_mix = gradient(real), gradient(fake), gradient(mixed)
    s_real, s_fake, gamma, lam = score(real), score(fake), given["gamma"], given["lam"]
    penalty = gamma / 2 * r1(at_real).mean()
    roth = (1 - s_real.sigmoid()).square() * r1(at_real) + s_fake.sigmoid().square() * r1(at_fake)
    return {
        "s_real": s_real, "s_fake": s_fake, "x_mix": mixed,
        "grad_real": at_real, "grad_fake": at_fake, "grad_mix": at_mix,
        "r1": penalty,
        "r2": gamma / 2 * r1(at_fake).mean(),
        "wgan_gp": lam * gradient_penalty(at_mix).mean(),
        "wgan_gp_one_sided": lam * gradient_penalty(at_mix, one_sided=True).mean(),
        "gp0": lam * gradient_penalty(at_mix, center=0.0).mean(),
        "roth": gamma / 2 * roth.mean(),
        "ns_d_r1": adv.logistic_discriminator(s_real, s_fake).mean() + penalty,
    }  # fmt: skip


def specnorm(given: Values) -> Values:
    weights = {"weight": given["W"].requires_grad_(), "bias": torch.ones(3)}
    modified = orthogonal(weights)
    (grad,) = torch.autograd.grad(modified, weights["weight"])
    return {
        "ortho_modified": modified,
        "ortho_modified_true_grad": grad,
        "ortho_full": orthogonal(weights, full=True),
    }


CASES: dict[str, Case] = {case.__name__: case for case in (gan, selfmod_bn, tf_same, blurpool, misc, gradpen, specnorm)}
ELSEWHERE = {
    "misc": {"rmsprop_keras", "ema999"},
    "gradpen": {"ce", "ross_input_grad", "ross_penalty_sum", "ross_total_mean"},
    "specnorm": {"sigma", "W_sn1", "ortho_modified_bigganpt_grad"}
    | {f"{name}{steps}" for name in ("u", "v", "sigma") for steps in (1, 5)},
}
"""Values that belong to optimizers, averages, classifiers and spectral norm."""


@pytest.mark.parametrize("name", CASES)
def test_values_of_the_case_are_reproduced(name: str, golden: abc.Callable[[str], Values]) -> None:
    tensors = golden("losses")
    given = {key.split("/")[2]: value for key, value in tensors.items() if key.startswith(f"{name}/in/")}
    wanted = {key.split("/")[2]: value for key, value in tensors.items() if key.startswith(f"{name}/out/")}
    got = CASES[name](given)
    assert got.keys() == wanted.keys() - ELSEWHERE.get(name, set())
    for key, value in got.items():
        named = functools.partial("{}: {}".format, key)
        torch.testing.assert_close(value, wanted[key], rtol=1e-9, atol=1e-10, msg=named)
