"""What can go wrong with a run: signals, full disks, damaged and exchanged files, numbers that are not finite."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import shutil
import signal
from collections import abc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import latentkit as lk
from latentkit.runs import checkpoint
from latentkit.runs.files import read_tensors, write_json

TINY: dict[str, object] = {
    "parts.E.hidden": 16, "parts.G.hidden": 16, "data.count": 40, "data.resolution": 8, "draw.z.dim": 6,
    "train.batch": 8, "train.log_every": 1, "train.checkpoint_every": 3, "train.keep_checkpoints": 3,
}  # fmt: skip
Damage = abc.Callable[[bytes], bytes]


def same(a: Path, b: Path) -> None:
    mine, theirs = (read_tensors(path / "training.safetensors")[0] for path in (a, b))
    assert mine.keys() == theirs.keys()
    assert [key for key in mine if not torch.equal(mine[key], theirs[key])] == []
    assert (a / "metrics.jsonl").read_text() == (b / "metrics.jsonl").read_text()


class At:
    """Does something when a step is complete."""

    def __init__(self, step: int, action: abc.Callable[[], object]) -> None:
        self.step, self.action = step, action

    @lk.hookimpl
    def latentkit_step_done(self, event: Any) -> None:
        if event.step == self.step:
            self.action()


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lk.train("alae-mlp", tmp_path_factory.mktemp("runs") / "whole", steps=9, overrides=TINY).path


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "run"))


# -- stopping


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_step_and_saves(number: signal.Signals, tmp_path: Path, whole: Path) -> None:
    before = signal.getsignal(number)
    with pytest.raises(lk.Interrupted, match=f"{number.name}: stopped at step 5 of 9") as stop:
        lk.train("alae-mlp", tmp_path / "run", steps=9, overrides=TINY, observers=[At(5, lambda: send(number))])
    assert (stop.value.step, stop.value.path) == (5, tmp_path / "run")
    assert json.loads((tmp_path / "run/state.json").read_text())["step"] == 5
    assert lk.load(tmp_path / "run").step == 5
    assert signal.getsignal(number) is before
    lk.train(None, tmp_path / "run", resume=True)
    same(tmp_path / "run", whole)


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    def twice() -> None:
        send(signal.SIGINT)
        send(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as stop:
        lk.train("alae-mlp", tmp_path / "run", steps=9, overrides=TINY, observers=[At(5, twice)])
    assert not isinstance(stop.value, lk.Interrupted)
    assert json.loads((tmp_path / "run/state.json").read_text())["step"] == 3


def test_a_signal_in_the_last_step_is_too_late_to_stop_anything(tmp_path: Path) -> None:
    run = lk.train(
        "alae-mlp", tmp_path / "run", steps=4, overrides=TINY, observers=[At(4, lambda: send(signal.SIGINT))]
    )
    assert run.model.step == 4


def test_an_observer_can_end_a_run_early(tmp_path: Path, whole: Path) -> None:
    def enough() -> None:
        raise lk.StopRun

    run = lk.train("alae-mlp", tmp_path / "run", steps=9, overrides=TINY, observers=[At(4, enough)])
    assert run.model.step == 4
    assert (run.path / "card.md").is_file()
    lk.train(None, run.path, resume=True)
    same(run.path, whole)


# -- observers


class Failing:
    @lk.hookimpl
    def latentkit_evaluated(self, figures: dict[str, float]) -> None:
        raise ValueError("no such server")


def test_an_observer_that_fails_is_left_out_and_told_of_once(tmp_path: Path) -> None:
    said: list[str] = []
    run = lk.train("alae-mlp", tmp_path / "run", steps=4, overrides=TINY, observers=[Failing()], say=said.append)
    assert [line["step"] for line in run.metrics] == [1, 2, 3, 4]
    assert said == ["observer 'Failing' failed at step 1 in latentkit_evaluated (ValueError: no such server); "
                    "the run goes on without it"]  # fmt: skip


def test_the_other_observers_go_on_when_one_fails(tmp_path: Path) -> None:
    seen: list[int] = []

    class Listening:
        @lk.hookimpl
        def latentkit_evaluated(self, event: Any) -> None:
            seen.append(event.step)

    lk.train("alae-mlp", tmp_path / "run", steps=3, overrides=TINY, observers=[Listening(), Failing(), Listening()])
    assert seen == [1, 1, 2, 2, 3, 3]


def test_a_misspelt_hook_of_an_observer_is_refused(tmp_path: Path) -> None:
    class Misspelt:
        @lk.hookimpl
        def latentkit_step_dnoe(self, event: Any) -> None: ...

    with pytest.raises(lk.LatentkitError, match="latentkit_step_dnoe"):
        lk.train("alae-mlp", tmp_path / "run", steps=2, overrides=TINY, observers=[Misspelt()])
    lk.train("alae-mlp", tmp_path / "other", steps=1, overrides=TINY)


# -- numbers that are not finite


def test_a_gradient_that_is_not_finite_is_named_with_its_step_phase_and_term(tmp_path: Path, whole: Path) -> None:
    # sqrt has an infinite slope at 0, which the ramp reaches at step 7; the loss itself stays finite.
    edge = {"of": "sqrt(mean(square(x_fake)) * edge)", "weight": 1e-30}
    broken = {**TINY, "scalars.edge": {"steps": [[0, 1.0], [6, 0.0]]}, "phase.generate.loss.edge": edge}
    said: list[str] = []
    with pytest.raises(lk.NotFiniteError) as caught:
        lk.train("alae-mlp", tmp_path / "run", steps=9, overrides=broken, say=said.append)
    text = str(caught.value)
    assert text.startswith("step 7, phase 'generate': the gradient of generate.edge at F.")
    assert "the checkpoint of step 6 is intact" in text
    assert any("repeating the steps from 6" in line for line in said)
    assert json.loads((tmp_path / "run/state.json").read_text())["step"] == 6


def test_the_offending_batch_is_written_beside_the_checkpoint(tmp_path: Path) -> None:
    broken = {**TINY, "scalars.g": {"steps": [[0, 1.0], [4, 1e4]]}}
    broken["phase.discriminate.loss.more"] = {"of": "exp(g) * mean(square(E(x)))", "weight": 1e-9}
    with pytest.raises(lk.NotFiniteError, match=r"step 5, phase 'discriminate': the loss discriminate\.more is not"):
        lk.train("alae-mlp", tmp_path / "run", steps=9, overrides=broken)
    values, notes = read_tensors(tmp_path / "run/not-finite.safetensors")
    assert (notes["step"], notes["phase"]) == ("5", "discriminate")
    assert values["x"].shape == (8, 1, 8, 8)
    assert values["z"].shape == (8, 6)
    assert values["g"] == 1e4


def test_not_finite_before_the_first_checkpoint_is_found_too(tmp_path: Path) -> None:
    broken = {**TINY, "optimizer.lr": {"steps": [[0, 0.001], [1, 1e30]]}}
    with pytest.raises(lk.NotFiniteError, match="no checkpoint had been written yet"):
        lk.train("alae-mlp", tmp_path / "run", steps=9, overrides=broken)
    assert not (tmp_path / "run/state.json").exists()


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    broken = {**TINY, "train.log_every": 100}
    training: list[Any] = []

    class Spoiling:
        @lk.hookimpl
        def latentkit_step_done(self, event: Any) -> None:
            if event.step == 5:
                training.append(event.training)
                with torch.no_grad():
                    next(event.training.modules["G"].parameters()).fill_(float("nan"))

    with pytest.raises(lk.NotFiniteError, match=r"between step 4 and 6: .* not when the steps are repeated"):
        lk.train("alae-mlp", tmp_path / "run", steps=9, overrides=broken, observers=[Spoiling()])
    assert all(value.isfinite().all() for value in read_tensors(tmp_path / "run/training.safetensors")[0].values())


# -- damaged and exchanged files


def flipped(data: bytes) -> bytes:
    return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 4]) + data[len(data) // 2 + 1 :]


@pytest.mark.parametrize("name", ["training.safetensors", "state.json"])
@pytest.mark.parametrize("damage", [flipped, lambda data: data[:-9], lambda _: b""], ids=["flip", "cut", "empty"])
def test_the_checkpoint_before_a_damaged_one_is_used_and_said(
    name: str, damage: Damage, run: Path, whole: Path
) -> None:
    (run / name).write_bytes(damage((run / name).read_bytes()))
    said: list[str] = []
    lk.train(None, run, resume=True, say=said.append)
    assert name in said[0]
    assert "using the checkpoint before it" in said[0]
    assert "continuing at step 6" in said
    same(run, whole)


def test_two_damaged_checkpoints_are_passed_over(run: Path, whole: Path) -> None:
    for file in (run / "state.json", run / "checkpoints/00000006/training.safetensors"):
        file.write_bytes(flipped(file.read_bytes()))
    said: list[str] = []
    lk.train(None, run, resume=True, say=said.append)
    assert "continuing at step 3" in said
    same(run, whole)


def test_where_no_checkpoint_can_be_used_nothing_is_started(run: Path) -> None:
    for file in run.rglob("state.json"):
        file.write_bytes(b"{}")
    with pytest.raises(lk.RunError, match=r"no checkpoint can be used:\n(.*\n){3}  train into another folder"):
        lk.train(None, run, resume=True)


def test_a_checkpoint_of_another_run_is_not_taken(run: Path, whole: Path, tmp_path: Path) -> None:
    other = lk.train("alae-mlp", tmp_path / "other", steps=9, seed=1, overrides=TINY).path
    for name in ("training.safetensors", "state.json"):
        shutil.copy(other / name, run / name)
    said: list[str] = []
    lk.train(None, run, resume=True, say=said.append)
    assert "belongs to another recipe than the recipe.toml of this run" in said[0]
    same(run, whole)


def test_a_lost_or_damaged_recipe_is_taken_from_the_checkpoint(run: Path, whole: Path) -> None:
    for damage in (lambda path: path.unlink(), lambda path: path.write_text("[data")):
        damage(run / "recipe.toml")
        said: list[str] = []
        lk.train(None, run, steps=9, resume=True, say=said.append)
        assert "missing or damaged; taken from the checkpoint of step 9" in said[0]
        assert (run / "recipe.toml").read_text() == (whole / "recipe.toml").read_text()


def test_an_edited_recipe_is_not_continued(run: Path) -> None:
    text = (run / "recipe.toml").read_text()
    (run / "recipe.toml").write_text(text.replace("hidden = 16", "hidden = 17"))
    with pytest.raises(lk.RunError, match="if that was edited, remove it"):
        lk.train(None, run, resume=True)


@pytest.mark.parametrize("damage", [flipped, lambda data: data[:-9], lambda _: b""], ids=["flip", "cut", "empty"])
def test_a_damaged_model_is_not_loaded(damage: Damage, run: Path) -> None:
    (run / "model.safetensors").write_bytes(damage((run / "model.safetensors").read_bytes()))
    with pytest.raises(lk.RunError, match=r"model\.safetensors: damaged"):
        lk.load(run)
    said: list[str] = []
    lk.train(None, run, resume=True, say=said.append)  # the checkpoint is whole, so the model is written anew
    assert lk.load(run).step == 9


def test_a_change_of_one_weight_in_a_model_is_noticed(run: Path) -> None:
    data = bytearray((run / "model.safetensors").read_bytes())
    data[-2] ^= 1
    (run / "model.safetensors").write_bytes(data)
    with pytest.raises(lk.RunError, match="its checksum does not fit its content"):
        lk.load(run)


# -- stops in the middle of saving


def test_a_kill_between_any_two_file_operations_of_a_save_loses_at_most_one_interval(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    left = [0]
    replace = Path.replace

    def dying(self: Path, target: Path) -> Path:
        left[0] -= 1
        if left[0] == 0:
            raise Killed
        return replace(self, target)

    for moment in range(1, 9):
        path = tmp_path / str(moment)
        lk.train("alae-mlp", path, steps=3, overrides=TINY)
        monkeypatch.setattr(Path, "replace", dying)
        left[0] = moment
        with contextlib.suppress(Killed):
            lk.train(None, path, steps=9, resume=True)
        monkeypatch.undo()
        said: list[str] = []
        lk.train(None, path, steps=9, resume=True, say=said.append)
        assert "using" not in "".join(said)
        same(path, whole)
        assert not [name for name in path.iterdir() if name.name.startswith(".")]


def test_a_newer_checkpoint_is_not_thrown_away(run: Path) -> None:
    (run / ".checkpoint").mkdir()
    write_json(run / ".checkpoint/state.json", {"format": 3, "step": 12})
    with pytest.raises(lk.RunError, match="has format 3, this latentkit reads format 2"):
        lk.train(None, run, steps=12, resume=True)
    assert (run / ".checkpoint/state.json").is_file()


# -- full disks


@pytest.fixture
def limit() -> abc.Iterator[abc.Callable[[int], None]]:
    """Lets no file grow beyond a size: the system refuses, as it does when the disk is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", ["metrics.jsonl", "training.safetensors", "samples"])
def test_a_full_disk_ends_the_run_with_a_message_and_whole_files(
    name: str, tmp_path: Path, whole: Path, limit: abc.Callable[[int], None]
) -> None:
    folder = tmp_path / "run"
    more = {"metrics.jsonl": {}, "training.safetensors": {"train.log_every": 9}, "samples": {"train.sample_every": 5}}
    room = {"metrics.jsonl": 25, "training.safetensors": 3000, "samples": 0}[name]

    def fill() -> None:
        limit((folder / "metrics.jsonl").stat().st_size + room if name == "metrics.jsonl" else room)

    changes = {**TINY, **more[name], **({"train.log_every": 9} if name == "samples" else {})}
    with pytest.raises(lk.RunError, match=r"cannot be written .* what was written before is intact"):
        lk.train("alae-mlp", folder, steps=9, overrides=changes, observers=[At(4, fill)])
    limit(resource.RLIM_INFINITY)
    assert not [path for path in folder.rglob("*") if path.is_file() and path.name.startswith(".")]
    assert all(json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines())
    lk.train(None, folder, resume=True)
    if name == "metrics.jsonl":
        same(folder, whole)
    assert lk.load(folder).step == 9


def test_checkpoint_reads_what_it_wrote(run: Path) -> None:
    found = checkpoint.newest(run)
    assert found is not None
    assert found.state["step"] == 9
    assert found.recipe == (run / "recipe.toml").read_text()


def test_data_that_have_changed_are_told_of(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    file = tmp_path / "data.npz"
    np.savez(file, images=rng.integers(0, 256, (20, 1, 8, 8), np.uint8))
    data = {**{key: value for key, value in TINY.items() if key != "data.count"}, "data.use": "npz",
            "data.path": str(file)}  # fmt: skip
    lk.train("alae-mlp", tmp_path / "run", steps=3, overrides=data)
    for count, what in ((30, "20 samples then, 30 now"), (20, r"as many samples \(20\), but others")):
        np.savez(file, images=rng.integers(0, 256, (count, 1, 8, 8), np.uint8))
        said: list[str] = []
        copy = shutil.copytree(tmp_path / "run", tmp_path / f"again-{count}")
        lk.train(None, copy, steps=5, resume=True, say=said.append)
        assert any(re.search(f"the data of 'data' are not those .*: {what}", line) for line in said)
