"""Core layers and paths against numpy values in float64; every value of a case is compared."""

from __future__ import annotations

from collections import abc

import pytest
import torch
from torch import Tensor, nn

from latentkit.components.layers import SameConv2d, SameConvTranspose2d, SelfModulatedBatchNorm, blur
from latentkit.latents import interpolant

Values = dict[str, Tensor]
Case = abc.Callable[[Values], Values]


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
    modes = {"lerp": "linear", "slerp": "spherical", "lerp_N": "normalized"}
    return {name: interpolant(mode)(given["a"], given["b"], given["t"]) for name, mode in modes.items()}


CASES: dict[str, Case] = {case.__name__: case for case in (selfmod_bn, tf_same, blurpool, misc)}
ELSEWHERE = {"misc": {"rmsprop_keras", "ema999"}}
"""Values of an optimizer and of an average, which are compared in test_optimizers.py."""


@pytest.mark.parametrize("name", CASES)
def test_values_of_the_case_are_reproduced(
    name: str, given: abc.Callable[[str], Values], reproduced: abc.Callable[..., None]
) -> None:
    reproduced(name, CASES[name](given(name)), ELSEWHERE.get(name, set()))


def test_a_value_that_is_not_compared_or_differs_fails(
    given: abc.Callable[[str], Values], reproduced: abc.Callable[..., None]
) -> None:
    got = blurpool(given("blurpool"))
    for wrong in ({}, got | {"more": torch.ones(())}, {key: value * (1 + 1e-7) for key, value in got.items()}):
        with pytest.raises(AssertionError):
            reproduced("blurpool", wrong)
