"""``directions find``, ``list`` and ``measure``, ``edit``, and samples along directions."""

from __future__ import annotations

import shutil
from collections import abc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import latentkit as lk
from latentkit.latent.direction_files import read_directions, write_directions
from latentkit_cli import main

Command = abc.Callable[..., Any]
QUICK = ("--set", "count=3", "--set", "steps=2", "--set", "epochs=2", "--set", "amounts=[0.1]")
NARROW_BIGGAN = (
    "--set", "data.resolution=8", "--set", "draw.z.dim=6", "--set", "data.count=24", "--set", "train.batch=4",
    "--set", "parts.G.channels_base=2", "--set", "parts.D.channels_base=2",
)  # fmt: skip


@pytest.fixture
def mine(run: Path, tmp_path: Path) -> Path:
    """A run of one's own, to which directions may be added."""
    return Path(shutil.copytree(run, tmp_path / "mine"))


@pytest.fixture
def found(latentkit: Command, mine: Path) -> Path:
    """The same with two directions."""
    assert latentkit("directions", "find", mine, "trajectories", *QUICK).code == 0
    assert latentkit("directions", "find", mine, "principal-components", "--set", "count=1").code == 0
    return mine


def test_a_direction_is_found_told_and_kept(latentkit: Command, mine: Path) -> None:
    done = latentkit("directions", "find", mine, "trajectories", *QUICK, "--set", "transformation=vertical-shift")
    assert done.code == 0
    assert done.err.splitlines() == [line for line in done.err.splitlines() if "vertical-shift" in line]
    assert len(done.err.splitlines()) == 2  # one for each sign of the amount
    assert "vertical-shift  code   trajectories  image heights" in done.out
    assert done.out.endswith("added to mine/directions.safetensors\n")
    again = latentkit("directions", "find", mine, "trajectories", *QUICK, "--set", "transformation=vertical-shift")
    assert "note: replaced: vertical-shift" in again.err
    model = lk.load(mine)
    (direction,) = read_directions(mine / "directions.safetensors", model).values()
    assert len(direction.vector) == 50
    assert direction.scale is not None


def test_finding_is_the_same_for_the_same_seed(latentkit: Command, mine: Path) -> None:
    first, again, other = (
        latentkit("directions", "find", mine, "trajectories", *QUICK, "--seed", seed, "--json").json
        for seed in (0, 0, 1)
    )
    assert first["directions"][0]["vector"] == again["directions"][0]["vector"]
    assert first["directions"][0]["vector"] != other["directions"][0]["vector"]
    assert (first["replaced"], again["replaced"]) == ([], ["horizontal-shift"])


def test_directions_are_listed_with_all_that_is_known(latentkit: Command, found: Path) -> None:
    listed = latentkit("directions", "list", found)
    assert listed.code == 0
    lines = listed.out.splitlines()
    assert lines[0].split() == ["name", "where", "found", "by", "unit", "seen", "from", "...", "to"]
    assert [line.split()[0] for line in lines[1:]] == ["horizontal-shift", "component-0"]
    facts = latentkit("directions", "list", found, "--json").json
    assert [(item["name"], item["scaled"], item["space"]) for item in facts] == [
        ("horizontal-shift", True, "code"), ("component-0", False, "code"),
    ]  # fmt: skip
    assert "chunks" not in facts[0]


def test_lengths_of_pieces_are_those_that_are_asked_for(latentkit: Command, found: Path) -> None:
    shown = latentkit("directions", "list", found, "--chunks", "20,30", "--json").json
    for item in shown:
        u = torch.tensor(item["vector"])
        u = u / u.norm()
        assert item["chunks"] == [20, 30]
        assert item["chunk_norms"] == pytest.approx([float(u[:20].norm()), float(u[20:].norm())], rel=1e-4)
    table = latentkit("directions", "list", found, "--chunks", "20,30").out
    assert "length of u in    0-19   20-49" in table
    assert latentkit("directions", "list", found, "--chunks", "auto", "--json").json[0]["chunks"] == [50]


def test_measuring_tells_keeps_and_draws(latentkit: Command, found: Path) -> None:
    pytest.importorskip("sklearn")
    done = latentkit(
        "directions", "measure", found, "horizontal-shift", "component-0=-1:1", "-n", 4, "--steps", 3, "--out", "m.png"
    )
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0].split()[:4] == ["name", "moves", "Spearman", "of"]
    assert lines[1].split()[:2] == ["horizontal-shift", "x"]
    assert lines[-1] == "added to mine/directions.safetensors; wrote m.png"
    with Image.open("m.png") as chart:
        assert chart.width > chart.height > 300
    kept = read_directions(found / "directions.safetensors", lk.load(found))
    assert kept["horizontal-shift"].details["measured"] == "x"
    assert {"spearman", "r2", "std", "drift-y", "drift-mean", "transformation"} <= set(kept["horizontal-shift"].details)
    assert kept["component-0"].range == pytest.approx((-1, 1))
    facts = latentkit("directions", "measure", found, "component-0=-2:2", "-n", 3, "--steps", 4, "--json").json
    (item,) = facts["directions"]
    assert item["places"] == pytest.approx([-2, -2 / 3, 2 / 3, 2])
    assert [factor["factor"] for factor in item["factors"]] == ["x", "y", "mean"]
    assert len(item["factors"][0]["means"]) == 4
    assert "chart" not in facts


def test_edits_are_pairs_of_before_and_after_or_strips(latentkit: Command, found: Path, scans: Path) -> None:
    done = latentkit("edit", found, "1,2", scans / "a.png", "-a", "horizontal-shift=+0.1", "--at", "component-0=1")
    assert (done.code, done.out) == (0, "wrote mine-edited.png\n")
    facts = latentkit("edit", found, 3, "--along", "component-0=-1:1", "--steps", 5, "--json", "--out", "s.png").json
    assert (facts["file"], facts["n"], facts["along"]) == ("s.png", 1, "component-0=-1:1")
    with Image.open("s.png") as strip, Image.open("mine-edited.png") as pairs:
        assert strip.width > 4 * strip.height
        assert len(set(np.asarray(pairs).flatten().tolist())) > 10
    assert latentkit("edit", found, 3, "--along", "horizontal-shift", "--out", "t.png").code == 0


def test_samples_are_moved_along_directions(latentkit: Command, found: Path) -> None:
    still = latentkit("sample", found, "-n", 2, "--out", "a.png")
    moved = latentkit("sample", found, "-n", 2, "--attribute", "component-0=+3", "--out", "b.png", "--json")
    none = latentkit("sample", found, "-n", 2, "--attribute", "component-0=0", "--out", "c.png")
    assert (still.code, moved.code, none.code) == (0, 0, 0)
    assert moved.json["attributes"] == ["component-0=+3"]
    a, b, c = (np.asarray(Image.open(name)).astype(int) for name in ("a.png", "b.png", "c.png"))
    assert np.abs(a - c).max() <= 1
    assert np.abs(a - b).max() > 3
    assert latentkit("sample", found, "-n", 2, "--at", "component-0=0", "--out", "d.png").code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["find", "trajectory"], "did you mean 'core.trajectories'"),
        (["find", "l2"], "'core.l2' is a loss; expected a direction"),
        (["find", "trajectories", "--set", "amount=1"], "trajectories: amount: unknown key"),
        (["find", "trajectories", "--set", "transformation=zom"], "found 'zom'\n  did you mean 'zoom'"),
        (["find", "trajectories", "--set", "amounts=[0.01]"], "changes nothing in an image of 28 x 28; expected "
         "amounts of at least 0.0358"),
        (["find", "trajectories", "--set", "amounts=[0.2, 0.1]"], "must be growing amounts above 0"),
        (["find", "trajectories", "--set", "classes=[0]"], "classes: expected a 'decode' that reads one label"),
        (["find", "trajectories", "--set", "count"], "--set count: expected KEY=VALUE"),
        (["find", "trajectories", "--given", "y=1"], "--given y=1: 'decode' of this model reads no label"),
        (["find", "trajectories", "--out", "d.txt"], "--out d.txt: expected a name that ends in .safetensors"),
        (["find", "mean-difference"], "'mean-difference' wants images whose attributes are known"),
        (["find", "closed-form", "--set", "count=99"], "closed form: expected 1 to 16 directions"),
        (["find", "closed-form", "--set", "layers=[0]"], "makes no styles"),
        (["find", "principal-components", "--set", "layer=G.nets"], "has no module 'G.nets'"),
        (["list", "--from", "none.safetensors"], "none.safetensors: no such file"),
        (["list", "--chunks", "20,20"], "chunks: expected sizes of sum 50, found [20, 20] of sum 40"),
        (["list", "--chunks", "a,b"], "--chunks a,b: expected sizes, such as 20,20,20, or auto"),
        (["measure", "zoom"], "zoom: expected one of horizontal-shift, component-0, found 'zoom'"),
        (["measure", "component-0=1:-1"], "component-0=1:-1: expected NAME=LOW:HIGH, two numbers, the lower one first"),
        (["measure", "component-0", "--out", "chart.pdf"], "--out chart.pdf: expected a name that ends in .png"),
        (["measure", "component-0", "--saliency", "l2"], "'core.l2' is a loss"),
        (["measure", "component-0", "--saliency", "nobody.sees"], "no plugin 'nobody' is installed"),
        (["measure", "component-0", "--set", "least=1"], "brightness: least: unknown key"),
        (["measure", "component-0", "--saliency", "parameter", "--set", "shape=[1]"], "found other ports"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_ends_with_2_and_a_message(
    latentkit: Command, found: Path, words: list[str], message: str
) -> None:
    done = latentkit("directions", words[0], found, *words[1:])
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "expected --attribute NAME=AMOUNT, --at NAME=PLACE or --along NAME; found none of them"),
        (["-a", "smile"], "--attribute smile: expected NAME=NUMBER, for example horizontal-shift=+1"),
        (["-a", "component=1"], "found 'component'\n  did you mean 'component-0'"),
        (["-a", "component-0=much"], "--attribute component-0=much: expected a number, found 'much'"),
        (["--at", "component-0=inf"], "--at component-0=inf: expected a number, found 'inf'"),
        (["--along", "smile"], "--along smile: expected one of horizontal-shift, component-0, found 'smile'"),
        (["--along", "component-0=1"], "--along component-0=1: expected NAME=LOW:HIGH"),
        (["-a", "component-0=1", "--out", "e.jpg"], "--out e.jpg: expected a name that ends in .png"),
        (["-a", "component-0=1", "--given", "y=0"], "reads no label"),
        (["-a", "component-0=1", "--from", "none.safetensors"], "none.safetensors: no such file"),
    ],
)
def test_an_edit_that_cannot_be_made_ends_with_2_and_a_message(
    latentkit: Command, found: Path, words: list[str], message: str
) -> None:
    done = latentkit("edit", found, "1", *words)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert "Traceback" not in done.err


def test_a_run_without_directions_says_how_to_find_some(latentkit: Command, run: Path) -> None:
    for words in (
        ["directions", "list", run], ["directions", "measure", run, "zoom"], ["edit", run, "1", "-a", "zoom=1"],
        ["sample", run, "--attribute", "zoom=1"],
    ):  # fmt: skip
        done = latentkit(*words)
        assert (done.code, done.out) == (2, "")
        assert f"has no directions yet; find some: `latentkit directions find {run} trajectories`" in done.err


def test_directions_of_another_model_are_refused(latentkit: Command, found: Path, tmp_path: Path) -> None:
    code = main([
        "compose", "alae-mlp", "--out", str(tmp_path / "other"), "--steps", "1", "--json", "--set", "train.seed=9",
        "--set", "parts.E.hidden=16", "--set", "parts.G.hidden=16", "--set", "data.count=64", "--set", "train.batch=8",
        "--set", "data.split=1.0",
    ])  # fmt: skip
    assert code == 0
    file = found / "directions.safetensors"
    other = tmp_path / "other"
    for words in (
        ["directions", "list", other, "--from", file], ["directions", "measure", other, "component-0", "--from", file],
        ["edit", other, "1", "-a", "component-0=1", "--from", file],
        ["sample", other, "--attribute", "component-0=1", "--from", file],
        ["directions", "find", other, "principal-components", "--set", "count=1", "--out", file],
    ):  # fmt: skip
        done = latentkit(*words)
        assert (done.code, done.out) == (2, "")
        assert f"{file}: directions of another model: expected 'alae-mlp' with weights" in done.err
        assert "find them anew" in done.err


def test_a_direction_whose_range_is_not_known_wants_its_ends(latentkit: Command, mine: Path) -> None:
    model = lk.load(mine)
    write_directions(mine / "directions.safetensors", {"u": lk.Direction(vector=torch.ones(50), found="here")}, model)
    for words in (["edit", mine, "1", "--along", "u"], ["directions", "measure", mine, "u"]):
        done = latentkit(*words)
        assert (done.code, done.out) == (2, "")
        assert "the range that was seen is not known; say u=LOW:HIGH" in done.err
    assert latentkit("edit", mine, "1", "--along", "u=-1:1").code == 0


def test_a_generator_with_labels_has_directions_of_classes_together(latentkit: Command, tmp_path: Path) -> None:
    run = tmp_path / "big"
    assert latentkit("compose", "biggan", "--out", run, "--steps", 1, "--json", *NARROW_BIGGAN).code == 0
    coarse = ["--set", "count=3", "--set", "steps=2", "--set", "epochs=2", "--set", "amounts=[0.125]"]
    done = latentkit("directions", "find", run, "trajectories", *coarse, "--set", "classes=[0, 2]", "--json")
    assert done.code == 0, done.err
    assert done.json["directions"][0]["details"]["pairs"] == 12
    shown = latentkit("directions", "list", run, "--chunks", "auto").out
    assert "length of u in    0-2" in shown
    one = latentkit("edit", run, "1,2,3", "-a", "horizontal-shift=0.1", "--given", "y=2")
    strip = latentkit("edit", run, "1,2", "--along", "horizontal-shift", "--given", "y=0", "--out", "strip.png")
    drawn = latentkit("sample", run, "-n", 3, "-a", "horizontal-shift=0.1", "--given", "y=1", "--out", "drawn.png")
    assert (one.code, strip.code, drawn.code) == (0, 0, 0), one.err + strip.err + drawn.err
    wrong = latentkit("edit", run, "1", "-a", "horizontal-shift=0.1", "--given", "y=3")
    assert (wrong.code, wrong.out) == (2, "")
    assert "--given y=3: expected a class from 0 to 2" in wrong.err
