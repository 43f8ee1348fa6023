"""The network that reads attributes off images: what it tells, its cache, its figures."""

from __future__ import annotations

from pathlib import Path

import attrs
import numpy as np
import pytest
import torch
from torch import Tensor

from latentkit.engine.samples import Samples
from latentkit.errors import LatentkitError
from latentkit.evaluation import attribute_reader
from latentkit.evaluation.attribute_reader import Agreement, AttributeReader, agreements, reader_of
from latentkit.interfaces import Table
from latentkit.recipe.schema import DataSpec

COUNT, TRAINING = 400, 300


@pytest.fixture
def labelled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Samples, np.ndarray]:
    """Images whose upper half is as bright as the first attribute says, and whose lower half is lit by the second."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(attribute_reader, "STEPS", 150)
    rng = np.random.default_rng(0)
    attributes = np.stack([rng.uniform(-2, 6, COUNT), rng.integers(0, 2, COUNT)], 1).astype(np.float32)
    images = np.empty((COUNT, 1, 8, 8), np.uint8)
    images[:, :, :4] = ((attributes[:, 0] + 2) * 30)[:, None, None, None]
    images[:, :, 4:] = (attributes[:, 1] * 200)[:, None, None, None]
    indices = np.arange(COUNT)
    samples = Samples("x", DataSpec(use="npz"), Table({"image": images}), indices[:TRAINING], indices[TRAINING:])
    return samples, attributes


def pixels(samples: Samples, indices: np.ndarray) -> Tensor:
    return torch.from_numpy(samples.table.fields["image"][indices]).float() / 255


def test_numbers_are_read_in_their_own_unit_and_others_as_probabilities(
    labelled: tuple[Samples, np.ndarray],
) -> None:
    samples, attributes = labelled
    reader = reader_of(samples, attributes)
    assert reader.binary.tolist() == [False, True]
    assert reader.trained_on == TRAINING
    read = reader(pixels(samples, samples.held_out)).numpy()
    assert np.abs(read[:, 0] - attributes[samples.held_out, 0]).mean() < 0.5
    assert ((read[:, 1] >= 0) & (read[:, 1] <= 1)).all()
    told = agreements(reader, [pixels(samples, samples.held_out)], attributes[samples.held_out])
    assert [it.figure for it in told] == ["r2", "accuracy"]
    assert told[0].value > 0.9 > 0.1 > abs(told[0].guess)
    assert told[1].value > 0.95
    assert 0.3 < told[1].guess < 0.7


def test_figures_are_shares_of_what_is_right_and_of_variance() -> None:
    class Fixed:
        binary = torch.tensor([True, False])
        mean = torch.tensor([0.7, 2.0], dtype=torch.float64)

        def __call__(self, images: Tensor) -> Tensor:
            return images.flatten(1).double()

    read = torch.tensor([[0.9, 1.0], [0.4, 2.0], [0.6, 3.0], [0.2, 5.0]])[:, :, None, None]
    known = np.array([[1, 0], [1, 2], [1, 4], [0, 6]], np.float32)
    reader: AttributeReader = Fixed()  # type: ignore[assignment]
    told = agreements(reader, [read[:3], read[3:]], known)
    assert told == (
        Agreement(figure="accuracy", value=0.75, guess=0.75),
        Agreement(figure="r2", value=1 - (1 + 0 + 1 + 1) / 20, guess=1 - (4 + 0 + 4 + 16) / 20),
    )


def test_the_reader_is_trained_once_and_always_the_same(
    labelled: tuple[Samples, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples, attributes = labelled
    images = pixels(samples, samples.held_out[:5])
    first, other = (reader_of(samples, attributes, tmp_path / name)(images) for name in ("a", "b"))
    assert torch.equal(first, other)
    monkeypatch.setattr(attribute_reader, "train_network", lambda *_: pytest.fail("trained again"))
    assert torch.equal(reader_of(samples, attributes, tmp_path / "a")(images), first)
    for changed in (attributes[:, :1], attributes + np.float32(1e-3)):
        with pytest.raises(pytest.fail.Exception, match="trained again"):
            reader_of(samples, changed, tmp_path / "a")
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        reader_of(attrs.evolve(samples, training=samples.training[:-1]), attributes, tmp_path / "a")


def test_attributes_without_variation_are_refused(labelled: tuple[Samples, np.ndarray]) -> None:
    samples, attributes = labelled
    with pytest.raises(LatentkitError, match="expected each to differ between training images"):
        reader_of(samples, attributes * np.array([1, 0], np.float32))
