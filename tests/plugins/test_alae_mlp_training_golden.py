"""Two training steps of MLP-ALAE against iterations of the released networks, losses and optimizer.

The same values go in, and every value that the files state of an iteration is compared.
"""

from __future__ import annotations

import functools
import math
import re
from collections import abc
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from latentkit._building import wired
from latentkit.engine.outcome import Outcome
from latentkit.engine.program import Program
from latentkit.engine.training import Training
from latentkit.engine.updates import update
from latentkit.registry.manager import default_registry
from latentkit.settings import Settings
from latentkit_plugins.alae.official import SUBNETS, mlp_name, reference_state

Values = dict[str, Tensor]
Golden = abc.Callable[[str], Values]
Weights = abc.Callable[[Values], Values]
FILES = ("alae_mlp", "alae_mlp_full")
PHASES = {"discriminate": "d", "generate": "g", "reciprocate": "ae"}
LETTERS = {subnet: letter for letter, subnet in SUBNETS.items()}
LOSSES = {"loss_d", "loss_g", "loss_ae", "loss_d_fake_term", "loss_d_real_term", "loss_d_r1_term"}
ELSEWHERE = r"cfg|(ref|in|lrcoef)\..*|(f64\.)?(head\.)?(in|out)\..*"
"""Inputs, and what the test of the networks compares."""
HERE = r"(f64\.)?it[12]\..*|ema0\..*|legacyzerograd\.f64\.it2\..*"


def trainer(tensors: Values, weights: Values, precision: Any) -> Training:
    """The shipped recipe in the file's sizes, with the released weights and start of the average."""
    latent, hidden, mapping_layers, score_layers, batch, side, _ = tensors["cfg"].tolist()
    sizes = {
        "draw.z.dim": latent, "data.resolution": side, "parts.E.hidden": hidden, "parts.G.hidden": hidden,
        "parts.F.layers": mapping_layers, "parts.D.layers": score_layers,
    }  # fmt: skip
    settings = Settings(precision=precision)
    training = Training(wired("alae-mlp", sizes), default_registry(), settings=settings, batch=batch)
    average = training.averages["slow"]
    start = average.tensors()
    for letter, module in training.modules.items():
        module.load_state_dict(reference_state(letter, weights))
        stored = reference_state(letter, tensors, prefix="ema0.")
        start |= {f"{letter}.{name}": value for name, value in stored.items()}
    average.load(start)
    return training


def observed(program: Program, slots: abc.Sequence[Any], outcome: Outcome) -> Values:
    """What the file states of one phase, by its names, but with our names of the parts and parameters."""
    (phase,) = program.plan.phases
    short, terms = PHASES[phase.name], {term.name: term for term in program.plan.terms}

    def at(node: Any) -> Any:
        return slots[program.slots[node]]

    weighted = {name: at(term.weight) * outcome.terms[phase.name, name] for name, term in terms.items()}
    found = {f"loss_{short}": torch.stack(list(weighted.values())).sum()}
    found |= gradient_norms(program, outcome)
    if phase.name != "discriminate":
        return found
    real, fake = (at(arg).detach() for arg in terms["adversarial"].node.args)
    found |= {"d_real": real, "d_fake": fake, "r1_sumsq": at(terms["r1"].node).detach()}
    found |= {"loss_d_real_term": F.softplus(-real).mean(), "loss_d_fake_term": F.softplus(fake).mean()}
    named = [f"{part}.{key}" for part in phase.spec.train for key in program.modules[part].state_dict()]
    gradients = zip(named, outcome.gradients[phase.name], strict=True)
    found |= {f"grad_d.{name}": gradient for name, gradient in gradients if gradient is not None}
    return found | {"loss_d_r1_term": weighted["r1"]}


def gradient_norms(program: Program, outcome: Outcome) -> Values:
    """Norm over a part's gradients, -1 for a part that the losses of the phase do not call."""
    (phase,) = program.plan.phases
    gradients = iter(outcome.gradients[phase.name])
    norms = {}
    for part in phase.spec.train:
        mine = [next(gradients) for _ in program.modules[part].parameters()]
        reaching = [gradient.double().norm() for gradient in mine if gradient is not None]
        norms[part] = torch.stack(reaching).norm()
    called = {node.value[0] for node in program.plan.order if node.op == "call"}
    norms |= {part: torch.tensor(-1.0, dtype=torch.float64) for part in program.modules.keys() - called}
    return {f"gradnorm_{PHASES[phase.name]}.{part}": norm for part, norm in norms.items()}


def iterate(training: Training, tensors: Values, number: int) -> Values:
    """One training step on the file's values; everything that it states of the iteration."""
    seen: Values = {}
    training.watch = lambda *values: seen.update(observed(*values))
    x = tensors["in.x_u8"].to(training.dtype) / 255
    x = x.flip(0) if number == 2 else x
    z = {phase: tensors[f"it{number}.z_{short}"].to(training.dtype) for phase, short in PHASES.items()}
    training.step({phase: {"x": x, "z": z[phase]} for phase in PHASES})
    rows = int(tensors["out.F_layers_shape"][1])  # the released code keeps the mean once per layer
    seen["dlatent_avg"] = training.states["w_avg"].expand(rows, -1)
    # Their averaged copy has a mean of its own that nothing updates; the recipe averages parameters only.
    assert all(".layers." in key for key in training.averages["slow"].tensors())
    seen["ema_dlatent_avg"] = torch.zeros_like(seen["dlatent_avg"])
    seen |= {f"ema.{name}": value for name, value in training.averages["slow"].tensors().items()}
    for letter, module in training.modules.items():
        for name, value in module.state_dict().items():
            seen |= {f"after.{letter}.{name}{mark}": part for mark, part in summarized(value).items()}
    return {key: value.clone() for key, value in seen.items()}


def summarized(value: Tensor) -> Values:
    """A tensor, and what the true-size file has in its stead."""
    strided = value.flatten()[:: max(1, value.numel() // 32)][:32]
    return {"": value, "#l2": value.norm(), "#sum": value.sum(), "#strided": strided}


def stated(tensors: Values, prefix: str) -> Values:
    """The file's results under a prefix, with our names of the parts and parameters."""
    found = {}
    for key, value in tensors.items():
        name = key.removeprefix(prefix)
        if key == name or name.startswith("z_"):
            continue
        match = re.fullmatch(rf"(\w+)\.({'|'.join(LETTERS)})(?:\.(.+))?", name)
        if match:
            leaf = f".{mlp_name(match[3])}" if match[3] else ""
            name = f"{match[1]}.{LETTERS[match[2]]}{leaf}"
        assert name not in found, key
        found[name] = value
    return found


def gradients_of(values: Values) -> Values:
    """Gradients are stored once, without the mark of float64 though they were computed so."""
    return {key: value for key, value in values.items() if key.startswith("grad_d.")}


def compare(got: Values, wanted: Values, double: bool) -> None:
    assert wanted.keys() <= got.keys()
    for key, value in wanted.items():
        rtol, atol = (1e-9, 1e-10) if double else (1e-4, 1e-5)
        if key.startswith("grad_d."):  # stored in float32
            rtol, atol = 0.0, 1e-5 * float(value.abs().max())
        elif key.startswith(("after.", "ema.")):
            rtol, atol = (1e-12, 1e-12) if key.endswith(("#l2", "#sum")) else (0.0, 1e-12)
        named = functools.partial("{}: {}".format, key)
        torch.testing.assert_close(
            got[key], value, rtol=rtol, atol=atol, msg=named, check_dtype=double and "grad" not in key
        )


@pytest.mark.parametrize("name", FILES)
def test_two_iterations_in_float64_are_the_released_ones(name: str, golden: Golden, reference_weights: Weights) -> None:
    tensors = golden(name)
    training = trainer(tensors, reference_weights(tensors), "float64")
    for number in (1, 2):
        got = iterate(training, tensors, number)
        wanted = stated(tensors, f"f64.it{number}.")
        wanted |= gradients_of(stated(tensors, f"it{number}."))
        assert wanted.keys() > LOSSES
        compare(got, wanted, double=True)


@pytest.mark.parametrize("name", FILES)
def test_two_iterations_in_float32_are_close_to_the_released_ones(
    name: str, golden: Golden, reference_weights: Weights
) -> None:
    tensors = golden(name)
    training = trainer(tensors, reference_weights(tensors), "float32")
    for number in (1, 2):
        got = iterate(training, tensors, number)
        wanted = stated(tensors, f"it{number}.")
        for key in gradients_of(wanted):
            del wanted[key]
        assert wanted.keys() > LOSSES
        compare(got, wanted, double=False)
        if number == 1:
            assert share_of_close_parameters(got, stated(tensors, "f64.it1.")) >= 0.99


def share_of_close_parameters(got: Values, wanted: Values) -> float:
    keys = [key for key in wanted if key.startswith("after.") and not key.endswith(("#l2", "#sum"))]
    close = torch.cat([((got[key] - wanted[key]).abs() < 1e-4).flatten() for key in keys])
    return float(close.double().mean())


@pytest.mark.parametrize("name", FILES)
def test_old_torch_differs_by_an_empty_step_of_the_discriminator(
    name: str, golden: Golden, reference_weights: Weights
) -> None:
    """Before torch 2, D got a gradient of zero from the latent loss: its state moved on, D itself did not.

    Here a part without gradient is left alone. One empty step between the iterations gives the old values.
    """
    tensors = golden(name)
    training = trainer(tensors, reference_weights(tensors), "float64")
    iterate(training, tensors, 1)
    slot, parameters = training.slots["", "D"], list(training.modules["D"].parameters())
    before = [parameter.detach().clone() for parameter in parameters]
    squares = [square.clone() for square in slot.slots["square"]]
    assert set(slot.steps) == {1}
    update([slot], [torch.zeros_like(parameter) for parameter in parameters], [0.002])
    assert set(slot.steps) == {2}
    assert all(map(torch.equal, parameters, before))
    torch.testing.assert_close(slot.slots["square"], [0.99 * square for square in squares])
    got, wanted = iterate(training, tensors, 2), stated(tensors, "legacyzerograd.f64.it2.")
    assert wanted.keys() >= {"loss_d", "loss_g", "loss_ae"}
    compare(got, wanted, double=True)
    assert not math.isclose(got["loss_g"], tensors["f64.it2.loss_g"], rel_tol=1e-6)


@pytest.mark.parametrize("name", FILES)
def test_no_value_of_the_files_is_left_out(name: str, golden: Golden) -> None:
    assert [key for key in golden(name) if not re.fullmatch(f"{ELSEWHERE}|{HERE}", key)] == []
