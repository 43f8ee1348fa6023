"""Labelled images of a run's own data and of others, and how far edits of attributes move other attributes."""

from __future__ import annotations

import importlib
import math
from pathlib import Path

import attrs
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import latentkit as lk
from latentkit.errors import LatentkitError
from latentkit.evaluation import attribute_reader
from latentkit.interfaces import Direction
from latentkit.latent.entangling import Entanglement, measure_entanglement
from latentkit.latent.heat_maps import save_heat_maps
from latentkit.latent.labelled import Labelled, labelled_by_field, samples_of_pixels
from latentkit.latent.lattice import Lattice
from latentkit.model import Model

SIDE, COUNT = 8, 400
ANY_DATA: dict[str, object] = {
    "data.resolution": SIDE, "data.split": 0.75, "parts.E.hidden": 12, "parts.G.hidden": 12, "draw.z.dim": 3,
}  # fmt: skip
NARROW = {**ANY_DATA, "data.count": 60}


class Affine(nn.Module):
    def __init__(self, matrix: Tensor, bias: float, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.matrix, self.bias, self.shape = nn.Parameter(matrix), bias, shape

    def forward(self, value: Tensor) -> Tensor:
        rows = value.flatten(1)
        rows = (rows - self.bias) @ self.matrix if len(self.shape) == 1 else rows @ self.matrix + self.bias
        return rows.reshape(-1, *self.shape)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Readers that several tests need are trained once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _reader(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setattr(attribute_reader, "STEPS", 200)


@pytest.fixture
def rotation() -> Tensor:
    return torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(4)))[0]


@pytest.fixture
def painter(rotation: Tensor) -> Model:
    """Codes, rotated, are the brightness of the upper half, of the lower half, and of the left edge, around grey."""
    model = lk.compose("alae-mlp", NARROW)
    assert model.image_space.range == (0.0, 1.0)
    pattern = torch.zeros(3, 1, SIDE, SIDE)
    pattern[0, :, :4], pattern[1, :, 4:], pattern[2, :, :, 0] = 1, 1, 1
    matrix = rotation @ pattern.flatten(1)
    model.parts |= {"G": Affine(matrix, 0.5, (1, SIDE, SIDE)), "E": Affine(torch.linalg.pinv(matrix), 0.5, (3,))}
    return model


@pytest.fixture
def labelled(painter: Model, rotation: Tensor) -> Labelled:
    rng = np.random.default_rng(0)
    factors = rng.uniform(-0.25, 0.25, (COUNT, 3)).astype(np.float32) * np.array([1, 1, 0.2], np.float32)
    images = painter.decode(torch.from_numpy(factors) @ rotation.T)
    pixels = (images * 255).round().to(torch.uint8).numpy()
    samples = samples_of_pixels(painter, pixels)
    return Labelled(
        attributes=factors[:, :2] * np.array([1, 50], np.float32), names=("upper", "lower"), samples=samples,
        chosen=np.arange(COUNT),
    )  # fmt: skip


def direction(vector: Tensor, **more: object) -> Direction:
    return Direction(vector=vector, found="hand", **more)  # type: ignore[arg-type]


def test_edits_along_what_makes_an_attribute_move_it_alone(
    painter: Model, labelled: Labelled, rotation: Tensor
) -> None:
    known = {
        "lower": direction(3 * rotation[:, 1]),
        "upper": direction(rotation[:, 0]),
        "left": direction(torch.ones(3)),
    }
    found = measure_entanglement(painter, known, labelled)
    assert (found.names, found.n, found.amount, found.trained_on) == (("upper", "lower"), 80, 1.0, 320)
    torch.testing.assert_close(found.share, torch.eye(2, dtype=torch.float64), atol=0.1, rtol=0)
    # A move is as far as codes spread along the direction, which is as far as the attribute does.
    torch.testing.assert_close(found.change.diagonal(), torch.ones(2, dtype=torch.float64), atol=0.15, rtol=0)
    assert found.cosines is not None
    torch.testing.assert_close(found.cosines, torch.eye(2), atol=1e-6, rtol=0)
    assert found.off_diagonal < 0.1
    assert float(found.deviation.max()) < 0.2  # what is painted is linear in the code
    assert all(read.figure == "r2" and read.value > 0.95 for read in found.read)


def test_a_direction_that_has_another_attribute_in_it_shows_by_its_share(
    painter: Model, labelled: Labelled, rotation: Tensor
) -> None:
    mixed = direction(rotation @ torch.tensor([1.0, 0.5, 0.0]), scale=Lattice(slopes=torch.ones(3)), unit="widths")
    known = {"upper": mixed, "lower": direction(-rotation[:, 1])}
    found = measure_entanglement(painter, known, labelled, n=50, amount=0.7)
    torch.testing.assert_close(found.share, torch.tensor([[1, 0.5], [0, 1]], dtype=torch.float64), atol=0.1, rtol=0)
    assert found.n == 50
    assert float(found.change[1, 1]) == pytest.approx(-0.7, abs=0.1)  # the wrong way
    assert found.off_diagonal == pytest.approx(0.25, abs=0.06)
    again = measure_entanglement(painter, known, labelled, n=50, amount=0.7)
    assert torch.equal(again.share, found.share)


def test_codes_may_come_from_elsewhere_and_attributes_be_yes_or_no(
    painter: Model, labelled: Labelled, rotation: Tensor
) -> None:
    assert labelled.samples is not None
    codes = labelled.codes_of(painter, np.arange(COUNT))
    painter.wiring.inference.pop("encode")
    known = {"upper": direction(rotation[:, 0]), "lower": direction(rotation[:, 1])}
    with pytest.raises(LatentkitError, match="gives no codes of images: the recipe has no role 'encode'"):
        measure_entanglement(painter, known, labelled)
    found = measure_entanglement(painter, known, attrs.evolve(labelled, codes=codes).above(0.0))
    assert [read.figure for read in found.read] == ["accuracy", "accuracy"]
    assert all(read.value > 0.9 for read in found.read)
    torch.testing.assert_close(found.share, torch.eye(2, dtype=torch.float64), atol=0.1, rtol=0)


def test_what_cannot_be_measured_is_refused(painter: Model, labelled: Labelled, rotation: Tensor) -> None:
    known = {"upper": direction(rotation[:, 0])}
    assert labelled.samples is not None
    for directions, images, options, fact in (
        ({"zoom": known["upper"]}, labelled, {}, "directions are zoom, attributes upper, lower; `latentkit attributes"),
        ({}, labelled, {}, "directions are none"),
        (known, labelled, {"amount": 0.0}, "amount: expected a number above 0, found 0"),
        (known, labelled, {"amount": math.nan}, "amount: expected a number above 0, found nan"),
        (known, attrs.evolve(labelled, samples=None), {}, "expected held-out images with labels, found none"),
        (known, labelled.above(9.0), {}, "attributes: upper: the same for all training images"),
        ({"upper": direction(torch.ones(4))}, labelled, {}, "expected 3 numbers, as 'alae-mlp' has, found 4"),
        (
            known, attrs.evolve(labelled, codes=torch.ones(COUNT, 3)), {},
            "the codes of these images do not differ along it",
        ),
        (known, attrs.evolve(labelled, codes=torch.ones(COUNT, 4)), {}, r"expected \[n, 3\], .* found \[400, 4\]"),
    ):  # fmt: skip
        with pytest.raises(LatentkitError, match=fact):
            measure_entanglement(painter, directions, images, **options)  # type: ignore[arg-type]
    del painter.wiring.inference["decode"]
    with pytest.raises(LatentkitError, match="'alae-mlp': it has no role 'decode'"):
        measure_entanglement(painter, known, labelled)


def test_an_edit_that_changes_nothing_has_no_finite_row(painter: Model, labelled: Labelled, rotation: Tensor) -> None:
    painter.parts["G"] = Affine(torch.zeros(3, SIDE * SIDE), 0.5, (1, SIDE, SIDE))
    known = {"upper": direction(rotation[:, 0]), "lower": direction(rotation[:, 1])}
    found = measure_entanglement(painter, known, labelled)
    assert not found.share.isfinite().any()


def test_a_field_of_the_data_is_attributes_of_its_images() -> None:
    model = lk.compose("alae-mlp", NARROW)
    factors = labelled_by_field(model, "factors")
    assert factors.names == ("shape", "scale", "orientation", "x", "y")
    assert factors.attributes.shape == (60, 5)
    assert factors.chosen.tolist() == list(range(45))
    chosen = factors.only(["y", "scale", "y"])
    assert chosen.names == ("y", "scale")
    np.testing.assert_array_equal(chosen.attributes, factors.attributes[:, [4, 1]])
    examples = chosen.examples(model, 20)
    assert (tuple(examples.codes.shape), tuple(examples.attributes.shape)) == ((20, 3), (20, 2))
    classes = labelled_by_field(model, "label")
    assert classes.names == ("ellipse", "square", "heart")
    assert classes.attributes.sum(1).tolist() == [1] * 60
    halves = factors.above().attributes[:45]
    assert set(np.unique(halves)) == {0, 1}
    assert (halves[:, 1:].mean(0) > 0.4).all()


def test_classes_without_names_are_counted_and_what_is_the_same_for_all_is_known() -> None:
    digits = labelled_by_field(lk.compose("alae-mlp", {**ANY_DATA, "data.use": "digits"}), "label")
    assert digits.names[:3] == ("class-0", "class-1", "class-2")
    assert digits.constant() == ()
    few = attrs.evolve(digits, chosen=digits.chosen[:2])
    assert len(few.constant()) == 8


def test_fields_and_names_that_are_not_there_are_refused(tmp_path: Path) -> None:
    model = lk.compose("alae-mlp", NARROW)
    with pytest.raises(LatentkitError, match=r"own data \('sprites' has label, factors\), found 'labels'"):
        labelled_by_field(model, "labels")
    found = labelled_by_field(model, "factors")
    with pytest.raises(LatentkitError, match=r"expected some of shape, .* found scal\n  did you mean 'scale'"):
        found.only(["scal"])
    with pytest.raises(LatentkitError, match=r"expected attributes \[n, k\] and k names that differ"):
        attrs.evolve(found, names=("a", "a", "b", "c", "d"))
    for index in range(3):
        Image.new("L", (8, 8), 50 * index).save(tmp_path / f"{index}.png")
    pictures = {"data.use": "folder", "data.path": str(tmp_path), "data.channels": 1, "data.cache": str(tmp_path)}
    unlabelled = lk.compose("alae-mlp", {**ANY_DATA, **pictures})
    with pytest.raises(LatentkitError, match="'folder' has no labels"):
        labelled_by_field(unlabelled, "label")


def matrix(size: int) -> Entanglement:
    share = torch.eye(size, dtype=torch.float64)
    share[0, -1] = math.nan
    return Entanglement(
        names=tuple(f"attribute {index}" for index in range(size)), change=share, deviation=share, share=share,
        cosines=None, read=(), amount=1.0, n=1, trained_on=1,
    )  # fmt: skip


def test_heat_maps_stand_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_heat_maps({"one": matrix(3)}, tmp_path / "one.png")
    save_heat_maps({"one": matrix(3), "other": matrix(3)}, tmp_path / "both.png")
    with Image.open(tmp_path / "one.png") as one, Image.open(tmp_path / "both.png") as both:
        assert both.width == pytest.approx(2 * one.width, abs=1)
        assert both.height == one.height
        red = np.array(one)
    assert (red == red[red.shape[0] // 2, red.shape[1] // 2]).all(-1).mean() > 0.02  # a cell of the diagonal
    with pytest.raises(LatentkitError, match="expected at least one matrix"):
        save_heat_maps({}, tmp_path / "none.png")

    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(LatentkitError, match=r"heat maps need matplotlib: pip install 'latentkit\[eval\]'"):
        save_heat_maps({"one": matrix(2)}, tmp_path / "one.png")
