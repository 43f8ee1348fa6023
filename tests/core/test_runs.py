"""Run folders: what is written, exact continuation, damaged files, loading."""

from __future__ import annotations

import json
import shutil
from collections import abc
from pathlib import Path
from typing import Any, ClassVar

import attrs
import numpy as np
import pytest
import torch
from PIL import Image

import latentkit as lk
from latentkit import _machine, pictures
from latentkit.engine.samples import open_samples
from latentkit.registry.catalogue import read_catalogue, shipped_catalogue
from latentkit.registry.manager import Registry
from latentkit.runs.files import read_tensors, write_json

Narrow = abc.Callable[..., dict[str, object]]

TINY: dict[str, object] = {
    "parts.E.channels_base": 4, "parts.G.channels_base": 4, "data.count": 40, "data.resolution": 8,
    "train.batch": 8, "train.log_every": 2, "train.checkpoint_every": 4,
}  # fmt: skip
TINY_ALAE: dict[str, object] = {
    "parts.E.hidden": 16, "parts.G.hidden": 16, "data.count": 40, "data.resolution": 8, "draw.z.dim": 6,
    "train.batch": 8, "train.log_every": 1, "train.checkpoint_every": 3,
}  # fmt: skip


def tensors(path: Path) -> dict[str, torch.Tensor]:
    return read_tensors(path / "training.safetensors")[0]


def same(a: Path, b: Path) -> None:
    mine, theirs = tensors(a), tensors(b)
    assert mine.keys() == theirs.keys()
    assert [key for key in mine if not torch.equal(mine[key], theirs[key])] == []
    assert (a / "metrics.jsonl").read_text() == (b / "metrics.jsonl").read_text()


def test_a_run_folder_has_what_its_page_promises(tmp_path: Path) -> None:
    run = lk.train("ogan", tmp_path / "run", steps=4, overrides=TINY)
    names = {path.relative_to(run.path).as_posix() for path in run.path.rglob("*") if path.is_file()}
    assert names == {
        "recipe.toml", "model.safetensors", "training.safetensors", "state.json", "metrics.jsonl", "card.md",
        "samples/00000004.png", "reconstructions/00000004.png",
    }  # fmt: skip
    assert [record["step"] for record in run.metrics] == [2, 4]
    assert run.model.sample(3).shape == (3, 1, 8, 8)


def test_what_a_recipe_translates_is_drawn_beside_its_originals(narrow: Narrow, tmp_path: Path) -> None:
    run = lk.train("cyclegan", tmp_path / "run", steps=1, overrides=narrow("cyclegan"))
    drawn = {path.relative_to(run.path).as_posix() for path in run.path.rglob("*.png")}
    assert drawn == {f"{role}/00000001.png" for role in ("a_to_b", "b_to_a", "cycle_b", "reconstructions")}
    wiring = run.model.wiring
    held_out = {}
    for name, spec in wiring.recipe.data.items():
        samples = open_samples(name, spec, wiring.data[name])
        held_out[name] = samples.field(name, samples.held_out[:16], torch.float32)
    for role, value in {"a_to_b": "a", "b_to_a": "b", "cycle_b": "b"}.items():
        made = run.model.role(role, 16, **{value: held_out[value]})
        expected = pictures.pairs(held_out[value].numpy(), made.numpy(), (-1.0, 1.0))
        found = Image.open(run.path / role / "00000001.png")
        assert np.array_equal(np.asarray(found), np.asarray(expected))


@pytest.mark.parametrize(
    ("recipe", "tiny"),
    [
        ("ogan", TINY),
        ("ogan-mapping", TINY),
        ("ogan-learned-gauge", TINY),
        ("ogan-head", TINY),
        ("alae-mlp", TINY_ALAE),
        ("alae-pearson", TINY_ALAE),
    ],
)
def test_a_resumed_run_is_the_uninterrupted_run(recipe: str, tiny: dict[str, object], tmp_path: Path) -> None:
    lk.train(recipe, tmp_path / "whole", steps=14, overrides=tiny)
    lk.train(recipe, tmp_path / "parts", steps=5, overrides=tiny)
    lk.train(None, tmp_path / "parts", steps=14, resume=True)
    same(tmp_path / "whole", tmp_path / "parts")


@attrs.frozen(kw_only=True)
class Forgetful(lk.Function):
    """Drops half of a latent's numbers."""

    ports: ClassVar[str] = "w: latent[dim] -> w: latent[dim]"
    stochastic: ClassVar[bool] = True

    def build(self) -> torch.nn.Module:
        return torch.nn.Dropout(0.5)


class Plugin:
    @lk.hookimpl
    def latentkit_components(self) -> dict[str, object]:
        return {"drop": Forgetful}


def test_a_part_with_dropout_continues_exactly_and_leaves_the_default_generator_alone(tmp_path: Path) -> None:
    registry = Registry(read_catalogue(shipped_catalogue()))
    registry.add("forgetful", Plugin(), "tests", "0")
    drop = {**TINY_ALAE, "parts.P": {"use": "forgetful.drop"}, "flow.x_fake": "G(P(w))"}
    before = torch.get_rng_state()
    lk.train("alae-mlp", tmp_path / "whole", steps=7, overrides=drop, registry=registry)
    lk.train("alae-mlp", tmp_path / "parts", steps=3, overrides=drop, registry=registry)
    lk.train(None, tmp_path / "parts", steps=7, resume=True, registry=registry)
    same(tmp_path / "whole", tmp_path / "parts")
    assert torch.equal(torch.get_rng_state(), before)


def test_what_was_logged_after_the_checkpoint_is_written_anew(tmp_path: Path) -> None:
    lk.train("alae-mlp", tmp_path / "whole", steps=8, overrides=TINY_ALAE)

    class Stop(BaseException):
        pass

    class Stopper:
        @lk.hookimpl
        def latentkit_step_done(self, event: Any) -> None:
            if event.step == 5:
                raise Stop

    with pytest.raises(Stop):
        lk.train("alae-mlp", tmp_path / "parts", steps=8, overrides=TINY_ALAE, observers=[Stopper()])
    lk.train(None, tmp_path / "parts", resume=True)
    same(tmp_path / "whole", tmp_path / "parts")


def test_adding_a_draw_disturbs_no_other(tmp_path: Path) -> None:
    plain = lk.train("alae-mlp", tmp_path / "a", steps=3, overrides=TINY_ALAE)
    more = {**TINY_ALAE, "draw.u": {"use": "uniform"}, "phase.reciprocate.loss.noise": "0 * u * mean(E(x_fake))"}
    hybrid = lk.train("alae-mlp", tmp_path / "b", steps=3, overrides=more)
    for key in ("discriminate.adversarial", "generate.adversarial", "reciprocate.latent"):
        assert [line[key] for line in plain.metrics] == [line[key] for line in hybrid.metrics]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "run"
    lk.train("alae-mlp", path, steps=6, overrides=TINY_ALAE)
    return path


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def test_a_finished_run_says_so(run: Path) -> None:
    said: list[str] = []
    lk.train(None, run, resume=True, say=said.append)
    assert said == ["already finished: 6 steps; ask for more with --steps"]


def test_a_folder_in_use_is_refused(run: Path) -> None:
    with pytest.raises(lk.RunError, match="not empty; continue the run in it with --resume"):
        lk.train("alae-mlp", run, steps=2, overrides=TINY_ALAE)


def test_resume_takes_the_same_recipe_with_other_steps_only(run: Path) -> None:
    lk.train("alae-mlp", run, steps=7, overrides=TINY_ALAE, resume=True)
    assert json.loads((run / "state.json").read_text())["step"] == 7
    with pytest.raises(lk.RunError, match=r"differs from the run's own in \[optimizer\]"):
        lk.train("alae-mlp", run, overrides={**TINY_ALAE, "optimizer.lr": 0.1}, resume=True)


def test_resume_without_a_checkpoint_starts_at_step_0(run: Path, finished: Path) -> None:
    for name in ("state.json", "training.safetensors", "model.safetensors"):
        (run / name).unlink()
    shutil.rmtree(run / "checkpoints")
    said: list[str] = []
    lk.train(None, run, resume=True, say=said.append)
    assert said[0] == "no checkpoint yet; starting at step 0"
    same(run, finished)


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-7], lambda data: data[:90] + b"\x00\xff" + data[92:], lambda _: b""]
)
def test_a_damaged_checkpoint_is_seen_and_the_one_before_is_used(
    damage: abc.Callable[[bytes], bytes], run: Path, finished: Path
) -> None:
    file = run / "training.safetensors"
    file.write_bytes(damage(file.read_bytes()))
    said: list[str] = []
    lk.train(None, run, resume=True, say=said.append)
    assert "using the checkpoint before it" in said[0]
    assert "continuing at step 3" in said
    same(run, finished)


def test_tensors_of_another_checkpoint_are_not_taken(run: Path) -> None:
    old = next((run / "checkpoints").iterdir())
    shutil.copy(old / "training.safetensors", run / "training.safetensors")
    said: list[str] = []
    lk.train(None, run, resume=True, say=said.append)
    assert "its checksum is not the one in state.json" in said[0]


def test_a_newer_format_and_other_versions_are_refused(run: Path) -> None:
    state = json.loads((run / "state.json").read_text())
    write_json(run / "state.json", {**state, "format": 99})
    with pytest.raises(lk.RunError, match="has format 99, this latentkit reads format 2; install a newer latentkit"):
        lk.train(None, run, steps=9, resume=True)
    write_json(run / "state.json", {**state, "versions": {"plugin alae": "9.9"}})
    with pytest.raises(lk.RunError, match=r"plugin alae 9\.9 \(now"):
        lk.train(None, run, steps=9, resume=True)


def test_old_checkpoints_are_kept_as_asked(tmp_path: Path) -> None:
    many = {**TINY_ALAE, "train.checkpoint_every": 1, "train.keep_checkpoints": 3}
    lk.train("alae-mlp", tmp_path / "run", steps=6, overrides=many)
    assert sorted(path.name for path in (tmp_path / "run/checkpoints").iterdir()) == ["00000004", "00000005"]


def test_average_and_raw_weights_are_told_apart(run: Path) -> None:
    average, raw = lk.load(run), lk.load(run, weights="raw")
    stored = tensors(run)
    for model, prefix in ((average, "average.slow."), (raw, "parts.")):
        for name, value in model.parts["E"].state_dict().items():
            assert torch.equal(value, stored[f"{prefix}E.{name}"])
    assert not torch.equal(average.sample(2), raw.sample(2))


def test_one_file_rebuilds_the_model(run: Path, tmp_path: Path) -> None:
    alone = shutil.copy(run / "model.safetensors", tmp_path / "alone.safetensors")
    assert torch.equal(lk.load(alone).sample(4, seed=3), lk.load(run).sample(4, seed=3))
    with pytest.raises(lk.RunError, match="averaged weights only"):
        lk.load(alone, weights="raw")


def test_a_recipe_that_was_read_is_taken_everywhere(tmp_path: Path) -> None:
    recipe = lk.read("alae-mlp", TINY_ALAE)
    assert recipe.tables["draw"] == {"z": {"use": "normal", "dim": 6}}
    assert lk.check(recipe).ok
    assert lk.compose(recipe, {"draw.z.dim": 5}).encode(torch.zeros(2, 1, 8, 8)).shape == (2, 5)
    assert lk.train(recipe, tmp_path / "run", steps=1).model.name == "alae-mlp"


def test_what_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(lk.RunError, match="no such file or folder"):
        lk.load(tmp_path / "nothing")
    with pytest.raises(lk.RunError, match=r"no model\.safetensors here; it is no run folder"):
        lk.load(tmp_path)
    (tmp_path / "x.safetensors").write_bytes(b"not at all")
    with pytest.raises(lk.RunError, match="not a safetensors file"):
        lk.load(tmp_path / "x.safetensors")
    with pytest.raises(lk.RunError, match="no run to resume here"):
        lk.train(None, tmp_path, resume=True)
    with pytest.raises(lk.RunError, match="--resume needs --out"):
        lk.train("ogan", resume=True)


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    broken = {**TINY_ALAE, "scalars.g": {"steps": [[0, 1.0], [4, 1e308]]},
              "phase.generate.loss.adversarial.weight": "g * g"}  # fmt: skip
    broken["phase.generate.loss.more"] = {"of": "exp(g) * fake", "weight": 1e-9}
    with pytest.raises(lk.NotFiniteError, match=r"step 5, phase 'generate': the loss generate\.more is not"):
        lk.train("alae-mlp", tmp_path / "run", steps=8, overrides=broken)
    assert json.loads((tmp_path / "run/state.json").read_text())["step"] == 3


def test_faulty_recipes_and_data_leave_no_folder(tmp_path: Path) -> None:
    with pytest.raises(lk.RecipeError):
        lk.train("ogan", tmp_path / "run", overrides={"parts.G.nonsense": 1})
    with pytest.raises(lk.DataError):
        lk.train("ogan", tmp_path / "run", overrides={"data.use": "idx", "data.images": str(tmp_path / "none")})
    assert not (tmp_path / "run").exists()


def test_what_a_run_left_that_was_killed_before_its_first_checkpoint_is_removed(tmp_path: Path) -> None:
    lk.train("ogan", tmp_path / "run", steps=1, overrides=TINY)
    recipe = (tmp_path / "run/recipe.toml").read_bytes()
    (tmp_path / "killed").mkdir()
    (tmp_path / "killed/recipe.toml").write_bytes(recipe)
    (tmp_path / "killed/.metrics.jsonl.123").write_bytes(b"")
    lk.train(None, tmp_path / "killed", resume=True)
    assert (tmp_path / "killed/model.safetensors").is_file()
    assert not list((tmp_path / "killed").glob(".*"))


@pytest.mark.parametrize(("error", "taken"), [(4e-7, "medium"), (2e-3, "float32")])
def test_medium_products_are_taken_where_they_are_exact_and_kept_with_the_run(
    error: float, taken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_machine, "medium_error", lambda: error)
    lk.train("ogan", tmp_path / "run", steps=2, overrides=TINY, precision="auto")
    monkeypatch.setattr(_machine, "medium_error", lambda: 1.0)
    run = lk.train(out=tmp_path / "run", steps=4, resume=True)
    assert json.loads((run.path / "state.json").read_text())["settings"]["precision"] == taken


def test_the_error_of_medium_products_is_measured_and_nothing_stays_set() -> None:
    before = torch.get_float32_matmul_precision()
    assert 1e-8 < _machine.medium_error() < 1e-2
    assert torch.get_float32_matmul_precision() == before


@pytest.mark.parametrize("precision", ["float32", "medium", "bfloat16", "float64"])
def test_every_precision_trains(precision: Any, tmp_path: Path) -> None:
    run = lk.train("ogan", tmp_path / "run", steps=3, overrides=TINY, precision=precision, channels_last=True)
    assert json.loads((run.path / "state.json").read_text())["settings"]["precision"] == precision
    assert torch.isfinite(run.model.sample(2)).all()
