"""``interpolate`` on a tiny run: strips, grids, animations, and what is refused."""

from __future__ import annotations

from collections import abc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

import latentkit as lk
from latentkit_cli import main

Command = abc.Callable[..., Any]

SIDE = 28
STRIP, ANIMATED = 2, 13  # pixels a pixel is drawn with: nine images in a row, and one alone


@pytest.fixture(scope="module")
def blind(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a model that makes images of draws and decodes nothing; tests read it only."""
    place = tmp_path_factory.mktemp("runs")
    recipe, folder = place / "unread.toml", place / "blind"
    recipe.write_text('title = "A GAN"\nextends = "gan"\nremove = ["inference.code", "inference.decode"]\n')
    sizes = {"data.resolution": 8, "data.count": 12, "train.batch": 4, "draw.z.dim": 4}
    sizes |= {f"parts.{part}.channels_base": 2 for part in "GD"}
    assert main(["compose", str(recipe), "--out", str(folder), "--steps", "1", "--json",
                 *(word for key, value in sizes.items() for word in ("--set", f"{key}={value}"))]) == 0  # fmt: skip
    return folder


def pixels(name: str) -> np.ndarray:
    with Image.open(name) as picture:
        return np.asarray(picture)


def frames(name: str) -> list[np.ndarray]:
    with Image.open(name) as picture:
        return [np.asarray(frame.convert("L")) for frame in ImageSequence.Iterator(picture)]


def cell(picture: np.ndarray, row: int, column: int, scale: int, gap: int) -> np.ndarray:
    """An image of a picture, as the model made it."""
    top, left = 2 + row * (SIDE * scale + gap), 2 + column * (SIDE * scale + 2)
    return picture[top : top + SIDE * scale : scale, left : left + SIDE * scale : scale]


def levels(images: torch.Tensor) -> np.ndarray:
    """Images of the model, in [0, 1], as grey levels."""
    return np.rint(np.clip(images.double().numpy(), 0, 1) * 255).astype(np.uint8)[..., 0, :, :]


def seeds(model: lk.Model, *numbers: int) -> list[torch.Tensor]:
    return [model.values([model.wiring.code], 1, seed=number)[0] for number in numbers]


def test_the_way_between_seeds_and_pictures_is_a_strip(latentkit: Command, run: Path, scans: Path) -> None:
    assert latentkit("interpolate", run, 1, 2).out == "wrote tiny-interpolation.png\n"
    model = lk.load(run)
    between = levels(model.interpolate(*seeds(model, 1, 2)))
    strip = pixels("tiny-interpolation.png")
    for column in range(9):
        np.testing.assert_array_equal(cell(strip, 0, column, STRIP, 0), between[0, column])
    done = latentkit(
        "interpolate", run, 1, scans / "a.png", "--steps", 3, "--mode", "spherical", "--out", "s.png", "--json"
    )
    assert (done.code, done.json["steps"], done.json["mode"], done.json["pairs"]) == (0, 3, "spherical", 1)
    height, width = pixels("s.png").shape
    assert width > 2.5 * height


def test_the_three_modes_agree_at_the_ends_or_not_and_differ_between(latentkit: Command, run: Path) -> None:
    for mode in ("linear", "spherical", "normalized"):
        assert latentkit("interpolate", run, 1, 2, "--mode", mode, "--out", f"{mode}.png").code == 0
    straight, arc, normal = (pixels(f"{mode}.png") for mode in ("linear", "spherical", "normalized"))
    for column in (0, 8):
        np.testing.assert_array_equal(cell(straight, 0, column, STRIP, 0), cell(arc, 0, column, STRIP, 0))
    assert len({cell(strip, 0, 4, STRIP, 0).tobytes() for strip in (straight, arc, normal)}) == 3


def test_several_ends_make_a_row_for_each_pair(latentkit: Command, run: Path, scans: Path) -> None:
    done = latentkit("interpolate", run, "1,2", scans, "--json")
    assert (done.code, done.json["pairs"], done.json["ends"]) == (0, 2, ["1,2", str(scans)])
    both = pixels("tiny-interpolation.png")
    for row, (seed, scan) in enumerate([(1, "a.png"), (2, "b.jpg")]):
        assert latentkit("interpolate", run, seed, scans / scan, "--out", "one.png").code == 0
        for column in (0, 3, 8):
            alone = cell(pixels("one.png"), 0, column, STRIP, 0)
            near = cell(both, row, column, STRIP, 10).astype(int) - alone
            assert abs(near).max() <= 1  # products of other batches round otherwise


def test_four_ends_are_the_corners_of_a_grid(latentkit: Command, run: Path) -> None:
    done = latentkit("interpolate", run, 1, 2, 3, 4, "--out", "grid.png", "--json")
    assert (done.code, done.json["ends"], done.json["steps"]) == (0, ["1", "2", "3", "4"], 9)
    grid = pixels("grid.png")
    assert grid.shape == (9 * SIDE * STRIP + 20, 9 * SIDE * STRIP + 20)
    model = lk.load(run)
    between = levels(model.interpolate_grid(*seeds(model, 1, 2, 3, 4)))[0]
    for row in range(9):
        for column in range(9):
            np.testing.assert_array_equal(cell(grid, row, column, STRIP, 2), between[row, column])


@pytest.mark.parametrize("name", ["way.gif", "way.png"])
def test_an_animation_goes_there_and_back_from_the_first_image_of_the_strip(
    latentkit: Command, run: Path, name: str
) -> None:
    latentkit("interpolate", run, 1, 2, "--out", "strip.png")
    strip = pixels("strip.png")
    how = ("--steps", 9, "--animate", "--duration", 2.5, "--out", name)
    done = latentkit("interpolate", run, 1, 2, *how, "--json")
    assert (done.code, done.json["frames"], done.json["duration"]) == (0, 16, 2.5)
    shown = frames(name)
    assert len(shown) == 16
    assert len({frame.tobytes() for frame in shown}) == 9
    for index, column in enumerate([*range(9), *range(7, 0, -1)]):
        np.testing.assert_array_equal(shown[index][::ANIMATED, ::ANIMATED], cell(strip, 0, column, STRIP, 0))
    with Image.open(name) as picture:
        assert picture.info["loop"] == 0
        assert sum(frame.info["duration"] for frame in ImageSequence.Iterator(picture)) == 2500


def test_an_animation_of_several_pairs_has_all_of_them_in_each_frame(latentkit: Command, run: Path) -> None:
    assert latentkit("interpolate", run, "1,2,3,4", "5,6,7,8", "--animate", "--steps", 3).out == (
        "wrote tiny-interpolation.gif\n"
    )
    shown = frames("tiny-interpolation.gif")
    assert len(shown) == 4
    scale = 380 // (2 * SIDE + 6)
    assert shown[0].shape == (2 * SIDE * scale + 6, 2 * SIDE * scale + 6)
    model = lk.load(run)
    a, b = torch.cat(seeds(model, 1, 2, 3, 4)), torch.cat(seeds(model, 5, 6, 7, 8))
    between = levels(model.interpolate(a, b, 3))
    for step in range(3):
        for index in range(4):
            found = cell(shown[step], index // 2, index % 2, scale, 2)
            np.testing.assert_array_equal(found, between[index, step])


def test_a_name_that_ends_in_gif_moves_by_itself(latentkit: Command, run: Path) -> None:
    done = latentkit("interpolate", run, 1, 2, "--out", "deep/WAY.GIF", "--json")
    assert (done.code, done.json["steps"], done.json["frames"], done.json["duration"]) == (0, 30, 58, 3.0)
    assert len(frames("deep/WAY.GIF")) == 58


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["1", "two"], "no such file or folder: two"),
        (["-1", "2"], "No such option"),
        (["1"], "Missing argument 'B'"),
        (["1", "2", "3"], "expected two ends, A and B, or four corners of a grid, found 3; several A are one"),
        (["1", "2", "3", "4", "5"], "unexpected extra argument"),
        (["1,2,3", "4,5"], "A, '1,2,3', is 3 images or seeds, and B, '4,5', is 2: expected as many"),
        (["1", "SCANS"], "is 2: expected as many, as each row goes from one A to one B"),
        (["1", "2", "3,4", "5"], "'3,4' is 2 images or seeds: a corner of a grid is one"),
        (["1", "2", "--steps", "1"], "Invalid value for '--steps'"),
        (["1", "2", "--mode", "cubic"], "mode 'cubic': expected linear, spherical or normalized"),
        (["1", "2", "--out", "way.mp4"], "--out way.mp4: expected a name that ends in .png or .gif"),
        (["1", "2", "--out", "way.webp", "--animate"], "--out way.webp: expected a name that ends in .gif or .png"),
        (["1", "2", "3", "4", "--animate"], "an animation goes from A to B, found four ends; two A and two B are two"),
        (["1", "2", "3", "4", "--out", "grid.gif"], "an animation goes from A to B, found four ends"),
        (["1", "2", "--duration", "2"], "--duration: is of an animation, so it needs --animate, or --out FILE.gif"),
        (["1", "2", "--animate", "--duration", "0.5"], "a duration of 1.16 to 60 seconds for 58 frames, found 0.5"),
        (["1", "SCANS/notes.txt"], "no picture that can be read: "),
    ],
)  # fmt: skip
def test_mistakes_end_with_2_and_a_message(
    latentkit: Command, run: Path, scans: Path, arguments: list[str], message: str
) -> None:
    done = latentkit("interpolate", run, *(item.replace("SCANS", str(scans)) for item in arguments))
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert "Traceback" not in done.err
    assert not list(Path().iterdir())


def test_a_run_that_decodes_nothing_says_so(latentkit: Command, blind: Path, scans: Path) -> None:
    for ends in ((1, 2), (scans / "a.png", 1), (1, 2, 3, 4)):
        done = latentkit("interpolate", blind, *ends)
        assert (done.code, done.out) == (2, "")
        assert "'unread' has no role 'decode'; it has: sample" in done.err
