"""``compose``: what it makes, says and refuses."""

from __future__ import annotations

import shutil
from collections import abc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from latentkit.hooks import hookimpl
from latentkit.settings import Settings
from latentkit_cli import composing, progress

Command = abc.Callable[..., Any]

NARROW = (
    "--set", "parts.E.hidden=16", "--set", "parts.G.hidden=16", "--set", "data.count=64", "--set", "train.batch=8",
)  # fmt: skip


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    """The trained run, to be changed."""
    return Path(shutil.copytree(run, tmp_path / "copy"))


def test_it_ends_with_what_was_made_and_what_to_do_next(latentkit: Command, tmp_path: Path) -> None:
    done = latentkit("compose", "alae-mlp", "--steps", 2, *NARROW, "--set", "train.log_every=1")
    assert done.code == 0
    assert done.out.startswith("alae-mlp: 2 steps, 16 images; trained in ")
    for file in ("model.safetensors", "samples/00000002.png", "reconstructions/00000002.png"):
        assert f"runs/alae-mlp-01/{file}" in done.out
        assert (tmp_path / "runs/alae-mlp-01" / file).is_file()
    assert "latentkit reconstruct runs/alae-mlp-01" in done.out


def test_progress_is_plain_lines_where_there_is_no_terminal(latentkit: Command) -> None:
    err = latentkit("compose", "alae-mlp", "--steps", 2, "--out", "a", *NARROW, "--set", "train.log_every=1").err
    first, one, two = err.splitlines()
    assert first == f"alae-mlp: 2 steps of 8 images into a; {Settings().told()}"
    assert one.startswith("step 1/2  discriminate.adversarial ")
    assert two.startswith("step 2/2  ")
    assert "\x1b" not in err


def test_json_is_all_that_is_printed(latentkit: Command) -> None:
    done = latentkit("compose", "alae-mlp", "--steps", 1, "--out", "a", *NARROW, "--json")
    assert (done.code, done.err) == (0, "")
    assert (done.json["run"], done.json["step"]) == ("a", 1)
    assert all(Path(file).is_file() for file in done.json["files"].values())
    assert "reciprocate.latent" in done.json["last"]


def test_settings_of_the_run_reach_it(latentkit: Command) -> None:
    options = ("--seed", 5, "--precision", "float64", "--device", "cpu", "--channels-last")
    done = latentkit("compose", "alae-mlp", "--steps", 1, "--out", "a", *NARROW, *options)
    assert done.code == 0
    card = Path("a/card.md").read_text()
    assert "seed 5" in card
    assert "precision float64, channels_last True" in card


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["alae-mpl"], "did you mean 'alae-mlp'?"),
        (["nothing.toml"], "no such recipe file: nothing.toml"),
        ([], "a recipe is needed"),
        (["alae-mlp", "--set", "train.batch"], "--set train.batch: expected KEY=VALUE"),
        (["alae-mlp", "--threads", "many"], "--threads: expected a number from 1, or auto; found 'many'"),
        (["alae-mlp", "--capture"], "--capture: launches are captured on a GPU only, and the device is cpu"),
        (["alae-mlp", "--threads", "0"], "--threads: expected a number from 1, or auto; found '0'"),
        (["alae-mlp", "--precision", "half"], "expected one of auto, float32, medium, bfloat16, float64; found 'half'"),
        (["alae-mlp", "--device", "abacus"], "--device abacus: not available here"),
        (["alae-mlp", "--steps", "0"], "Invalid value for '--steps'"),
        (["--resume"], "--resume needs --out"),
        (["--resume", "--out", "nowhere"], "nowhere: no run to resume here"),
    ],
)
def test_mistakes_end_with_2_and_a_message(latentkit: Command, arguments: list[str], message: str) -> None:
    done = latentkit("compose", *arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert "Traceback" not in done.err


@pytest.mark.filterwarnings("default")
def test_pictures_that_are_too_small_are_refused_or_skipped_with_a_note(latentkit: Command, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for index in range(10):
        side = 6 if index == 3 else 8
        Image.fromarray(np.full((side, 8), 20 * index, np.uint8)).save(tmp_path / f"photos/{index}.png")
    source = ("--set", "data.use=folder", "--set", "data.path=photos", "--set", "data.cache=cache")
    command = ("compose", "alae-mlp", "--steps", 1, *NARROW[:4], *NARROW[6:], *source, "--set", "data.resolution=8")
    small = "1 is smaller than 8 x 8 (height x width): 3.png (6 x 8)"
    done = latentkit(*command)
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"error: folder: path = 'photos': of 10 pictures {small}\n"
        '  choose a smaller resolution, or say small = "enlarge" or small = "skip"\n'
    )
    done = latentkit(*command, "--set", "data.small=skip", "--out", "a", "--json")
    assert done.code == 0
    assert done.err == f"note: folder: path = 'photos': 1 of 10 pictures are skipped: {small}\n"
    done = latentkit("reconstruct", "a", "photos/3.png", "photos/4.png", "--out", "pairs.png")
    assert (done.code, done.err) == (0, "note: smaller than the model's 8 x 8 and enlarged: photos/3.png\n")


def test_a_folder_that_is_not_empty_is_refused(latentkit: Command, copy: Path) -> None:
    before = (copy / "model.safetensors").read_bytes()
    done = latentkit("compose", "alae-mlp", "--out", copy, *NARROW)
    assert done.code == 2
    assert "the folder is not empty; continue the run in it with --resume" in done.err
    assert (copy / "model.safetensors").read_bytes() == before


def test_a_run_is_continued_without_naming_its_recipe(latentkit: Command, copy: Path) -> None:
    done = latentkit("compose", "--out", copy, "--resume", "--steps", 5, "--json")
    assert (done.code, done.json["step"]) == (0, 5)
    assert done.err == "note: continuing at step 3\n"


def test_a_finished_run_says_so_and_ends_with_0(latentkit: Command, copy: Path) -> None:
    done = latentkit("compose", "--out", copy, "--resume")
    assert done.code == 0
    assert "already finished: 3 steps" in done.err
    assert "nothing left to train" in done.out


def test_a_run_is_not_continued_with_another_recipe(latentkit: Command, copy: Path) -> None:
    done = latentkit("compose", "alae-mlp", "--out", copy, "--resume")
    assert done.code == 2
    assert "the recipe differs from the run's own in [data], [parts], [train]" in done.err


@pytest.mark.parametrize(
    ("checkpoint_every", "told"),
    [(1, "the checkpoint of step 2 is on disk. Continue with:"), (9, "before the first checkpoint. Start over with:")],
)
def test_an_interruption_says_how_to_continue(
    latentkit: Command, monkeypatch: pytest.MonkeyPatch, checkpoint_every: int, told: str
) -> None:
    class Interrupting:
        @hookimpl
        def latentkit_step_done(self, event) -> None:
            if event.step == 2:
                raise KeyboardInterrupt

    monkeypatch.setattr(progress, "Lines", Interrupting)
    every = ("--set", f"train.checkpoint_every={checkpoint_every}")
    done = latentkit("compose", "alae-mlp", "--steps", 4, "--out", "a", *NARROW, *every)
    assert (done.code, done.out) == (composing.INTERRUPTED, "")
    assert told in done.err
    assert done.err.endswith("  latentkit compose --out a --resume\n")
