"""Fréchet distance against closed forms, the classifier and its cache, and what models of digits get."""

from __future__ import annotations

import math
from collections import abc
from pathlib import Path

import attrs
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from latentkit.api import compose
from latentkit.engine.samples import Samples
from latentkit.errors import LatentkitError, NotFiniteError
from latentkit.evaluation import classifier
from latentkit.evaluation.classifier import Classifier, classifier_of
from latentkit.evaluation.evaluate import evaluate
from latentkit.evaluation.expost import fit_prior
from latentkit.evaluation.frechet import ClassifierFrechet, as_pictures, frechet
from latentkit.evaluation.small_network import shrunk
from latentkit.evaluation.subjects import samples_of
from latentkit.interfaces import Table
from latentkit.model import Model

COUNT = 600
NARROW: dict[str, object] = {
    "data.use": "digits", "data.resolution": 8, "data.split": [0, COUNT], "draw.z.dim": 4, "parts.E.hidden": 8,
    "parts.G.hidden": 8,
}  # fmt: skip
NAMES = ["classifier-frechet", "classifier-confident", "classifier-entropy", "classifier-accuracy"]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(classifier, "STEPS", 150)


@pytest.fixture
def model() -> Model:
    return compose("alae-mlp", NARROW)


@pytest.fixture
def samples(model: Model) -> Samples:
    found = samples_of(model)
    assert found is not None
    return found


class Memory(nn.Module):
    """Makes images that it remembers, one after the other."""

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self.images, self.place = images, 0

    def forward(self, w: Tensor) -> Tensor:
        index = torch.arange(self.place, self.place + len(w)) % len(self.images)
        self.place += len(w)
        return self.images[index]


def figures(model: Model, images: Tensor, n: int = 300, **options: object) -> dict[str, float]:
    model.parts["G"] = Memory(images)
    results = evaluate(model, ["classifier-frechet"], n=n, options=options)
    assert [result.name for result in results] == NAMES
    return {result.name: result.value for result in results if result.value is not None}


def test_distance_of_gaussians_is_the_closed_form() -> None:
    rng = torch.Generator().manual_seed(0)
    a = torch.randn(500, 6, dtype=torch.float64, generator=rng) @ torch.randn(6, 6, dtype=torch.float64, generator=rng)
    scale, shift = torch.linspace(0.2, 3, 6, dtype=torch.float64), torch.linspace(-1, 1, 6, dtype=torch.float64)
    white = (a - a.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(a.T))).T
    # Of commuting covariances: the squared distances of the means and of the deviations.
    assert frechet(white, white * scale + shift) == pytest.approx(float((shift**2 + (1 - scale) ** 2).sum()), rel=1e-9)
    b = torch.randn(400, 6, dtype=torch.float64, generator=rng) @ torch.randn(6, 6, dtype=torch.float64, generator=rng)
    product = torch.linalg.eigvals(torch.cov(a.T) @ torch.cov(b.T)).real.clamp(min=0).sqrt().sum()
    means = (a.mean(0) - b.mean(0)).square().sum()
    wanted = means + torch.cov(a.T).trace() + torch.cov(b.T).trace() - 2 * product
    assert frechet(a, b) == pytest.approx(float(wanted), rel=1e-8)
    assert frechet(a, b) == pytest.approx(frechet(b, a), rel=1e-8)


def test_distance_of_a_set_to_itself_is_zero_though_covariances_are_singular() -> None:
    rows = torch.randn(3, 10, dtype=torch.float64)
    assert frechet(rows, rows) == pytest.approx(0, abs=1e-6)
    assert frechet(rows, rows + 2) == pytest.approx(40)
    one = torch.randn(9, 1, dtype=torch.float64)
    assert frechet(one, 3 * one) == pytest.approx(float(4 * (one.mean() ** 2 + one.var())))


def test_pictures_are_clipped_and_have_steps_of_8_bits() -> None:
    images = torch.tensor([-2.0, -1.0, 0.0, 0.999, 1.5])
    torch.testing.assert_close(as_pictures(images, (-1, 1)) * 255, torch.tensor([0.0, 0.0, 128.0, 255.0, 255.0]))
    assert torch.equal(as_pictures(images, (0, 1))[:3], torch.zeros(3))


def test_large_images_are_averaged_down() -> None:
    images = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(shrunk(images), images.reshape(2, 3, 32, 2, 32, 2).mean((3, 5)))
    small = torch.rand(2, 1, 28, 28)
    assert shrunk(small) is small


def test_the_classifier_knows_digits(samples: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "STEPS", 400)
    found = classifier_of(samples)
    pixels = torch.from_numpy(samples.table.fields["image"][samples.held_out]).float() / 255
    features, probabilities = found(pixels)
    assert features.shape == (len(samples.held_out), 64)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(len(pixels), dtype=torch.float64))
    right = found.classes[probabilities.argmax(1)] == samples.table.fields["label"][samples.held_out]
    assert right.mean() > 0.85
    training = torch.from_numpy(samples.table.fields["image"][samples.training]).float() / 255
    assert float(found(training)[0].var(0).sum()) == pytest.approx(1, rel=1e-5)


def test_the_classifier_is_trained_once_and_always_the_same(
    samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels, threads = torch.rand(7, 1, 8, 8), torch.get_num_threads()
    first, other = (classifier_of(samples, tmp_path / name)(pixels) for name in ("a", "b"))
    assert torch.equal(first[0], other[0])
    monkeypatch.setattr(classifier, "_train", lambda *_: pytest.fail("trained again"))
    kept = classifier_of(samples, tmp_path / "a")(pixels)
    assert torch.equal(kept[0], first[0])
    assert torch.equal(kept[1], first[1])
    assert torch.get_num_threads() == threads
    fewer = attrs.evolve(samples, training=samples.training[:-1])
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        classifier_of(fewer, tmp_path / "a")


def test_training_draws_nothing_from_the_global_generator(samples: Samples, tmp_path: Path) -> None:
    torch.manual_seed(3)
    wanted = torch.rand(4)
    torch.manual_seed(3)
    classifier_of(samples, tmp_path / "a")
    assert torch.equal(torch.rand(4), wanted)


def test_a_damaged_file_is_made_again_and_a_cache_that_cannot_be_written_costs_a_warning(
    samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier, "STEPS", 10)
    pixels = torch.rand(3, 1, 8, 8)
    first = classifier_of(samples, tmp_path)(pixels)[0]
    (file,) = tmp_path.glob("*.safetensors")
    whole = file.read_bytes()
    for content in (whole[:-4] + b"abcd", b"{}", b""):
        file.write_bytes(content)
        assert torch.equal(classifier_of(samples, tmp_path)(pixels)[0], first)
        assert file.read_bytes() == whole
    (tmp_path / "file").write_text("")
    with pytest.warns(UserWarning, match="the classifier is not kept, and will be trained again"):
        classifier_of(samples, tmp_path / "file")


@pytest.mark.parametrize(("side", "channels"), [(1, 1), (5, 3), (16, 1), (40, 3)])
def test_images_of_any_size_and_labels_of_any_numbers_are_classified(
    samples: Samples, side: int, channels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier, "STEPS", 2)
    fields = {
        "image": np.random.RandomState(0).randint(0, 256, (20, channels, side, side)).astype(np.uint8),
        "label": np.arange(20) % 3 * 7 + 5,
    }
    odd = attrs.evolve(samples, table=Table(fields), training=np.arange(15), held_out=np.arange(15, 20))
    found: Classifier = classifier_of(odd, tmp_path)
    features, probabilities = found(torch.rand(4, channels, side, side))
    assert (features.shape, probabilities.shape, found.classes.tolist()) == ((4, 64), (4, 3), [5, 12, 19])


def test_real_images_are_near_noise_is_far_and_one_image_has_no_entropy(model: Model, samples: Samples) -> None:
    real = samples.field("x", samples.held_out, torch.float32)
    fresh = figures(model, real[300:600])
    noise = figures(model, torch.rand(300, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    single = figures(model, real[:1])
    assert fresh["classifier-frechet"] < 0.1 < 0.2 < noise["classifier-frechet"]
    assert single["classifier-frechet"] > 0.5
    assert (single["classifier-entropy"], single["classifier-confident"]) in ((0.0, 0.0), (0.0, 100.0))
    assert math.log(10) - 0.1 < fresh["classifier-entropy"] <= math.log(10)
    assert noise["classifier-entropy"] < fresh["classifier-entropy"]
    assert fresh["classifier-confident"] > 60
    assert fresh["classifier-accuracy"] == noise["classifier-accuracy"] > 80


def test_the_held_out_images_themselves_have_distance_zero(model: Model, samples: Samples) -> None:
    model.parts["G"] = Memory(samples.field("x", samples.held_out[:200], torch.float32))
    results = {result.name: result for result in evaluate(model, ["classifier-frechet"], n=200)}
    distance, sure = results["classifier-frechet"], results["classifier-confident"]
    assert distance.value == pytest.approx(0, abs=1e-9)
    assert sure.value == sure.protocol["held_out_images"]
    assert results["classifier-entropy"].value == results["classifier-entropy"].protocol["held_out_images"]
    wanted = {"n": 200, "seed": 0, "split": [0, COUNT], "trained_on": COUNT, "images": "samples"}
    assert wanted.items() <= distance.protocol.items()
    assert 0 < float(str(distance.protocol["training_images"])) < 0.1


def test_the_value_range_of_the_recipe_does_not_matter(model: Model, samples: Samples) -> None:
    wide = compose("alae-mlp", NARROW | {"data.range": [-1.0, 1.0]})
    real = samples.field("x", samples.held_out[300:500], torch.float32)
    assert figures(model, real, 200) == pytest.approx(figures(wide, 2 * real - 1, 200), rel=1e-6)


def test_samples_of_a_prior_are_decoded_codes(model: Model) -> None:
    results = evaluate(model, ["classifier-frechet"], n=100, options={"prior": "gmm", "components": 2})
    assert results[0].protocol["images"] == "decoded from gmm"
    assert results[0].protocol["components"] == 2
    seen: list[Tensor] = []
    decoder = model.parts["G"]

    class Noting(nn.Module):
        def forward(self, w: Tensor) -> Tensor:
            seen.append(w)
            return decoder(w)  # type: ignore[no-any-return]

    model.parts["G"] = Noting()
    again = ClassifierFrechet(prior="gmm", components=2).measure(model, samples_of(model), n=100, seed=0)
    assert again[0].value == pytest.approx(results[0].value)
    model.parts["G"] = decoder
    assert torch.equal(torch.cat(seen), fit_prior(model, components=2).sample(100, 0))


def test_classes_that_samples_are_made_of_are_those_of_the_held_out_images(samples: Samples) -> None:
    tables = {"data.gives": {"x": "image", "y": "label"}, "inference.sample": "G(w) * (1 + 0 * mean(y))"}
    model = compose("alae-mlp", NARROW | tables)
    given: list[int] = []
    model_values = model.source

    def noted(node: object, n: int, *rest: object) -> object:
        value = model_values(node, n, *rest)  # type: ignore[arg-type]
        if isinstance(value, Tensor) and value.shape[1:] == (10,):
            given.extend(value.argmax(1).tolist())
        return value

    model.source = noted  # type: ignore[method-assign,assignment]
    assert len(evaluate(model, ["classifier-frechet"], n=50)) == 4
    assert given == samples.table.fields["label"][samples.held_out[:50]].tolist()


@pytest.mark.parametrize(
    ("tables", "reason"),
    [
        ({"data.split": 1.0}, "no images are held out"),
        ({"data.split": 1796 / 1797}, "1 image is held out, a distance needs 2 or more"),
        ({"inference.sample": "G(E(x))"}, "the role 'sample' needs x"),
        ({"data.use": "npz", "data.path": "images.npz"}, "has no labels"),
    ],
)
def test_what_is_missing_is_said(
    tables: dict[str, object], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    images = np.random.RandomState(0).randint(0, 256, (COUNT + 8, 8, 8)).astype(np.uint8)
    np.savez("images.npz", images=images)
    base = {key: value for key, value in NARROW.items() if "data.path" not in tables or key != "data.use"}
    (result,) = evaluate(compose("alae-mlp", base | tables), ["classifier-frechet"])
    assert reason in result.reason
    assert result.value is None


def test_models_that_draw_nothing_are_pointed_to_a_prior() -> None:
    source: dict[str, object] = {"extends": "alae-mlp", "remove": ["inference.sample"]}
    model = compose(source, NARROW)
    assert "a fitted prior can stand in for it: --prior gmm" in ClassifierFrechet().applies(model, samples_of(model))
    assert ClassifierFrechet(prior="gmm").applies(model, samples_of(model)) == ""


def test_samples_that_are_no_numbers_and_options_that_do_not_exist_are_told(model: Model, samples: Samples) -> None:
    model.parts["G"] = Memory(torch.full((1, 1, 8, 8), math.nan))
    with pytest.raises(NotFiniteError, match="the role 'sample' yields values that are not finite"):
        evaluate(model, ["classifier-frechet"], n=10)

    def refuses(message: str, options: abc.Mapping[str, object]) -> None:
        with pytest.raises(LatentkitError, match=message):
            evaluate(model, ["classifier-frechet"], options=options)

    refuses(r"classifier-frechet: 'prior' must be in \('gmm',\) \(got 'flow'\)$", {"prior": "flow"})
    refuses("'components' must be >= 1: 0$", {"components": 0})
    refuses("has the option 'samples': classifier-frechet$", {"samples": 3})
