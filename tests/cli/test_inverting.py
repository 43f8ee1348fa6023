"""``invert``: codes of pictures by search."""

from __future__ import annotations

from collections import abc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import latentkit as lk
from latentkit import pictures
from latentkit.evaluation import classifier
from latentkit.latent.decoding import decoder
from latentkit.latent.filtered import squared_error
from latentkit.latent.inversion import Inversion
from latentkit_cli import main
from latentkit_cli.searching import begun, searched

Command = abc.Callable[..., Any]


def trained(folder: Path, recipe: str, **sizes: object) -> Path:
    """A run of one step."""
    words = [word for key, value in sizes.items() for word in ("--set", f"{key.replace('__', '.')}={value}")]
    assert main(["compose", recipe, "--out", str(folder), "--steps", "1", "--json", *words]) == 0
    return folder


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a generator without encoder; tests read it only."""
    sizes = {"data__resolution": 8, "data__count": 12, "draw__z__dim": 4, "train__batch": 4}
    widths = {f"parts__{part}__channels_base": 2 for part in "GD"}
    return trained(tmp_path_factory.mktemp("runs") / "plain", "gan", **sizes, **widths)


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
    assert ", at first " in done.out
    assert done.out.count("left out: ") == 1
    assert done.err.count("images 1-3: update ") == 4


def test_json_has_the_error_of_each_image_and_where_the_search_began(
    latentkit: Command, run: Path, drawn: Path
) -> None:
    found = latentkit("invert", run, drawn, "--steps", 30, "--error", "pixel", "--rate", 0.02, "--json").json
    assert (found["n"], len(found["errors"]), found["left_out"]) == (3, 3, [])
    assert found["error"] == pytest.approx(sum(found["errors"]) / 3, rel=1e-5)
    assert found["error"] < found["error_before"]


def test_a_generator_without_an_encoder_is_searched_from_the_mean(latentkit: Command, plain: Path, scans: Path) -> None:
    done = latentkit("invert", plain, scans, "--steps", 4, "--json")
    assert (done.code, done.json["n"], done.json["sigma"]) == (0, 2, 1.0)
    for words in (["reconstruct", plain, scans], ["encode", plain, scans], ["interpolate", plain, 1, scans / "a.png"]):
        done = latentkit(*words)
        assert (done.code, done.out) == (2, "")
        assert "'gan' has no role 'encode'; it has: sample, decode\n  `latentkit invert` searches codes" in done.err
    done = latentkit("invert", plain, scans, "--start", "encoder")
    assert (done.code, done.err) == (2, "error: --start encoder: 'gan' has none; take --start mean\n")


def test_images_are_compared_in_the_maps_of_the_classifier_of_the_data(
    latentkit: Command, run: Path, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(classifier, "STEPS", 5)
    done = latentkit("invert", run, drawn, "--steps", 40, "--error", "features", "--json")
    assert (done.code, done.json["network"], len(done.json["network_sha256"])) == (0, "classifier", 64)
    assert done.json["error"] < done.json["error_before"]
    assert done.err.startswith("comparing with a small classifier of the run's own data")
    assert latentkit("invert", run, drawn, "--steps", 1, "--error", "features").out.count("(features) of 3 images") == 1


def test_the_picture_is_of_what_was_searched_where_images_have_draws_besides_codes(tmp_path: Path) -> None:
    sizes = {"data.resolution": 8, "draw.z.dim": 4, "parts.F.layers": 1, "parts.G.channels_base": 2}
    model = lk.compose({"extends": "stylegan", "remove": ["stage"]}, {**sizes, "parts.D.channels_base": 2})
    for name, weight in model.parts["G"].named_parameters():
        if name.endswith("strength"):
            weight.data.fill_(1.0)
    targets = torch.rand(3, 1, 8, 8)
    how = Inversion(steps=2, error=squared_error, bounded=False)
    found = searched(decoder(model, seed=7), targets, begun(model, targets, None, 0), how)
    torch.testing.assert_close(squared_error(found.images, targets), found.errors)
    assert not torch.allclose(squared_error(model.decode(found.codes), targets), found.errors)
    assert (found.errors < found.before).all()


def test_a_search_that_has_gone_astray_is_told_of(latentkit: Command, plain: Path, scans: Path) -> None:
    done = latentkit("invert", plain, scans, "--rate", 1e6, "--free", "--steps", 3)
    assert done.code == 0
    assert "of 2 searches ended farther away than they began; try a smaller --rate" in done.err


def test_labels_are_given_to_the_search(latentkit: Command, tmp_path: Path, scans: Path) -> None:
    sizes = {"data__resolution": 8, "data__count": 12, "draw__z__dim": 4, "train__batch": 4}
    widths = {f"parts__{part}__channels_base": 2 for part in "GD"}
    labelled = trained(tmp_path / "labelled", "biggan", **sizes, **widths)
    errors = [
        latentkit("invert", labelled, scans, "--steps", 1, "--given", f"y={y}", "--json").json["errors"] for y in (0, 1)
    ]
    assert errors[0] != errors[1]
    done = latentkit("invert", labelled, scans, "--given", "y=3")
    assert (done.code, "--given y=3: expected a class from 0 to 2" in done.err) == (2, True)


def test_a_model_that_makes_no_images_of_codes_is_refused(latentkit: Command, scans: Path, tmp_path: Path) -> None:
    Path("blind.toml").write_text('extends = "gan"\nremove = ["inference.decode", "inference.code"]')
    sizes = {"data__resolution": 8, "data__count": 12, "draw__z__dim": 4, "train__batch": 4}
    widths = {f"parts__{part}__channels_base": 2 for part in "GD"}
    blind = trained(tmp_path / "blind", "blind.toml", **sizes, **widths)
    for words in ([], ["--given", "y=1"]):
        done = latentkit("invert", blind, scans, *words)
        assert (done.code, done.err) == (2, "error: 'blind' has no role 'decode'; it has: sample\n")
    done = latentkit("reconstruct", blind, scans)
    assert (done.code, done.err) == (2, "error: 'blind' has no role 'encode'; it has: sample\n")


def test_the_mean_is_that_of_the_codes_of_samples_where_codes_of_images_are_encoded() -> None:
    model = lk.compose("vae", {"data.resolution": 8, "parts.E.channels_base": 2, "parts.G.channels_base": 2})
    targets = torch.rand(2, 1, 8, 8)
    mean = begun(model, targets, "mean", 0)
    assert mean.shape == model.encode(targets).shape
    assert float(mean.abs().max()) < 0.15  # of 1000 draws of N(0, I)
    assert torch.equal(begun(model, targets, None, 0), model.encode(targets))
    blind = lk.compose("ae", {"data.resolution": 8, "parts.E.channels_base": 2, "parts.G.channels_base": 2})
    with pytest.raises(lk.LatentkitError, match="'ae' computes its code from x and draws none; take --start encoder"):
        begun(blind, targets, "mean", 0)


def test_searches_that_are_not_finite_are_left_out_and_none_that_is_finite_is_an_error(
    latentkit: Command, run: Path, drawn: Path
) -> None:
    done = latentkit("invert", run, drawn, "--steps", 3, "--rate", 1e38, "--free", "--error", "pixel")
    assert (done.code, done.out) == (2, "")
    assert "none of 3 searches found a code: no error is finite; try a smaller --rate, or --start mean" in done.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--start", "zero"], "--start zero: expected encoder or mean"),
        (["--error", "l1"], "--error l1: expected filtered, pixel or features"),
        (["--sigma", "0.1"], "sigma: expected at least 1/3 of a pixel, found 0.1"),
        (["--sigma", "2", "--error", "pixel"], "--sigma: is of the filter, so it needs --error filtered"),
        (["--features", "vgg.pth"], "--features: is of the network, so it needs --error features"),
        (["--features", "gone.pth", "--error", "features"], "gone.pth: no such file"),
        (["--rate", "0"], "rate: expected more than 0, found 0"),
        (["--reject", "4"], "--reject 4: leaves out one image in 4, and there are 3"),
        (["--given", "y=1"], "'decode' of this model reads no label and no scalar"),
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


def test_equal_errors_are_not_rejected_in_silence(latentkit: Command, run: Path, drawn: Path) -> None:
    done = latentkit("invert", run, drawn / "0.png", drawn / "0.png", "--steps", 1, "--reject", 2)
    assert (done.code, done.out) == (2, "")
    assert "--reject 2: no error is below the others', so nothing would be left" in done.err


def test_a_model_without_an_encoder_names_the_search_for_every_use_of_images() -> None:
    model = lk.compose("alae-mlp", {"parts.G.hidden": 8, "parts.E.hidden": 8})
    del model.wiring.inference["encode"]
    x = model.sample(1)
    said = r"no role 'encode'.*\n  `latentkit invert` searches codes of images"
    for use in (model.encode, model.reconstruct, lambda x: model.interpolate(x, x), lambda x: model.mix(x, x)):
        with pytest.raises(lk.LatentkitError, match=said):
            use(x)
    del model.wiring.inference["decode"]
    with pytest.raises(lk.LatentkitError, match=r"'alae-mlp' has no role 'encode'; it has: sample, features$"):
        model.reconstruct(x)
