"""One training step of StyleALAE, in the middle of a fade-in, against an iteration of the released code."""

from __future__ import annotations

import functools
import re
from collections import abc
from typing import Any

import pytest
import torch
from torch import Tensor

from latentkit._building import wired
from latentkit.engine.outcome import Outcome
from latentkit.engine.program import Program
from latentkit.engine.training import Training
from latentkit.registry.manager import default_registry
from latentkit.settings import Settings
from latentkit_plugins.alae.official import style_name

Values = dict[str, Tensor]
Golden = abc.Callable[[str], Values]
PHASES = {"discriminate": "d", "generate": "g", "reciprocate": "ae"}
LETTERS = {"decoder": "G", "encoder": "E", "mapping_f": "F", "mapping_d": "D"}
INPUTS = r"it1\.(cfg_\w+|x_orig|z_\w+|d_mixcut|noise_\w+\.\d\d)"


def trainer(tensors: Values, precision: Any) -> Training:
    start, most, levels, dim, layers, batch, _ = tensors["cfg"].tolist()
    sizes: dict[str, Any] = {"levels": levels, "channels_base": start, "max_channels": most}
    given = {f"parts.{part}.{option}": value for part in "GE" for option, value in sizes.items()}
    given |= {
        "draw.z.dim": dim, "parts.F.layers": layers, "data.channels": tensors["it1.x_orig"].shape[1],
        "optimizer.lr": float(tensors["it1.cfg_lr"]),
        "stage": [{"steps": 1, "set": {
            "data.resolution": tensors["it1.x_orig"].shape[-1], "scalars.blend": float(tensors["it1.cfg_blend"]),
        }}],
    }  # fmt: skip
    training = Training(
        wired("stylealae", given), default_registry(), settings=Settings(precision=precision), batch=batch
    )
    for subnet, letter in LETTERS.items():
        prefix = f"ref.{subnet}."
        mine = {style_name(letter, key.removeprefix(prefix), levels): value
                for key, value in tensors.items() if key.startswith(prefix)}  # fmt: skip
        training.modules[letter].load_state_dict({key: value for key, value in mine.items() if key is not None})
    training.states["w_avg"].copy_(tensors["ref.dlatent_avg.buff"][0])
    return training


def given_values(tensors: Values, dtype: torch.dtype) -> dict[str, dict[str, Tensor]]:
    batch, layers = int(tensors["cfg"][5]), 2 * (int(tensors["it1.cfg_lod"]) + 1)

    def noise(short: str) -> Tensor:
        maps = (tensors[f"it1.noise_{short}.{index:02d}"] for index in range(layers))
        return torch.cat([map_.expand(batch, -1, -1, -1).flatten(1) for map_ in maps], 1).to(dtype)

    values = {}
    for phase, short in PHASES.items():
        mixed = f"it1.z_{short}_mix" in tensors
        cut = torch.tensor([1.0, 0.0])  # above the probability: not mixed
        if mixed:
            cut = torch.tensor([0.0, (int(tensors[f"it1.{short}_mixcut"]) - 0.5) / layers])
        second = tensors[f"it1.z_{short}_mix" if mixed else f"it1.z_{short}"]
        values[phase] = {
            "x": tensors["it1.x_orig"].to(dtype), "z": tensors[f"it1.z_{short}"].to(dtype), "z2": second.to(dtype),
            "cut": cut.to(dtype), "noise": noise(short),
        }  # fmt: skip
    return values


def observed(seen: Values, program: Program, slots: abc.Sequence[Any], outcome: Outcome) -> None:
    (phase,) = program.plan.phases
    short, terms = PHASES[phase.name], {term.name: term for term in program.plan.terms}

    def at(node: Any) -> Any:
        return slots[program.slots[node]]

    weighted = [at(term.weight) * outcome.terms[phase.name, name] for name, term in terms.items()]
    seen[f"loss_{short}"] = torch.stack(weighted).sum()
    named = [(part, key) for part in phase.spec.train for key, _ in program.modules[part].named_parameters()]
    gradients = dict(zip(named, outcome.gradients[phase.name], strict=True))
    for part in phase.spec.train:
        mine = [value.double().norm() for (owner, _), value in gradients.items() if owner == part and value is not None]
        seen[f"gradnorm_{short}.{part}"] = torch.stack(mine).norm()
    if phase.name == "discriminate":
        real, fake = (at(arg).detach() for arg in terms["adversarial"].node.args)
        seen |= {"d_real": real, "d_fake": fake, "r1_sumsq": at(terms["r1"].node).detach()}
        seen["x_blended"] = at(terms["r1"].node.args[0].args[1]).detach()
        seen |= {f"grad_d.{part}.{key}": value for (part, key), value in gradients.items() if value is not None}


def iterate(training: Training, tensors: Values) -> Values:
    seen: Values = {}
    training.watch = functools.partial(observed, seen)
    training.step(given_values(tensors, training.dtype))
    for letter, module in training.modules.items():
        seen |= {f"after.{letter}.{key}": value for key, value in module.state_dict().items()}
    # The rows of the released mean start apart here, and each moves towards the same codes.
    start = tensors["ref.dlatent_avg.buff"].to(training.dtype)
    seen["dlatent_avg"] = training.states["w_avg"] + 0.995**3 * (start - start[0])
    return seen


def stated(tensors: Values, prefix: str) -> Values:
    levels, found = int(tensors["cfg"][2]), {}
    for key, value in tensors.items():
        if not key.startswith(prefix) or re.fullmatch(INPUTS, key):
            continue
        name = key.removeprefix(prefix)
        match = re.fullmatch(rf"(\w+)\.({'|'.join(LETTERS)})(?:\.(.+))?", name)
        if match:
            letter = LETTERS[match[2]]
            name = f"{match[1]}.{letter}" + (f".{style_name(letter, match[3], levels)}" if match[3] else "")
        found[name] = value
    return found


def compare(got: Values, wanted: Values, double: bool) -> None:
    for key, value in wanted.items():
        if key.startswith("gradnorm") and value < 0:
            assert key not in got
            continue
        rtol, atol = (1e-9, 1e-10) if double else (1e-4, 1e-5)
        if key.startswith("grad_d."):  # stored in float32
            rtol, atol = 0.0, 1e-5 * float(value.abs().max())
        elif key.startswith("after."):
            rtol, atol = 0.0, 1e-9
        torch.testing.assert_close(
            got[key].double(), value.double(), rtol=rtol, atol=atol, msg=functools.partial("{}: {}".format, key)
        )


def test_an_iteration_in_float64_is_the_released_one(golden: Golden) -> None:
    tensors = golden("stylealae_32")
    got, wanted = iterate(trainer(tensors, "float64"), tensors), stated(tensors, "f64.it1.")
    gradients = {key: value for key, value in stated(tensors, "it1.").items() if key.startswith("grad_d.")}
    assert {"loss_d", "loss_g", "loss_ae", "r1_sumsq", "dlatent_avg"} < wanted.keys()
    assert sum(key.startswith("after.") for key in wanted) > 100
    assert gradients
    compare(got, wanted | gradients, double=True)


def test_an_iteration_in_float32_is_close_to_the_released_one(golden: Golden) -> None:
    tensors = golden("stylealae_32")
    got = iterate(trainer(tensors, "float32"), tensors)
    wanted = {key: value for key, value in stated(tensors, "it1.").items() if not key.startswith("grad_d.")}
    assert "x_blended" in wanted
    compare(got, wanted, double=False)


def test_steps_are_multiplied_as_the_released_optimizer_does(golden: Golden) -> None:
    tensors = golden("stylealae_32")
    levels, training = int(tensors["cfg"][2]), trainer(tensors, "float64")
    compared = 0
    for key, value in tensors.items():
        match = re.fullmatch(rf"lrcoef\.({'|'.join(LETTERS)})\.(.+)", key)
        name = style_name(LETTERS[match[1]], match[2], levels) if match else None
        if match is None or name is None:
            continue
        owner, _, leaf = name.rpartition(".")
        layer = training.modules[LETTERS[match[1]]].get_submodule(owner)
        multiplier = getattr(layer, "step_multipliers", {}).get(leaf, 1.0)
        assert multiplier == pytest.approx(float(value), rel=1e-6), key
        compared += 1
    assert compared > 100
