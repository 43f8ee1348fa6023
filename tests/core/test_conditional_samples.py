"""The metric ``sample-class``: whether samples are of the class that they were asked to be."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from latentkit.api import compose
from latentkit.engine.samples import Samples
from latentkit.evaluation import classifier
from latentkit.evaluation.evaluate import evaluate
from latentkit.evaluation.subjects import labels, samples_of
from latentkit.model import Model

COUNT = 600
NARROW: dict[str, object] = {
    "data.use": "digits", "data.resolution": 8, "data.split": [0, COUNT], "draw.z.dim": 4, "draw.y.classes": 10,
    "parts.G.channels_base": 2, "parts.D.channels_base": 2,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(classifier, "STEPS", 150)


@pytest.fixture
def model() -> Model:
    return compose("biggan", NARROW)


@pytest.fixture
def samples(model: Model) -> Samples:
    found = samples_of(model)
    assert found is not None
    return found


class Drawer(nn.Module):
    """Draws a real image of the class that is ``turn`` after the one it is asked for."""

    def __init__(self, samples: Samples, turn: int) -> None:
        super().__init__()
        x = samples.field("x", samples.training, torch.float32)
        known = torch.from_numpy(labels(samples, samples.training))
        self.images, self.turn = [x[known == kind] for kind in range(10)], turn

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        asked = (y.argmax(1) + self.turn) % 10
        return torch.stack([self.images[kind][at % 50] for at, kind in enumerate(asked.tolist())])


def test_samples_of_the_class_that_is_asked_for_agree_as_far_as_the_classifier_does(
    model: Model, samples: Samples
) -> None:
    model.parts["G"] = Drawer(samples, 0)
    (figure,) = evaluate(model, ["sample-class"], n=300)
    assert (figure.name, figure.protocol["n"], figure.protocol["trained_on"]) == ("sample-class", 300, COUNT)
    assert figure.value is not None
    assert figure.value > 90
    assert 80 < figure.protocol["held_out_images"] < 100


def test_samples_of_another_class_do_not_agree(model: Model, samples: Samples) -> None:
    model.parts["G"] = Drawer(samples, 1)
    (figure,) = evaluate(model, ["sample-class"], n=300)
    assert figure.value is not None
    assert figure.value < 10


def test_every_class_is_asked_for_equally_often(model: Model) -> None:
    asked: list[Tensor] = []

    class Seen(nn.Module):
        def forward(self, z: Tensor, y: Tensor) -> Tensor:
            asked.append(y)
            return torch.zeros(len(y), 1, 8, 8)

    model.parts["G"] = Seen()
    (figure,) = evaluate(model, ["sample-class"], n=50)
    assert torch.cat(asked).sum(0).tolist() == [5] * 10
    assert figure.value == pytest.approx(10)  # one image is of one class


@pytest.mark.parametrize(
    ("recipe", "overrides", "reason"),
    [
        ("alae-mlp", {"data.use": "digits"}, "the role 'sample' reads no label"),
        ("ae", {}, "no role 'sample'"),
        ("biggan", {**NARROW, "data.split": 1.0}, "no images are held out"),
    ],
)
def test_a_model_without_classes_to_ask_for_says_why(recipe: str, overrides: dict[str, object], reason: str) -> None:
    (figure,) = evaluate(compose(recipe, overrides), ["sample-class"])
    assert figure.value is None
    assert reason in figure.reason
