"""``mix``, and scalars that are given to ``sample``, on a tiny model with styles."""

from __future__ import annotations

from collections import abc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import latentkit as lk
from latentkit import mixing
from latentkit_cli import main

Command = abc.Callable[..., Any]

RECIPE = """
extends = "stylealae"
remove = ["stage"]
data = { resolution = 16, count = 12 }
draw.z.dim = 4
parts = { F.layers = 1, G = { channels_base = 2, levels = 3 }, E = { channels_base = 2, levels = 3 } }
train = { steps = 1, batch = 4 }
"""


@pytest.fixture(scope="module")
def styled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a model with six layers of styles, after one step; tests read it only."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "styled.toml").write_text(RECIPE)
    assert main(["compose", str(folder / "styled.toml"), "--out", str(folder / "run"), "--json"]) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def model(styled: Path) -> lk.Model:
    return lk.load(styled)


def codes(*seeds: int) -> torch.Tensor:
    return torch.stack([torch.randn(4, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


def test_layers_have_the_names_of_the_published_figures() -> None:
    assert mixing.named_layers(18) == {"coarse": range(4), "middle": range(4, 8), "fine": range(8, 18)}
    assert mixing.named_layers(10) == {"coarse": range(4), "middle": range(4, 8), "fine": range(8, 10)}
    assert mixing.named_layers(8) == {"coarse": range(4), "middle": range(4, 6), "fine": range(6, 8)}
    assert mixing.named_layers(2) == {"coarse": range(1), "middle": range(1, 2)}
    assert mixing.chosen_layers("2-5", 8) == range(2, 6)
    assert mixing.chosen_layers("7", 8) == range(7, 8)


@pytest.mark.parametrize("layers", range(1, 19))
def test_named_layers_are_all_layers_once_in_order(layers: int) -> None:
    assert [layer for there in mixing.named_layers(layers).values() for layer in there] == list(range(layers))


@pytest.mark.parametrize("text", ["8", "3-2", "-1", "1-", "", "blue", "0-8", "0 - x", "²"])
def test_layers_that_are_not_there_are_refused_with_those_that_are(text: str) -> None:
    with pytest.raises(lk.LatentkitError, match=r"coarse \(0-3\), middle \(4-5\), fine \(6-7\).* layers 0 to 7"):
        mixing.chosen_layers(text, 8)


def test_images_of_the_styles_of_codes_are_those_that_decode_makes(model: lk.Model) -> None:
    made = mixing.styles(model, codes(1, 2))
    assert made.shape == (2, 6, 4)
    assert torch.equal(made[:, 0], codes(1, 2))
    assert torch.equal(mixing.images_of_styles(model, made), model.decode(codes(1, 2)))


def test_an_image_has_the_layers_of_its_source_and_the_others_of_its_destination(model: lk.Model) -> None:
    source, destination = codes(1, 2), codes(3, 4, 5)
    mixed = model.mix(source, destination, "1-2")
    assert mixed.shape == (3, 2, 1, 16, 16)
    rows = [[torch.stack([b, a, a, b, b, b]) for a in source] for b in destination]
    by_hand = torch.stack([styles for row in rows for styles in row])
    assert torch.equal(mixed.flatten(0, 1), mixing.images_of_styles(model, by_hand))


def test_mixing_all_layers_is_the_source_and_none_the_destination(model: lk.Model) -> None:
    source, destination = codes(1), codes(2)
    assert torch.equal(model.mix(source, destination, range(6))[0], model.decode(source))
    assert torch.equal(model.mix(source, destination, [])[0], model.decode(destination))


def test_a_mixing_picture_has_heads_sides_and_a_band_for_each_group_of_layers(
    latentkit: Command, styled: Path, tmp_path: Path
) -> None:
    Image.new("L", (16, 16), 200).save(tmp_path / "a.png")
    done = latentkit("mix", styled, "--source", "1,2", "--source", tmp_path / "a.png", "--destination", "7,8")
    assert (done.code, done.out) == (
        0, "wrote run-mixing.png\nlayers from above: coarse 0-2, middle 3-4, fine 5-5\n",
    )  # fmt: skip
    picture = np.asarray(Image.open("run-mixing.png"))
    scale = (760 - 5 * 2) // (4 * 16)
    side, gap = 16 * scale + 2, 6
    assert picture.shape == (7 * side + 4 * 2 + 3 * gap, 4 * side + 2)
    assert np.ptp(picture[2:side, 2:side]) == 0  # the corner is empty
    assert np.ptp(picture[2:side, side + 2 : 2 * side]) > 0


def test_mixing_tells_programs_what_it_did(latentkit: Command, styled: Path) -> None:
    done = latentkit("mix", styled, "--source", 1, "--destination", 2, "--layers", "0-1", "--json", "--out", "m.png")
    assert done.json == {"file": "m.png", "sources": 1, "destinations": 1, "layers": {"0-1": [0, 1]}}


def test_a_model_without_styles_cannot_mix_and_says_what_it_needs(latentkit: Command, run: Path) -> None:
    done = latentkit("mix", run, "--source", 1, "--destination", 2)
    assert done.code == 2
    assert "makes no styles: mixing needs a 'decode' in which a part makes styles[layers, dim]" in done.err


def test_a_model_that_reads_the_code_beside_its_styles_cannot_mix(tmp_path: Path) -> None:
    (tmp_path / "beside.toml").write_text(RECIPE + '[inference]\ndecode = "G(S(w), blend, noise) + mean(w)"\n')
    beside = lk.compose(tmp_path / "beside.toml")
    with pytest.raises(lk.LatentkitError, match="'decode' reads the code beside its styles"):
        beside.mix(codes(1), codes(2))


def test_layers_that_a_model_does_not_have_end_with_2(latentkit: Command, styled: Path) -> None:
    done = latentkit("mix", styled, "--source", 1, "--destination", 2, "--layers", "6-7")
    assert (done.code, done.out) == (2, "")
    assert "layers '6-7': expected coarse (0-2), middle (3-4), fine (5-5), or A-B" in done.err


def test_samples_are_made_with_the_scalar_that_is_given(latentkit: Command, styled: Path, model: lk.Model) -> None:
    for psi in ("1", "0.5", "0"):
        assert latentkit("sample", styled, "-n", 3, "--given", f"psi={psi}", "--out", f"{psi}.png").code == 0
    assert latentkit("sample", styled, "-n", 3, "--out", "plain.png").code == 0
    whole, half, none, plain = (Path(f"{name}.png").read_bytes() for name in ("1", "0.5", "0", "plain"))
    assert whole == plain
    assert len({whole, half, none}) == 3
    still = model.sample(3, psi=0.0, noise=torch.zeros(3, 2 * (16 + 64 + 256)))
    assert torch.equal(still[0], still[1])  # all of them the average


@pytest.mark.parametrize("value", ["", "much", "nan", "inf", "1e999"])
def test_a_scalar_that_is_no_number_ends_with_2_and_a_message(latentkit: Command, styled: Path, value: str) -> None:
    done = latentkit("sample", styled, "--given", f"psi={value}")
    assert (done.code, done.out) == (2, "")
    assert f"--given psi={value}: expected a number, found '{value}'" in done.err
