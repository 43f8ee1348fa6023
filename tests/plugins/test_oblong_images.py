"""Images that are not square, from the files of a user to pictures of samples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import latentkit as lk
from latentkit.engine.samples import Samples, at_resolution
from latentkit.evaluation.classifier import classifier_of
from latentkit.evaluation.protocols import of_images
from latentkit.interfaces import Table
from latentkit.recipe.schema import DataSpec
from latentkit_cli import main

Tables = dict[str, Any]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures of several sizes, in each of which brightness grows from left to right."""
    folder = tmp_path_factory.mktemp("photos")
    for index, (height, width) in enumerate([(4, 8), (9, 12), (8, 20), (30, 10)] * 3):
        ramp = np.linspace(0, 200, width) + 4 * index
        Image.fromarray(np.tile(ramp, (height, 1)).astype(np.uint8)).save(folder / f"{index:02}.png")
    return folder


def growing(photos: Path, **more: Any) -> Tables:
    network = {"base": [2, 4], "levels": 2, "channels_base": 2, "max_channels": 4}
    return {
        "extends": "stylealae", "remove": ["stage"],
        "data": {"use": "folder", "path": str(photos), "cache": str(photos / ".cache"), "channels": 1},
        "draw": {"z": {"dim": 4}}, "parts": {"G": network, "E": network},
        "train": {"batch": 4, "steps": 4, "log_every": 1},
        "stage": [
            {"steps": 2, "set": {"data.resolution": [2, 4]}},
            {"set": {"data.resolution": [4, 8], "scalars.blend": {"from": 0.0, "to": 1.0, "over": 2}}},
        ],
        **more,
    }  # fmt: skip


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run through both stages; tests read it only."""
    return lk.train(growing(photos), tmp_path_factory.mktemp("runs") / "oblong").path


def test_a_style_recipe_of_oblong_images_is_sound_in_all_stages(photos: Path) -> None:
    report = lk.check(growing(photos), thorough=True)
    assert report.ok, report.problems
    assert any("all 2 stages do" in line for line in report.shapes)
    page = lk.explain(growing(photos))
    assert "data.resolution = [2, 4]" in page
    assert "image[1,4,8]" in page


def test_it_trains_through_its_stages_and_its_model_has_the_size_of_the_last(run: Path) -> None:
    losses = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in losses] == [1, 2, 3, 4]
    assert np.isfinite([line["reciprocate.latent"] for line in losses]).all()
    model = lk.load(run)
    x = model.sample(3, seed=1)
    assert x.shape == (3, 1, 4, 8)
    assert model.reconstruct(x).shape == (3, 1, 4, 8)
    assert model.interpolate(x[:1], x[1:2], steps=5).shape == (1, 5, 1, 4, 8)


def test_a_grid_of_oblong_samples_has_cells_of_their_proportions(run: Path) -> None:
    with Image.open(run / "samples/00000004.png") as picture:
        pixels = np.asarray(picture)
    line = 104  # grey of the separators
    across = np.flatnonzero((pixels == line).all(0))
    down = np.flatnonzero((pixels == line).all(1))
    widths, heights = ({gap - 1 for gap in np.diff(lines).tolist() if gap > 1} for lines in (across, down))
    (width,), (height,) = widths, heights
    assert width == 2 * height


def test_pictures_are_cropped_to_the_proportions_and_read_at_each_stage(photos: Path) -> None:
    source = lk.compose(growing(photos)).wiring.data["data"]
    images = source.open(4, 8, 1).fields["image"]
    assert images.shape == (12, 1, 4, 8)
    middle = np.linspace(0, 200, 20)[2:18].reshape(8, 2).mean(1) + 8  # of 8 x 20 what lies between 2 and 18
    np.testing.assert_allclose(images[2, 0], np.tile(middle, (4, 1)), atol=1.5)
    everything = np.arange(12)
    samples = Samples("data", DataSpec(use="folder"), Table({"image": images}), everything, everything[:0])
    smaller = at_resolution(samples, samples.spec, 2, 4).table.fields["image"]
    assert np.array_equal(smaller, np.floor(images.reshape(12, 1, 2, 2, 4, 2).mean((3, 5)) + 0.5))


@pytest.mark.filterwarnings("default")
def test_the_command_reads_pictures_for_a_model_of_oblong_images(
    run: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("L", (5, 9)).save(tmp_path / "narrow.png")
    files = [str(photos / "01.png"), str(photos / "03.png"), str(tmp_path / "narrow.png")]
    assert main(["encode", str(run), *files, "--json"]) == 0
    done = capsys.readouterr()
    assert [len(row["code"]) for row in json.loads(done.out)] == [4, 4, 4]
    assert done.err == f"note: smaller than the model's 4 x 8 and enlarged: {tmp_path / 'narrow.png'}\n"
    assert main(["reconstruct", str(run), *files, "--out", str(tmp_path / "pairs.png")]) == 0
    assert (tmp_path / "pairs.png").is_file()


@pytest.mark.parametrize("recipe", ["gan", "biggan"])
def test_networks_that_are_made_for_squares_say_so(recipe: str) -> None:
    report = lk.check(recipe, {"data.resolution": [16, 32]})
    facts = [problem.fact for problem in report.problems]
    assert facts
    assert all("image of 16 x 32; expected a square of side 8, 16" in fact for fact in facts)


def test_a_level_of_other_proportions_is_refused_with_those_that_there_are(photos: Path) -> None:
    report = lk.check(growing(photos, stage=[{"set": {"data.resolution": [4, 4]}}]))
    assert any("images of 2 x 4, 4 x 8; found 4;" in problem.fact for problem in report.problems), report.problems


def test_a_lowest_level_that_leaves_no_statistics_is_refused_in_words(photos: Path) -> None:
    network = {"base": [2, 3], "levels": 2, "channels_base": 2, "max_channels": 4}
    parts = {"G": network, "E": network}
    report = lk.check(growing(photos, parts=parts, stage=[{"set": {"data.resolution": [4, 6]}}]))
    (problem,) = report.problems
    assert "base = [2, 3] leaves 1 x 1 of it; choose a base that leaves two pixels or more" in problem.fact


@pytest.mark.parametrize(("size", "found"), [([2, 2], "2 x 2"), ([3, 3], "3 x 3"), ([2, 4], "2 x 4"), (3, "3 x 3")])
def test_stages_whose_images_are_no_means_of_the_largest_are_refused(size: object, found: str) -> None:
    stages = [{"steps": 2, "set": {"data.resolution": size}}, {"steps": 2, "set": {"data.resolution": [4, 6]}}]
    report = lk.check({"extends": "alae-mlp", "train": {"steps": 4}, "stage": stages})
    (problem,) = report.problems
    assert problem.fact == f"in stage 1 images are {found}, in stage 2 4 x 6"
    assert problem.hint == "choose sizes of which the largest is a whole multiple, with the same proportions"


def test_perceptrons_take_oblong_images_of_any_source_of_core() -> None:
    model = lk.compose("alae-mlp", {"data.resolution": [6, 10], "parts.G.hidden": 8, "parts.E.hidden": 8})
    assert model.sample(2).shape == (2, 1, 6, 10)
    report = lk.check("alae-mlp", {"data.resolution": [6, 10], "parts.G.hidden": 8, "parts.E.hidden": 8})
    assert report.ok, report.problems


def test_metrics_name_both_sides_and_their_classifier_takes_oblong_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("latentkit.evaluation.classifier.STEPS", 2)
    images = np.random.default_rng(0).integers(0, 256, (20, 1, 40, 9), np.uint8)
    fields = {"image": images, "label": np.arange(20) % 2}
    everything = np.arange(20)
    samples = Samples("data", DataSpec(use="toy"), Table(fields), everything, everything[:0], 2)
    assert of_images(samples, everything)["resolution"] == [40, 9]
    features, shares = classifier_of(samples, tmp_path)(torch.rand(3, 1, 40, 9))
    assert (features.shape, shares.shape) == ((3, 64), (3, 2))
