"""The recipes of PGGAN and StyleGAN: published numbers and schedules, and their first steps."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

import latentkit as lk
from latentkit._building import source_of, wired
from latentkit.optimizers import Adam
from latentkit.recipe.staging import stages
from latentkit_plugins.style.parts import StyleGenerator

GROWN = 600_000
FADE = {"from": 0.0, "to": 1.0, "over": 3, "unit": "steps"}
TINY: dict[str, object] = {
    "data.count": 12, "draw.z.dim": 6, "train.log_every": 1,
    "parts.G.channels_base": 2, "parts.G.max_channels": 6, "parts.D.channels_base": 2, "parts.D.max_channels": 6,
    "stage": [{"steps": 3, "set": {"data.resolution": 16, "train.batch": 4, "scalars.blend": FADE}}],
}  # fmt: skip
TERMS = {"pggan": {"adversarial", "penalty", "drift"}, "stylegan": {"adversarial", "r1"}}
PARTS = {"pggan": "GD", "stylegan": "FGD"}


@pytest.mark.parametrize(
    ("recipe", "batches"), [("pggan", {4: 16, 8: 16, 16: 16, 32: 16}), ("stylegan", {8: 256, 16: 128, 32: 64})]
)
def test_each_resolution_fades_in_over_600000_images_and_trains_on_for_as_many(
    recipe: str, batches: dict[int, int]
) -> None:
    source = source_of(recipe)
    given: Any = source.tables["stage"]
    assert {table["images"] for table in given} == {GROWN}
    found: list[Any] = [stage.source.tables for stage in stages(source)]
    sides = [side for side in batches for _ in range(2)][1:]  # the first does not fade in
    assert [tables["data"]["resolution"] for tables in found] == sides
    assert [tables["train"]["batch"] for tables in found] == [batches[side] for side in sides]
    ramps = [table["set"].get("scalars.blend") for table in given]
    line = {"from": 0.0, "to": 1.0, "over": GROWN, "unit": "images"}
    assert ramps == [None, *[line, 1] * (len(batches) - 1)]
    assert source.tables["scalars"]["blend"] == 1  # type: ignore[index,call-overload]
    assert [stage.reset for stage in stages(source)] == [(), *[("optimizer",)] * (len(found) - 1)]


@pytest.mark.parametrize("recipe", ["pggan", "stylegan"])
def test_optimizer_and_steps_are_the_published_ones(recipe: str) -> None:
    spec = wired(recipe).recipe
    assert spec.optimizer.use == "adam"
    assert spec.optimizer.options == {"beta1": 0.0, "beta2": 0.99}
    assert Adam().eps == 1e-8
    assert spec.optimizer.lr.at(0, 0) == 1e-3
    assert [(name, phase.repeat.at(0, 0)) for name, phase in spec.phase.items()] == [
        ("discriminate", 1),
        ("generate", 1),
    ]
    forms = {name: part.equalized for name, part in wired(recipe).parts.items() if hasattr(part, "equalized")}
    assert forms == dict.fromkeys(PARTS[recipe], "runtime")


def test_pggan_has_the_published_penalties_and_average() -> None:
    wiring = wired("pggan")
    terms = wiring.recipe.phase["discriminate"].loss
    assert {name: term.weight.at(0, 0) for name, term in terms.items()} == {
        "adversarial": 1, "penalty": 10, "drift": 1e-3,
    }  # fmt: skip
    assert wiring.recipe.average["slow"].decay_at(16) == 0.999
    assert (wiring.parts["D"].blur, wiring.parts["D"].group) == (False, 4)


def test_stylegan_has_the_published_constants() -> None:
    wiring = wired("stylegan")
    terms = wiring.recipe.phase["discriminate"].loss
    assert {name: term.weight.at(0, 0) for name, term in terms.items()} == {"adversarial": 1, "r1": 5}
    assert wiring.recipe.average["slow"].decay_at(10_000) == pytest.approx(0.5)
    parts = wiring.parts
    assert (parts["F"].layers, parts["F"].lrmul, parts["F"].slope) == (8, 0.01, 0.2)
    assert (parts["G"].rgb_gain, parts["G"].noise, parts["G"].start) == (1, "sample", 1)
    assert (parts["D"].blur, parts["D"].group, parts["D"].start) == (True, 4, 1)
    assert (parts["M"].p, parts["M"].inclusive) == (0.9, False)
    assert parts["T"].cutoff == 8
    assert wiring.recipe.scalars["psi"].at(0, 0) == 1


@pytest.mark.parametrize(("psi", "alike"), [(0, True), (0.7, False)])
def test_samples_of_stylegan_are_drawn_towards_the_mean_code(psi: float, alike: bool) -> None:
    model = lk.compose("stylegan", {**TINY, "scalars.psi": psi})
    first, second = model.sample(2, seed=0, noise=torch.zeros(2, 672))  # 6 layers, all of them below the 8th
    assert torch.allclose(first, second, atol=1e-5) == alike


@pytest.mark.parametrize("form", ["runtime", "implicit"])
@pytest.mark.parametrize("recipe", ["pggan", "stylegan"])
def test_first_steps_are_finite_and_move_every_network(recipe: str, form: str, tmp_path: Path) -> None:
    given = dict(TINY)
    if form == "implicit":
        given |= {f"parts.{name}.equalized": form for name in PARTS[recipe]}
        given |= {"optimizer.use": "lreq-adam", "optimizer.lr": 1e-3}
    before = lk.compose(recipe, given)
    run = lk.train(recipe, tmp_path / "run", overrides=given, precision="float32")
    records = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    losses = [{key: value for key, value in record.items() if "." in key} for record in records]
    assert len(losses) == 3
    for found in losses:
        assert found.keys() == {f"discriminate.{name}" for name in TERMS[recipe]} | {"generate.adversarial"}
        assert all(math.isfinite(value) for value in found.values())
    after = lk.load(run.path, weights="raw")
    for name in PARTS[recipe]:
        mine, theirs = before.parts[name].state_dict(), after.parts[name].state_dict()
        same = {key for key in mine if torch.equal(mine[key], theirs[key])}
        assert len(same) < len(mine) / 2, name
    assert after.sample(3, seed=0).shape == (3, 1, 16, 16)


def test_noise_per_batch_is_the_same_for_all_its_samples_and_another_draw_for_the_next() -> None:
    sizes: dict[str, int] = {"channels": 1, "height": 8, "width": 8, "dim": 3, "levels": 2, "channels_base": 2}
    batch, sample = (StyleGenerator(noise=kind, **sizes).build().double() for kind in ("batch", "sample"))  # type: ignore[arg-type]
    for name, weight in batch.named_parameters():
        weight.data.fill_(1) if name.endswith("strength") else None
    sample.load_state_dict(batch.state_dict())
    generator = torch.Generator().manual_seed(0)
    styles = torch.randn(1, 4, 3, generator=generator, dtype=torch.float64).expand(5, -1, -1)
    maps = torch.randn(2, 2 * (16 + 64), generator=generator, dtype=torch.float64)
    made = batch(styles, 1, maps[0])
    assert torch.equal(made, sample(styles, 1, maps[:1].expand(5, -1)))
    assert torch.equal(made[0], made[4])
    assert not torch.allclose(made, batch(styles, 1, maps[1]))


def test_a_recipe_draws_noise_per_batch_as_one_value() -> None:
    wiring = wired("stylegan", {**TINY, "parts.G.noise": "batch"})
    space = next(space for node, space in wiring.spaces.items() if node.is_source("draw") and node.source[1] == "noise")
    assert not space.batched
    assert lk.check("stylegan", {**TINY, "parts.G.noise": "batch"}).ok
