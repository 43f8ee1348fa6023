"""``attributes fit`` and ``attributes entanglement``."""

from __future__ import annotations

import csv
import shutil
from collections import abc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import latentkit as lk
from latentkit.data.sprites import Sprites
from latentkit.evaluation import attribute_reader
from latentkit.latent.direction_files import read_directions
from latentkit_cli import main

Command = abc.Callable[..., Any]
COUNT = 40
ENCODE = 'encode = "E(x)"\n'


@pytest.fixture(autouse=True)
def _reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(attribute_reader, "STEPS", 5)


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    """A run that may be written to."""
    return Path(shutil.copytree(run, tmp_path / "copy"))


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one step that holds out a third of its images."""
    folder = tmp_path_factory.mktemp("runs") / "held-out"
    sizes = {"parts.E.hidden": 8, "parts.G.hidden": 8, "data.count": 60, "data.split": 0.7, "train.batch": 8}
    assert main(["compose", "alae-mlp", "--out", str(folder), "--steps", "1", "--json",
                 *(word for key, value in sizes.items() for word in ("--set", f"{key}={value}"))]) == 0  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def blind(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model as ``run``, by training it again, but for a role ``encode``."""
    folder = tmp_path_factory.mktemp("runs") / "blind"
    recipe = folder.with_suffix(".toml")
    text = (run / "recipe.toml").read_text()
    assert ENCODE in text
    recipe.write_text(text.replace(ENCODE, ""))
    assert main(["compose", str(recipe), "--out", str(folder), "--json"]) == 0
    return folder


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures in two folders, and beside them ``labels.csv``: in -1 and 1, in numbers, and the same for all."""
    folder = tmp_path_factory.mktemp("faces")
    table = Sprites(count=COUNT, scale=(0.4, 0.6)).open(28, 28, 1)
    rows = [["image_id", "right", "scale", "white"]]
    for index, (image, factors) in enumerate(zip(table.fields["image"], table.fields["factors"], strict=True)):
        name = f"{'a' if index % 2 else 'b'}/{index:02}.png"
        (folder / "pictures" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).save(folder / "pictures" / name)
        rows.append([name, "1" if factors[3] > 0 else "-1", f"{factors[1]:.4f}", "1"])
    written(folder / "labels.csv", rows)
    return folder


def written(path: Path, rows: list[list[str]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def lines(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_columns_of_a_field_become_directions_by_their_names(latentkit: Command, copy: Path) -> None:
    done = latentkit("attributes", "fit", copy, "--labels", "factors", "-a", "x", "-a", "scale")
    assert done.code == 0, done.err
    assert "least-squares  from 0 to 1" in done.out
    assert "examples 64" in done.out
    assert done.out.endswith("added to copy/directions.safetensors\n")
    found = read_directions(copy / "directions.safetensors", lk.load(copy))
    assert list(found) == ["x", "scale"]
    again = latentkit("attributes", "fit", copy, "--labels", "factors", "-a", "x", "--json")
    assert (again.json["replaced"], again.json["examples"]) == (["x"], 64)
    edited = latentkit("edit", copy, "1,2", "--attribute", "x=+0.5", "--attribute", "scale=-0.1", "--out", "e.png")
    assert (edited.code, edited.out) == (0, "wrote e.png\n")


def test_classes_become_directions_by_differences_of_means_unless_another_finder_is_named(
    latentkit: Command, copy: Path
) -> None:
    done = latentkit("attributes", "fit", copy, "--labels", "label", "--json")
    told = {it["name"]: it["found"] for it in done.json["directions"]}
    assert told == dict.fromkeys(("ellipse", "square", "heart"), "mean-difference")
    refused = latentkit("attributes", "fit", copy, "--labels", "label", "--by", "least-squares")
    assert refused.code == 2
    assert "expected 3 that differ between codes and do not follow from each other, found 2" in refused.err
    words = ("--by", "linear-boundary", "--set", "classifier=logistic", "--out", "b.safetensors", "-a", "heart")
    done = latentkit("attributes", "fit", copy, "--labels", "label", *words)
    assert "heart  code   linear-boundary (logistic)  standard deviations" in done.out


def test_a_table_of_files_is_matched_with_the_pictures_of_a_folder(latentkit: Command, copy: Path, faces: Path) -> None:
    words = ("--labels", faces / "labels.csv", "--images", faces / "pictures")
    done = latentkit("attributes", "fit", copy, *words)
    assert done.code == 0, done.err
    assert "note: -1 and 1 are read as 0 and 1: right\n" in done.err
    assert "note: left out, as they are the same for all 40 images: white\n" in done.err
    found = read_directions(copy / "directions.safetensors", lk.load(copy))
    # The same as by hand: codes of the pictures in the order of their names.
    from latentkit.latent.attributes import least_squares
    from latentkit_cli.images import read_images

    model = lk.load(copy)
    images, files = read_images(model, [faces / "pictures"])
    rows = {row[0]: row for row in lines(faces / "labels.csv")}
    known = [rows[Path(file).relative_to(faces / "pictures").as_posix()] for file in files]
    attributes = torch.tensor([[float(row[1] == "1"), float(row[2])] for row in known])
    wanted = least_squares(model.encode(images), attributes).vectors
    torch.testing.assert_close(torch.stack([it.vector for it in found.values()]), wanted, rtol=1e-4, atol=1e-6)


def test_numbers_become_zero_and_one_where_a_bound_is_named(latentkit: Command, copy: Path) -> None:
    words = ("attributes", "fit", copy, "--labels", "factors", "--by", "mean-difference", "-a", "x")
    refused = latentkit(*words)
    assert refused.code == 2
    assert "expected 0 or 1 for differences of means; other values need least squares" in refused.err
    for above in ("median", "0.1"):
        assert latentkit(*words, "--above", above).code == 0
    nothing = latentkit(*words, "--above", "7")
    assert "attributes: x: the same for all 64 images, which tells nothing" in nothing.err


@pytest.mark.parametrize("suffix", ["npz", "safetensors", "csv"])
def test_codes_of_a_search_are_matched_with_a_table(
    latentkit: Command, copy: Path, blind: Path, faces: Path, suffix: str
) -> None:
    codes = f"codes.{suffix}"
    assert latentkit("encode", copy, faces / "pictures", "--out", codes).code == 0
    words = ("--labels", faces / "labels.csv", "-a", "right")
    refused = latentkit("attributes", "fit", blind, *words, "--images", faces / "pictures")
    assert refused.code == 2
    assert f"`latentkit invert {blind} IMAGES --codes codes.npz`, and give --labels FILE.csv and --codes" in refused.err
    own = latentkit("attributes", "fit", blind, "--labels", "factors")
    assert "'blind' gives no codes of images: the recipe has no role 'encode'" in own.err
    file = f"{suffix}.safetensors"
    done = latentkit("attributes", "fit", blind, *words, "--codes", codes, "--out", file, "--json")
    assert done.code == 0, done.err
    other = latentkit("attributes", "fit", copy, *words, "--images", faces / "pictures", "--json")
    vectors = [it.json["directions"][0]["vector"] for it in (done, other)]
    np.testing.assert_allclose(*vectors, rtol=1e-4, atol=1e-6)
    words = (*words, "--images", faces / "pictures", "--codes", codes, "--from", file)
    done = latentkit("attributes", "entanglement", blind, *words, "--json")
    assert done.code == 0, done.err
    assert (done.json["n"], done.json["trained_on"], done.json["share"]) == (8, 32, [[1.0]])


def test_what_does_not_match_is_refused_with_names_or_skipped(
    latentkit: Command, copy: Path, faces: Path, tmp_path: Path
) -> None:
    header, *rows = lines(faces / "labels.csv")
    path = written(tmp_path / "odd.csv", [header, *rows[2:], *([f"gone/{i}.png", "1", "0.5", "1"] for i in range(7))])
    words = ("attributes", "fit", copy, "--labels", path, "--images", faces / "pictures", "-a", "right")
    refused = latentkit(*words)
    assert (refused.code, refused.out) == (2, "")
    assert (
        f"--labels {path} does not match the images of {faces / 'pictures'}: 2 of 40 have no row (a/01.png, b/00.png)"
    )
    assert "2 of 40 have no row (a/01.png, b/00.png), and 7 of 45 rows are of none (gone/0.png" in refused.err
    assert "gone/4.png and 2 more)\n  correct the names, or leave out what does not match with --unmatched skip" in (
        refused.err
    )
    done = latentkit(*words, "--unmatched", "skip", "--json")
    assert (done.code, done.json["examples"]) == (0, 38)
    assert "note: left out, as --labels" in done.err
    assert latentkit(*words, "--unmatched", "skip", "-n", 30, "--json").json["examples"] == 30
    far = written(tmp_path / "far.csv", [header, *([f"pictures/{row[0]}", *row[1:]] for row in rows)])
    nothing = latentkit(
        "attributes", "fit", copy, "--labels", far, "--images", faces / "pictures", "--unmatched", "skip"
    )
    assert nothing.code == 2
    assert "a row's name is relative to the folder of --images: 'a/01.png', not 'pictures/b/00.png'" in nothing.err


def test_the_matrix_is_a_table_json_and_a_picture(latentkit: Command, held_out: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(held_out, tmp_path / "copy"))
    assert latentkit("attributes", "fit", copy, "--labels", "factors").code == 0
    words = ("attributes", "entanglement", copy, "--labels", "factors")
    done = latentkit(*words, "-a", "x", "-a", "y", "--out", "deep/matrix.png")
    assert done.code == 0, done.err
    table = done.out.splitlines()
    assert table[0].split() == ["edit", "of", "x", "y", "own", "change"]
    assert [line.split()[0] for line in table[1:3]] == ["x", "y"]
    assert table[1].split()[1] == table[2].split()[2] == "1.00"
    assert "read off images" in done.out
    assert "18 held-out images, moved by 1 standard deviations of the codes; reader of 42 images" in done.out
    assert done.out.endswith("wrote deep/matrix.png\n")
    with Image.open("deep/matrix.png") as picture:
        assert picture.format == "PNG"
    told = latentkit(*words, "-a", "x", "-a", "y", "-n", 10, "--amount", 2, "--json").json
    assert (told["attributes"], told["n"], told["amount"], told["file"]) == (["x", "y"], 10, 2.0, None)
    np.testing.assert_allclose(np.diag(told["share"]), 1)
    np.testing.assert_allclose(np.diag(told["cosines"]), 1, rtol=1e-5)
    assert [read["figure"] for read in told["read"]] == ["r2", "r2"]
    assert latentkit("directions", "find", copy, "principal-components", "--set", "count=1").code == 0
    assert "left out, as no attribute has their name: component-0" in latentkit(*words).err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fit", "--labels", "factor"], "own data ('sprites' has label, factors), found 'factor'"),
        (["fit", "--labels", "none.csv", "--images", "FACES/pictures"], "none.csv: cannot be read: No such file"),
        (
            ["fit", "--labels", "FACES/labels.csv"],
            "expected --images DIR, the folder of the images that it names, or --",
        ),
        (
            ["fit", "--labels", "FACES/labels.csv", "--images", "nowhere"],
            "--images nowhere: expected a folder, found noth",
        ),
        (["fit", "--labels", "FACES/labels.csv", "--images", "FACES/labels.csv"], "expected a folder, found a file"),
        (
            ["fit", "--labels", "factors", "--images", "FACES"],
            "--images: goes with --labels FILE.csv; --labels factors is",
        ),
        (["fit", "--labels", "factors", "--codes", "c.npz"], "--codes: goes with --labels FILE.csv"),
        (
            ["fit", "--labels", "FACES/labels.csv", "--images", "FACES", "--codes", "c.npz"],
            "--images: is not needed with --codes",
        ),
        (["fit", "--labels", "FACES/labels.csv", "--codes", "c.npz"], "c.npz: no such file"),
        (
            ["fit", "--labels", "FACES/labels.csv", "--codes", "c.txt"],
            "expected a name that ends in .npz or .safetensors",
        ),
        (["fit", "--labels", "FACES/labels.csv", "--codes", "FACES/labels.csv"], "the first column is not 'file'"),
        (["fit", "--labels", "factors", "-a", "size"], "expected some of shape, scale, orientation, x, y, found size"),
        (["fit", "--labels", "factors", "--by", "trajectories"], "--by trajectories: finds directions without labels"),
        (["fit", "--labels", "factors", "--by", "least"], "no direction is called 'core.least'; did you mean"),
        (["fit", "--labels", "factors", "--set", "C=1"], "unknown key"),
        (["fit", "--labels", "factors", "--above", "half"], "--above half: expected median, or a number"),
        (["fit", "--labels", "factors", "--above", "nan"], "--above nan: expected median, or a number"),
        (["fit", "--labels", "factors", "--unmatched", "keep"], "--unmatched keep: expected refuse or skip"),
        (["fit", "--labels", "factors", "--out", "d.npz"], "--out d.npz: expected a name that ends in .safetensors"),
        (["entanglement", "--labels", "factors"], "has no directions yet"),
        (["entanglement", "--labels", "factors", "--out", "m.jpg"], "--out m.jpg: expected a name that ends in .png"),
    ],
)
def test_what_cannot_be_done_ends_with_2_and_a_message(
    latentkit: Command, run: Path, faces: Path, words: list[str], message: str
) -> None:
    kind, *rest = words
    done = latentkit("attributes", kind, run, *(word.replace("FACES", str(faces)) for word in rest))
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert "Traceback" not in done.err


def test_what_cannot_be_measured_ends_with_2_and_a_message(latentkit: Command, copy: Path, faces: Path) -> None:
    assert latentkit("attributes", "fit", copy, "--labels", "factors", "-a", "x").code == 0
    for words, message in (
        (["--labels", "factors"], "expected held-out images with labels, found none; set data.split"),
        (
            ["--labels", "factors", "-a", "y"],
            "--attribute y: expected the name of a direction, one of x; `latentkit attr",
        ),
        (["--labels", "label"], "directions are x, attributes ellipse, square, heart"),
        (
            ["--labels", faces / "labels.csv", "--codes", "c.npz"],
            "expected --images DIR, the folder of the images that",
        ),
        (["--labels", "factors", "--from", "other.safetensors"], "other.safetensors: no such file"),
    ):
        done = latentkit("attributes", "entanglement", copy, *words)
        assert (done.code, done.out) == (2, "")
        assert message in done.err


def test_codes_that_are_none_or_of_another_model_are_refused(
    latentkit: Command, run: Path, faces: Path, tmp_path: Path
) -> None:
    files = np.array([f"pictures/{row[0]}" for row in lines(faces / "labels.csv")[1:]])
    for name, arrays, message in (
        (
            "short",
            {"codes": np.ones((COUNT, 7), np.float32), "files": files},
            "expected [n, 50], as 'alae-mlp' has them",
        ),
        (
            "fewer",
            {"codes": np.ones((3, 50), np.float32), "files": files},
            "found codes [3, 50] of float32 and 40 files",
        ),
        ("nameless", {"codes": np.ones((COUNT, 50), np.float32)}, "found something else"),
        ("objects", {"codes": np.array([{}] * COUNT), "files": files}, "found something else"),
        ("infinite", {"codes": np.full((COUNT, 50), np.inf), "files": files}, "values that are not finite"),
        ("twice", {"codes": np.ones((2, 50)), "files": np.array(["x/a/01.png", "a/01.png"])}, "of several images each"),
    ):
        codes = tmp_path / f"{name}.npz"
        np.savez(codes, **arrays)  # type: ignore[arg-type]
        done = latentkit("attributes", "fit", run, "--labels", faces / "labels.csv", "--codes", codes, "-a", "scale")
        assert done.code == 2, name
        assert message in done.err
