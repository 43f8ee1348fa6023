"""The loops that benchmarks compare with compute what the library computes."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from latentkit._building import wired
from latentkit.engine.system import System
from latentkit.engine.training import Training
from latentkit.registry.manager import default_registry
from latentkit.settings import Settings

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from baselines.gaia import Baseline as GaiaBaseline
from baselines.stylealae import Baseline

DIM, LAYERS, BATCH, BASE, MOST = 5, 2, 3, 1, 4


def built(side: int, levels: int) -> dict[str, nn.Module]:
    widths = {"levels": levels, "channels_base": BASE, "max_channels": MOST}
    overrides: dict[str, Any] = {f"parts.{part}.{option}": value for part in "GE" for option, value in widths.items()}
    overrides |= {
        "draw.z.dim": DIM, "parts.F.layers": LAYERS, "stage": [{"steps": 1, "set": {"data.resolution": side}}],
    }  # fmt: skip
    return System(wired("stylealae", overrides), default_registry()).double().modules_by_name()


def same(mine: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("side", "levels"), [(16, 3), (128, 6)])
def test_the_loop_of_stylealae_has_the_networks_of_the_recipe(side: int, levels: int) -> None:
    parts, loop = (
        built(side, levels),
        Baseline(torch.zeros(BATCH, 1, side, side).byte(), BATCH, DIM, LAYERS, BASE, MOST),
    )
    for letter, part in parts.items():
        if not list(part.parameters()):
            continue
        copy = getattr(loop, letter).double()
        weights = {name: torch.randn_like(value) * 0.5 for name, value in part.state_dict().items()}
        part.load_state_dict(weights)
        top = {re.sub(rf"_rgb\.{levels - 1}\.", "_rgb.", name): value for name, value in weights.items()}
        copy.load_state_dict({name: top.get(name, value) for name, value in copy.state_dict().items()})
        assert {name for name, _ in copy.named_parameters()} <= set(top)
    z, x = torch.randn(BATCH, DIM).double(), torch.randn(BATCH, 1, side, side).double().requires_grad_()
    styles, noise = torch.randn(BATCH, 2 * levels, DIM).double(), [map_.double() for map_ in loop.G.noise(BATCH)]
    same(parts["F"](z), loop.F(z))
    same(parts["G"](styles, 1, torch.cat([map_.flatten(1) for map_ in noise], 1)), loop.G(styles, noise))
    scores = parts["D"](parts["E"](x, 1)), loop.D(loop.E(x))
    same(*scores)
    gradients = [torch.autograd.grad(score.sum(), x, create_graph=True)[0] for score in scores]
    same(*gradients)
    weights = parts["E"].blocks[0].conv_2.weight, loop.E.blocks[0].conv_2.weight
    same(*(torch.autograd.grad(g.square().sum(), weight)[0] for g, weight in zip(gradients, weights, strict=True)))


def test_the_loop_of_stylealae_trains_every_part() -> None:
    torch.manual_seed(0)
    loop = Baseline(torch.randint(256, (8, 1, 8, 8)).byte(), 4, DIM, LAYERS, BASE, MOST)
    before = [parameter.detach().clone() for parameter in loop.live]
    losses = [*loop.step(), *loop.step()]
    assert torch.stack(losses).isfinite().all()
    moved = [not torch.equal(old, new) for old, new in zip(before, loop.live, strict=True)]
    assert all(moved)
    for old, new, average in zip(before, loop.live, loop.averaged, strict=True):
        # A ten-thousandth of the way, which rounding may swallow beside the weight itself.
        assert not torch.equal(old, average) or (new - old).abs().max() < 1e-2 * old.abs().max()


def test_the_loop_of_gaia_has_the_losses_and_the_gradients_of_the_recipe() -> None:
    torch.manual_seed(0)
    sizes = {"channels_base": 2, "style": 3, "blocks": 1}
    overrides: dict[str, Any] = {f"parts.{part}.{option}": size for part in "EGD" for option, size in sizes.items()}
    overrides |= {"parts.E.content": 5, "parts.G.content": 5, "data.resolution": 16, "data.count": 40}
    mine = Training(wired("gaia", overrides), default_registry(), settings=Settings(precision="float64"), batch=4)
    loop = GaiaBaseline(torch.zeros(4, 1, 16, 16).byte(), 4, (2, 2), 1, 5, 3, 5e-4)
    for letter in "EGD":
        copy = getattr(loop, letter).double()
        for own, other in zip(mine.modules[letter].parameters(), copy.parameters(), strict=True):
            own.data.add_(0.1 * torch.randn_like(own))  # biases too
            other.data.copy_(own)
    x, t_1, t_2 = torch.rand(4, 1, 16, 16).double(), torch.rand(2, 1).double(), torch.rand(2, 1).double()
    loss_d, loss_g, share = loop.losses(x, t_1, t_2)
    wanted = {"discriminate": (loss_d, loop.discriminating), "generate": (loss_g, loop.generating)}
    found = {}
    mine.watch = lambda program, values, outcome: found.update(outcome=outcome)
    values = {"x": x, "t_1": t_1, "t_2": t_2}
    terms = mine.step({phase.name: values for phase in mine.wiring.phases})
    same(terms["discriminate", "balance"], loss_d)
    same(terms["generate", "balance"] + 2.5e-4 * terms["generate", "distance"], loss_g)
    same(found["outcome"].rates["discriminate"]["D"], 5e-4 * share)
    for phase, (loss, parameters) in wanted.items():
        gradients = torch.autograd.grad(loss, parameters, retain_graph=True)
        for own, other in zip(found["outcome"].gradients[phase], gradients, strict=True):
            same(own, other)


def test_the_loop_of_gaia_trains_every_part() -> None:
    torch.manual_seed(0)
    loop = GaiaBaseline(torch.randint(256, (8, 1, 16, 16)).byte(), 4, (2, 2), 1, 5, 3, 5e-4)
    before = [parameter.detach().clone() for parameter in (*loop.generating, *loop.discriminating)]
    assert torch.stack([*loop.step(), *loop.step()]).isfinite().all()
    after = [*loop.generating, *loop.discriminating]
    still = [old for old, new in zip(before, after, strict=True) if torch.equal(old, new)]
    assert all(old.ndim == 1 for old in still)  # biases before an instance norm change nothing
    assert len(still) < len(after) / 4
