"""``invert``: codes of pictures by search."""

from __future__ import annotations

from collections import abc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import latentkit as lk
from latentkit import pictures

Command = abc.Callable[..., Any]


@pytest.fixture
def drawn(run: Path, tmp_path: Path) -> Path:
    """A folder of three images that the model itself has made."""
    model = lk.load(run)
    images = model.sample(3, seed=5)
    low, high = model.image_space.range  # type: ignore[misc]
    for index, image in enumerate(images):
        pictures.save_png(
            pictures.grid(image[None].numpy(), (low, high), pad=0, scale=1), tmp_path / f"made/{index}.png"
        )
    return tmp_path / "made"


def test_a_longer_search_comes_nearer_and_codes_are_written(latentkit: Command, run: Path, drawn: Path) -> None:
    few = latentkit("invert", run, drawn, "--steps", 1, "--error", "pixel", "--json", "--out", "few.png").json
    done = latentkit(
        "invert", run, drawn, "--steps", 150, "--error", "pixel", "--json", "--codes", "codes.npz", "--out", "many.png"
    )
    assert done.json["error"] < 0.8 * few["error"]  # pictures are cut off at black and white, the model is not
    with np.load("codes.npz") as found:
        assert found["codes"].shape == (3, 50)
        assert [Path(name).name for name in found["files"]] == ["0.png", "1.png", "2.png"]
    with Image.open("many.png") as many, Image.open("few.png") as one:
        assert many.size == one.size


def test_a_search_may_begin_at_the_mean_and_leave_the_worst_out(latentkit: Command, run: Path, drawn: Path) -> None:
    done = latentkit("invert", run, drawn, "--start", "mean", "--steps", 4, "--reject", 3)
    assert done.code == 0
    assert done.out.startswith("wrote tiny-inverted.png\nmean error ")
    assert done.out.count("left out: ") == 1
    assert done.err.count("images 1-3: update ") == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--start", "zero"], "--start zero: expected encoder or mean"),
        (["--error", "l1"], "--error l1: expected filtered or pixel"),
        (["--sigma", "0.1"], "sigma: expected at least 1/3 of a pixel, found 0.1"),
        (["--codes", "codes.txt"], "--codes codes.txt: expected a name that ends in .npz or .safetensors or .csv"),
    ],
)
def test_what_cannot_be_searched_ends_with_2_and_a_message(
    latentkit: Command, run: Path, drawn: Path, words: list[str], message: str
) -> None:
    done = latentkit("invert", run, drawn, "--steps", 1, *words)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert "Traceback" not in done.err


def test_a_model_without_an_encoder_names_the_search() -> None:
    model = lk.compose("alae-mlp", {"parts.G.hidden": 8, "parts.E.hidden": 8})
    blind = lk.Model(model.wiring, model.parts)
    del blind.wiring.inference["encode"]
    with pytest.raises(lk.LatentkitError, match="`latentkit invert` searches codes of images"):
        blind.reconstruct(model.sample(1))
