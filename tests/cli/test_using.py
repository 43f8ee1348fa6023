"""``sample``, ``reconstruct``, ``encode``, ``eval`` on a trained run."""

from __future__ import annotations

import csv
import json
import shutil
from collections import abc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file

import latentkit as lk
from latentkit_cli import main

Command = abc.Callable[..., Any]

RECIPE_WITHOUT_ENCODER = """
extends = "alae-mlp"
remove = ["inference.encode", "inference.features"]
"""


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a model that draws labels of three classes, and of one step; tests read it only."""
    folder = tmp_path_factory.mktemp("runs") / "labelled"
    sizes = {"data.resolution": 8, "data.count": 12, "draw.z.dim": 4, "train.batch": 4}
    sizes |= {f"parts.{part}.channels_base": 2 for part in "GD"}
    assert main(["compose", "biggan", "--out", str(folder), "--steps", "1", "--json",
                 *(word for key, value in sizes.items() for word in ("--set", f"{key}={value}"))]) == 0  # fmt: skip
    return folder


def test_samples_are_one_picture_that_the_seed_decides(latentkit: Command, run: Path) -> None:
    done = latentkit("sample", run, "-n", 4, "--seed", 1)
    assert (done.code, done.out) == (0, "wrote tiny-samples.png\n")
    again = latentkit("sample", run, "-n", 4, "--seed", 1, "--out", "deep/again.png", "--json")
    assert (again.json["file"], again.json["n"]) == ("deep/again.png", 4)
    latentkit("sample", run, "-n", 4, "--seed", 2, "--out", "other.png")
    first, same, other = (Path(name).read_bytes() for name in ("tiny-samples.png", "deep/again.png", "other.png"))
    assert first == same
    assert first != other


def test_samples_are_of_the_class_that_is_given(latentkit: Command, labelled: Path) -> None:
    rows = {"0": ["y=0"], "row": [" y = [1, 0, 0.0]"], "2": ["y=2"], "between": ["y=[0.5, 0, 0.5]"], "drawn": []}
    for name, given in rows.items():
        words = [word for value in given for word in ("--given", value)]
        done = latentkit("sample", labelled, "-n", 6, *words, "--out", f"{name}.png", "--json")
        assert (done.code, done.json.get("given")) == (0, given or None)
    pictures = {name: Path(f"{name}.png").read_bytes() for name in rows}
    assert pictures["0"] == pictures["row"]
    assert len(set(pictures.values())) == 4


def test_samples_of_a_class_are_those_of_the_python_interface(labelled: Path) -> None:
    from latentkit_cli.given import given_values

    model = lk.load(labelled)
    labels = given_values(model, "sample", ["y=1"], 5)
    assert {name: value.tolist() for name, value in labels.items()} == {"y": [[0, 1, 0]] * 5}
    images = model.sample(5, y=labels["y"])
    assert tuple(images.shape) == (5, 1, 8, 8)
    assert not torch.equal(images, model.sample(5, y=labels["y"].roll(1, 1)))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["y"], "--given y: expected NAME=CLASS, for example --given y=3"),
        (["y=0", "y=1"], "--given y=1: 'y' is given twice"),
        (["z=0"], "expected the name of a label or scalar, y, found 'z': it is latent[4]"),
        (["Y=0"], "found 'Y': 'sample' reads no value of that name\n  did you mean 'y'?"),
        (
            ["y_real=0"],
            "expected the name of a label or scalar, y, found 'y_real': 'sample' reads no value of that name",
        ),
        (["y=3"], "--given y=3: expected a class from 0 to 2, or a list of 3 numbers, one per class"),
        (["y=-1"], "expected a class from 0 to 2"),
        (["y=true"], "expected a class from 0 to 2"),
        (["y=square"], "expected a class from 0 to 2"),
        (["y=[1, 0]"], "or a list of 3 numbers"),
        (["y=[NaN, 0, 1]"], "or a list of 3 numbers"),
        (["y=[1e999, 0, 1]"], "or a list of 3 numbers"),
        (["y=" + "[" * 5000], "expected a class from 0 to 2"),
        (["y=1" + "0" * 5000], "expected a class from 0 to 2"),
    ],
)
def test_labels_that_cannot_be_given_end_with_2_and_a_message(
    latentkit: Command, labelled: Path, given: list[str], message: str
) -> None:
    done = latentkit("sample", labelled, *(word for value in given for word in ("--given", value)))
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert "Traceback" not in done.err


def test_raw_weights_and_the_single_file_can_be_used(latentkit: Command, run: Path) -> None:
    assert latentkit("sample", run, "-n", 1, "--weights", "raw").code == 0
    done = latentkit("sample", run / "model.safetensors", "-n", 1)
    assert (done.code, done.out) == (0, "wrote tiny-samples.png\n")


def test_samples_of_a_fitted_prior_are_the_same_the_next_time(latentkit: Command, run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    first = latentkit("sample", copy, "-n", 4, "--prior", "gmm", "--components", 2, "--out", "first.png")
    assert (first.code, first.out, first.err) == (0, "wrote first.png\n", "")
    fitted = (copy / "prior-gmm.safetensors").stat().st_mtime_ns
    again = latentkit("sample", copy, "-n", 4, "--prior", "gmm", "--components", 2, "--out", "again.png", "--json")
    assert (again.json["prior"]["components"], again.json["prior"]["codes"]) == (2, 64)
    latentkit("sample", copy, "-n", 4, "--out", "drawn.png")
    pictures = [Path(f"{name}.png").read_bytes() for name in ("first", "again", "drawn")]
    assert pictures[0] == pictures[1] != pictures[2]
    assert (copy / "prior-gmm.safetensors").stat().st_mtime_ns == fitted


def test_reconstructions_stand_under_the_pictures_of_a_folder(latentkit: Command, run: Path, scans: Path) -> None:
    done = latentkit("reconstruct", run, scans, "--out", "pairs.png", "--json")
    assert (done.code, done.json["n"]) == (0, 2)
    assert [Path(name).name for name in done.json["images"]] == ["a.png", "b.jpg"]
    with Image.open("pairs.png") as picture:
        assert picture.format == "PNG"


def test_pictures_are_read_as_the_training_reads_them(run: Path, scans: Path) -> None:
    from latentkit_cli.images import read_images

    images, files = read_images(lk.load(run), [scans / "b.jpg"])
    assert tuple(images.shape) == (1, 1, 28, 28)
    assert (float(images.min()) >= 0, float(images.max()) <= 1, len(files)) == (True, True, 1)


def test_codes_are_written_in_three_formats(latentkit: Command, run: Path, scans: Path) -> None:
    for name in ("codes.npz", "codes.safetensors", "codes.csv"):
        assert latentkit("encode", run, scans, "--out", name).out == f"wrote {name}\n"
    with np.load("codes.npz", allow_pickle=False) as file:
        codes, files = file["codes"], file["files"]
    assert codes.shape == (2, 50)
    assert [Path(name).name for name in files] == ["a.png", "b.jpg"]
    np.testing.assert_array_equal(load_file("codes.safetensors")["codes"], codes)
    with Path("codes.csv").open() as table:
        head, first, _ = csv.reader(table)
    assert (head[:2], head[-1]) == (["file", "code0"], "code49")
    np.testing.assert_allclose(np.array(first[1:], float), codes[0], rtol=1e-6)


def test_codes_are_printed_as_json(latentkit: Command, run: Path, scans: Path, tmp_path: Path) -> None:
    done = latentkit("encode", run, scans / "a.png", "--json")
    (found,) = done.json
    assert (len(found["code"]), Path(found["file"]).name) == (50, "a.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["reconstruct", "RUN", "no.png", "gone/"], "no such file or folder: no.png, gone"),
        (["encode", "RUN", "SCANS/notes.txt"], "no picture that can be read: "),
        (["reconstruct", "RUN", "."], ".: a folder without pictures (.png, "),
        (["encode", "RUN", "SCANS", "--out", "codes.txt"], "expected a name that ends in .npz or .safetensors or .csv"),
        (["sample", "RUN", "--out", "samples.jpg"], "--out samples.jpg: expected a name that ends in .png"),
        (["sample", "RUN", "--weights", "best"], "expected 'average' or 'raw', found 'best'"),
        (["sample", "RUN", "--device", "abacus"], "--device abacus: not available here"),
        (["sample", "RUN", "-n", "0"], "Invalid value for '-n'"),
        (["sample", "nowhere"], "nowhere: no such file or folder"),
        (["sample", "SCANS"], "it is no run folder"),
        (["sample", "SCANS/notes.txt"], "not a safetensors file"),
        (["encode", "RUN"], "Missing argument 'IMAGES"),
        (["sample", "RUN", "--prior", "flow"], "prior: expected 'gmm', found 'flow'"),
        (["sample", "RUN", "--components", "3"], "--components: is of a prior, so it needs --prior gmm"),
        (["sample", "RUN", "--given", "y=1"], "--given y=1: 'sample' of this model reads no label"),
        (["sample", "RUN", "--given", "y=1", "--prior", "gmm"], "with --prior they are made of codes alone"),
        (["sample", "RUN", "--prior", "gmm", "--components", "65"], "65 components want at least 65 images"),
        (["eval", "RUN", "--metric", "probs"], "did you mean"),
        (["eval", "RUN", "--metric", "probes", "--samples", "9"], "has the option 'samples': probes"),
        (["eval", "RUN", "--metric", "classifier-frechet", "--prior", "vamp"], "'prior' must be in ('gmm',)"),
        (["eval", "RUN", "--weights", "best"], "found 'best'"),
        (["frobnicate"], "No such command 'frobnicate'"),
    ],
)
def test_mistakes_end_with_2_and_a_message(
    latentkit: Command, run: Path, scans: Path, arguments: list[str], message: str
) -> None:
    done = latentkit(*(item.replace("RUN", str(run)).replace("SCANS", str(scans)) for item in arguments))
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert "Traceback" not in done.err


def test_a_result_that_cannot_be_written_is_a_message(latentkit: Command, run: Path, scans: Path) -> None:
    Path("file").write_text("")
    done = latentkit("encode", run, scans, "--out", "file/c.npz")
    assert done.code == 2
    assert "file/c.npz: cannot be written" in done.err


def test_a_run_without_an_encoder_says_so(latentkit: Command, run: Path, scans: Path, tmp_path: Path) -> None:
    Path("plain.toml").write_text(RECIPE_WITHOUT_ENCODER)
    options = (
        "--set",
        "parts.E.hidden=8",
        "--set",
        "parts.G.hidden=8",
        "--set",
        "data.count=8",
        "--set",
        "train.batch=4",
    )
    made = latentkit("compose", "plain.toml", "--out", "p", "--steps", 1, *options)
    assert made.code == 0
    assert "latentkit reconstruct" not in made.out
    for command in ("reconstruct", "encode"):
        done = latentkit(command, "p", scans)
        assert done.code == 2
        assert "has no role 'encode'" in done.err
    assert latentkit("interpolate", "p", 1, 2).code == 0


def test_eval_writes_figures_and_says_why_some_are_missing(latentkit: Command, run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    done = latentkit("eval", copy, "-n", 16)
    assert done.code == 0
    assert "averaged weights, step 3" in done.out
    assert "raw weights, step 3" in done.out
    assert "no images are held out" in done.out
    assert done.out.endswith("Added to copy/metrics.jsonl\n")
    records = [json.loads(line) for line in (copy / "metrics.jsonl").read_text().splitlines()]
    assert any(record.get("evaluation") == "latent-reconstruction" for record in records)
    assert "nll" not in done.out
    asked = latentkit("eval", copy, "--metric", "nll", "--samples", 2, "--weights", "raw")
    assert (asked.code, "none: no term of the recipe is a likelihood" in asked.out) == (0, True)
    one = latentkit("eval", copy, "-n", 16, "--metric", "latent-correlation", "--weights", "raw", "--json").json
    assert [(item["evaluation"], item["weights"]) for item in one] == [("latent-correlation", "raw")]
