"""The metrics ``interpolation`` and ``convexity``: what lies between two images, for decoders whose answer is known."""

from __future__ import annotations

import sys
from pathlib import Path

import attrs
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import latentkit as lk
from latentkit.api import compose
from latentkit.engine.samples import Samples
from latentkit.engine.streams import Streams
from latentkit.errors import LatentkitError, NotFiniteError
from latentkit.evaluation import classifier, convexity
from latentkit.evaluation.classifier import classifier_of
from latentkit.evaluation.convexity import Convexity, judged
from latentkit.evaluation.evaluate import Result, evaluate
from latentkit.evaluation.interpolation import Interpolation
from latentkit.evaluation.quantising import as_pictures
from latentkit.evaluation.straight_lines import between, partners
from latentkit.evaluation.subjects import labels, samples_of
from latentkit.interfaces import Table
from latentkit.model import Model

COUNT = 800
NARROW: dict[str, object] = {
    "data.use": "digits", "data.resolution": 8, "data.split": [0, COUNT], "draw.z.dim": 64, "parts.E.hidden": 4,
    "parts.G.hidden": 4,
}  # fmt: skip


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One classifier for all: they have the same images."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _classifier(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setattr(classifier, "STEPS", 150)


@pytest.fixture
def model() -> Model:
    """The code is the image, so that lines are cross-fades."""
    model = compose("alae-mlp", NARROW)
    model.parts |= {"E": nn.Flatten(), "G": nn.Unflatten(1, (1, 8, 8))}
    return model


@pytest.fixture
def samples(model: Model) -> Samples:
    found = samples_of(model)
    assert found is not None
    return found


class Nearest(nn.Module):
    """The training image that is nearest to a cross-fade: whatever it decodes is real."""

    def __init__(self, samples: Samples) -> None:
        super().__init__()
        self.images = samples.field("x", samples.training, torch.float32)

    def forward(self, code: Tensor) -> Tensor:
        return self.images[torch.cdist(code, self.images.flatten(1)).argmin(1)]


class Fixed(nn.Module):
    """One image, whatever the code."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.image = image

    def forward(self, code: Tensor) -> Tensor:
        return self.image.expand(len(code), *self.image.shape)


def result_of(model: Model, metric: str, n: int = 400, seed: int = 0) -> dict[str, Result]:
    return {result.name: result for result in evaluate(model, [metric], n=n, seed=seed)}


def value(result: Result) -> float:
    assert result.value is not None
    return result.value


def number(result: Result, key: str) -> float:
    return float(str(result.protocol[key]))


def test_partners_are_of_another_class_all_alike_and_follow_the_seed() -> None:
    known = np.array([4] * 6 + [1] * 3 + [9])
    rows = [partners(known, Streams(seed, torch.device("cpu")).at("pairs")) for seed in range(3000)]
    drawn = torch.stack(rows)
    assert (known[drawn.numpy()] != known).all()
    for place, kind in enumerate(known):
        shares = torch.bincount(drawn[:, place], minlength=10) / len(rows)
        wanted = torch.from_numpy((known != kind) / (known != kind).sum()).float()
        torch.testing.assert_close(shares, wanted, rtol=0, atol=0.05)
    assert torch.equal(rows[5], partners(known, Streams(5, torch.device("cpu")).at("pairs")))


def test_lines_are_straight_start_at_the_codes_and_keep_the_shape_of_a_code() -> None:
    model = compose("alae-mlp", NARROW)
    model.parts["G"] = nn.Unflatten(1, (1, 8, 8))
    a, b = torch.rand(2, 3, 64, generator=torch.Generator().manual_seed(0))
    made = between(model, a, b, (0.0, 0.25, 1.0), (0.0, 1.0))
    wanted = torch.stack([a, 0.75 * a + 0.25 * b, b], 1).reshape(3, 3, 1, 8, 8)
    torch.testing.assert_close(made, wanted, rtol=0, atol=0.51 / 255)
    assert torch.equal(made[:, 0], as_pictures(a.reshape(3, 1, 8, 8), (0.0, 1.0)))


def test_confidence_of_cross_fades_is_that_of_a_plain_loop(model: Model, samples: Samples) -> None:
    found = result_of(model, "interpolation", 30, seed=3)
    chosen = samples.held_out[:30]
    x = samples.field("x", chosen, torch.float32)
    other = partners(labels(samples, chosen), Streams(3, torch.device("cpu")).at("interpolation", "pairs"))
    judge, means, least, ends = classifier_of(samples), [], [], []
    for a, b in zip(x, x[other], strict=True):
        sure = [float(judge(as_pictures(((1 - t) * a + t * b)[None], (0, 1)))[1].max()) for t in np.linspace(0, 1, 10)]
        means += sure[1:-1]
        least.append(min(sure[1:-1]))
        ends.append([sure[0], sure[-1]])
    mean, worst = found["path-confidence"], found["path-confidence-least"]
    assert value(mean) == pytest.approx(100 * np.mean(means), rel=1e-4)
    assert value(worst) == pytest.approx(100 * np.mean(least), rel=1e-4)
    assert number(mean, "ends") == pytest.approx(100 * np.mean(ends), rel=1e-4)
    assert number(worst, "ends") == pytest.approx(100 * np.min(ends, 1).mean(), rel=1e-4)
    for result in (mean, worst):
        assert number(result, "held_out_images") == pytest.approx(number(result, "ends"), abs=1e-9)
        wanted = {"unit": "%", "n": 30, "seed": 3, "points": 10, "path": "straight", "network": "classifier"}
        assert wanted.items() <= result.protocol.items()


def test_digits_all_along_are_surer_than_cross_fades(model: Model, samples: Samples) -> None:
    fades = result_of(model, "interpolation")
    model.parts["G"] = Nearest(samples)
    digits = result_of(model, "interpolation")
    for name, apart in (("path-confidence", 3), ("path-confidence-least", 10)):
        assert value(fades[name]) < value(digits[name]) - apart
        assert value(digits[name]) < number(digits[name], "ends") + 5
    assert value(fades["path-confidence-least"]) < value(fades["path-confidence"])


def test_one_image_all_along_is_as_sure_as_it_is(model: Model, samples: Samples) -> None:
    image = samples.field("x", samples.held_out[:1], torch.float32)[0]
    model.parts["G"] = Fixed(image)
    sure = 100 * float(classifier_of(samples)(as_pictures(image[None], (0, 1)))[1].max())
    for result in result_of(model, "interpolation", 40).values():
        assert value(result) == pytest.approx(sure)
        assert number(result, "ends") == pytest.approx(sure)
        assert number(result, "held_out_images") != pytest.approx(sure)


def test_real_midpoints_cannot_be_told_though_few_teach_the_critic(model: Model, samples: Samples) -> None:
    model.parts["G"] = Nearest(samples)
    for n in (60, 900):  # 30 and 30 images of 64 features are told apart without a fault, others are not
        (result,) = result_of(model, "convexity", n).values()
        assert 28 < value(result) < 72
        assert 28 < number(result, "balanced_accuracy") < 72


def test_cross_fades_and_single_images_are_told_from_digits(model: Model, samples: Samples) -> None:
    (fades,) = result_of(model, "convexity", 900).values()
    assert value(fades) < 35
    assert number(fades, "real") > 65
    assert number(fades, "balanced_accuracy") > 68
    # Here the codes of images decode to the images.
    assert number(fades, "reconstructions") == pytest.approx(number(fades, "real"))
    model.parts["G"] = Fixed(torch.full((1, 8, 8), 0.5))
    (grey,) = result_of(model, "convexity", 300).values()
    assert value(grey) < 1
    assert number(grey, "real") > 95
    wanted = {"unit": "%", "n": 300, "seed": 0, "split": [0, COUNT], "network": "classifier", "converged": True}
    assert wanted.items() <= grey.protocol.items()


def test_figures_follow_the_seed_and_the_value_range_does_not_matter(model: Model) -> None:
    wide = compose("alae-mlp", NARROW | {"data.range": [-1.0, 1.0]})
    wide.parts |= {"E": nn.Flatten(), "G": nn.Unflatten(1, (1, 8, 8))}
    for metric in ("interpolation", "convexity"):
        first, again, other, scaled = (
            [value(result) for result in result_of(of, metric, 80, seed).values()]
            for of, seed in ((model, 0), (model, 0), (model, 1), (wide, 0))
        )
        assert first == again != other
        assert first == pytest.approx(scaled, abs=0.1)


def test_no_image_is_judged_by_the_critic_that_saw_it(
    model: Model, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Tensor, Tensor, list[Tensor]]] = []
    own = convexity.judged

    def noted(real: Tensor, made: Tensor, asked: list[Tensor]) -> tuple[list[float], bool]:
        seen.append((real, made, asked))
        return own(real, made, asked)

    monkeypatch.setattr(convexity, "judged", noted)
    result_of(model, "convexity", 101)
    assert [(len(real), len(made), [len(set_) for set_ in asked]) for real, made, asked in seen] == [
        (51, 51, [50, 50, 50]), (50, 50, [51, 51, 51])
    ]  # fmt: skip
    for real, made, asked in seen:
        taught = torch.cat([real, made])
        for others in asked:
            assert torch.cdist(others, taught).amin() > 1e-6
    features = torch.cat([seen[0][0], seen[1][0]])
    images = torch.from_numpy(samples.table.fields["image"][samples.held_out[:101]]).float() / 255
    wanted = 8 * classifier_of(samples)(images)[0]
    assert torch.cdist(wanted, features).amin(1).max() < 1e-6


def test_a_critic_that_does_not_converge_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    sets = torch.randn(2, 50, 3, generator=torch.Generator().manual_seed(0)).double()
    sets[1] += 2
    assert judged(sets[1], sets[0], list(sets))[1] is True
    monkeypatch.setattr(convexity, "MAX_ITER", 1)
    assert judged(sets[1], sets[0], list(sets))[1] is False


def test_a_critic_of_sets_that_lie_apart_is_right() -> None:
    sets = torch.randn(4, 200, 3, generator=torch.Generator().manual_seed(0)).double()
    shares, _ = judged(sets[0] + 4, sets[1] - 4, [sets[2] + 4, sets[3] - 4])
    assert shares == [1.0, 0.0]


@pytest.mark.parametrize("metric", ["interpolation", "convexity"])
@pytest.mark.parametrize(
    ("recipe", "overrides", "reason"),
    [
        ("gan", {}, "no role 'encode'"),
        ("alae-mlp", NARROW | {"data.split": 1.0}, "no images are held out"),
    ],
)
def test_a_model_without_lines_says_why(metric: str, recipe: str, overrides: dict[str, object], reason: str) -> None:
    (result,) = evaluate(compose(recipe, overrides), [metric])
    assert result.value is None
    assert reason in result.reason


@pytest.mark.parametrize("metric", [Interpolation(), Convexity()])
def test_lines_need_classes(metric: Interpolation | Convexity, model: Model, samples: Samples) -> None:
    bare = attrs.evolve(samples, table=Table({"image": samples.table.fields["image"]}))
    assert metric.applies(model, bare) == "the data (digits) has no labels"
    one = samples.held_out[labels(samples, samples.held_out) == 3]
    with pytest.raises(LatentkitError, match=r"lines go between images of two classes, and of .* there is one: take"):
        metric.measure(model, attrs.evolve(samples, held_out=one), n=20, seed=0)


def test_a_critic_needs_four_images(model: Model, samples: Samples) -> None:
    few = attrs.evolve(samples, held_out=samples.held_out[:3])
    assert "3 images are held out, a critic and its test need 4 or more" in Convexity().applies(model, few)
    assert Interpolation().applies(model, few) == ""


@pytest.mark.parametrize("metric", ["interpolation", "convexity"])
def test_values_that_are_not_finite_are_told(metric: str, model: Model) -> None:
    model.parts["G"] = Fixed(torch.full((1, 8, 8), float("nan")))
    with pytest.raises(NotFiniteError, match="the role 'decode' yields values that are not finite"):
        evaluate(model, [metric], n=20)


def test_without_scikit_learn_the_extra_is_named(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    with pytest.raises(LatentkitError, match=r"a critic needs scikit-learn: pip install 'latentkit\[eval\]'"):
        evaluate(model, ["convexity"], n=20)


def test_figures_of_two_models_stand_side_by_side(model: Model, samples: Samples) -> None:
    other = compose("alae-mlp", NARROW)
    other.parts |= {"E": nn.Flatten(), "G": Nearest(samples)}
    for metric in ("interpolation", "convexity"):
        lk.refuse_mixed(lk.evaluate(model, [metric], n=40) + lk.evaluate(other, [metric], n=40))
