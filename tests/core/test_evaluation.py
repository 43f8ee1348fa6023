"""Metrics against values worked out by hand, on tiny models; what applies to what; and the run folder."""

from __future__ import annotations

import json
import math
import sys
from collections import abc
from pathlib import Path

import attrs
import numpy as np
import pytest
import torch
from sklearn.svm import LinearSVC
from torch import Tensor, nn

from latentkit.api import compose
from latentkit.engine.samples import Samples
from latentkit.errors import LatentkitError, NotFiniteError, RegistryError, RunError
from latentkit.evaluation import probes, subjects
from latentkit.evaluation.evaluate import Result, evaluate
from latentkit.evaluation.latents import LatentCorrelation, LatentReconstruction, codes_of_samples, correlation
from latentkit.evaluation.pixels import PixelReconstruction
from latentkit.evaluation.probes import Probes, ReconstructionClass
from latentkit.evaluation.subjects import samples_of
from latentkit.interfaces import Figure, Metric, Table
from latentkit.model import Model
from latentkit.registry.manager import Registry
from latentkit.runs.folder import Folder
from latentkit.runs.training import Run, train

SYSTEMS = Path(__file__).parent / "systems"
SIDE, COUNT, HELD_OUT = 8, 120, 40
NARROW: dict[str, object] = {
    "data.resolution": SIDE, "data.count": COUNT, "data.split": 1 - HELD_OUT / COUNT, "draw.z.dim": 6,
    "parts.E.hidden": 12, "parts.G.hidden": 12,
}  # fmt: skip


class Affine(nn.Module):
    """Any affine map of the flattened input to a shape."""

    def __init__(self, matrix: Tensor, bias: float = 0.0, shape: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.matrix, self.bias, self.shape = nn.Parameter(matrix), bias, shape

    def forward(self, value: Tensor) -> Tensor:
        result = value.flatten(1) @ self.matrix + self.bias
        return result.reshape(-1, *self.shape) if self.shape else result


@pytest.fixture
def model() -> Model:
    return compose("alae-mlp", NARROW)


@pytest.fixture
def samples(model: Model) -> Samples:
    found = samples_of(model)
    assert found is not None
    return found


@pytest.fixture
def exact() -> Model:
    """G is an isometry, E its inverse on the image of G."""
    model = compose("alae-mlp", NARROW)
    basis = torch.linalg.qr(torch.randn(SIDE * SIDE, 6, generator=torch.Generator().manual_seed(1)))[0]
    model.parts |= {"G": Affine(basis.T, shape=(1, SIDE, SIDE)), "E": Affine(basis)}
    return model


def autoencoder(bias: float = 0.0) -> Model:
    """The code is the image; its reconstruction is off by ``bias`` everywhere."""
    model = compose("alae-mlp", NARROW | {"draw.z.dim": SIDE * SIDE})
    eye = torch.eye(SIDE * SIDE)
    model.parts |= {"G": Affine(eye, bias, (1, SIDE, SIDE)), "E": Affine(eye)}
    return model


def raw(samples: Samples, indices: np.ndarray) -> np.ndarray:
    return np.asarray(samples.table.fields["image"][indices].reshape(len(indices), -1) / 255)


def neighbours(train: np.ndarray, labels: np.ndarray, test: np.ndarray) -> np.ndarray:
    squares = ((test[:, None].astype(np.float64) - train[None]) ** 2).sum(2)
    return np.asarray(labels[squares.argmin(1)])


def values(results: abc.Sequence[Result | Figure]) -> dict[str, float | None]:
    return {result.name: result.value for result in results}


def test_latent_error_and_correlation_are_those_of_a_plain_loop(model: Model) -> None:
    assert model.wiring.code is not None
    (codes,) = model.values([model.wiring.code], 300, seed=5)
    found = torch.cat([model.encode(model.decode(code[None])) for code in codes])
    pairs = zip(codes.double().numpy(), found.double().numpy(), strict=True)
    rho = [np.corrcoef(code, other)[0, 1] for code, other in pairs]
    error = LatentReconstruction().measure(model, None, n=300, seed=5)
    correlated = LatentCorrelation().measure(model, None, n=300, seed=5)
    assert error[0].value == pytest.approx(float((codes - found).square().mean()), rel=1e-5)
    assert correlated[0].value == pytest.approx(float(np.mean(rho)), rel=1e-4)
    assert error[0].protocol == {"n": 300, "seed": 5, "code": "w", "images": "samples, not quantised"}


def test_an_encoder_that_inverts_the_generator_is_found_exact(exact: Model) -> None:
    assert values(LatentReconstruction().measure(exact, None, n=64, seed=0)) == pytest.approx(
        {"latent-reconstruction": 0.0}, abs=1e-10
    )
    assert values(LatentCorrelation().measure(exact, None, n=64, seed=0)) == pytest.approx({"latent-correlation": 1.0})


def test_a_scaled_and_shifted_code_is_an_error_but_keeps_its_correlation(exact: Model) -> None:
    encoder = exact.parts["E"]
    exact.parts["E"] = Affine(3 * encoder.matrix.detach(), bias=1.0)  # type: ignore[operator]
    codes, _ = codes_of_samples(exact, 64, 0)
    wanted = float((codes - (3 * codes + 1)).square().mean())
    assert LatentReconstruction().measure(exact, None, n=64, seed=0)[0].value == pytest.approx(wanted, rel=1e-5)
    assert LatentCorrelation().measure(exact, None, n=64, seed=0)[0].value == pytest.approx(1.0)


def test_latent_figures_depend_on_the_seed_and_on_nothing_else(model: Model) -> None:
    first, again, other = (LatentReconstruction().measure(model, None, n=50, seed=seed)[0].value for seed in (1, 1, 2))
    assert first == again != other


def test_correlation_of_a_constant_row_is_zero() -> None:
    a = torch.tensor([[1.0, 2.0, 3.0], [1.0, 1.0, 1.0], [0.0, 1.0, 0.0]], dtype=torch.float64)
    b = torch.tensor([[-2.0, -4.0, -6.0], [1.0, 2.0, 3.0], [5.0, 7.0, 5.0]], dtype=torch.float64)
    torch.testing.assert_close(correlation(a, b), torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64))


def test_pixel_error_is_that_of_the_held_out_images(model: Model, samples: Samples) -> None:
    x = raw(samples, samples.held_out).astype(np.float32).reshape(-1, 1, SIDE, SIDE)
    rebuilt = model.reconstruct(torch.from_numpy(x)).numpy()
    error = float(np.mean((rebuilt.astype(np.float64) - x) ** 2))
    figures = PixelReconstruction().measure(model, samples, n=2000, seed=0)
    wanted = {"pixel-reconstruction": error, "pixel-mse": error, "pixel-psnr": -10 * math.log10(error)}
    assert values(figures) == pytest.approx(wanted, rel=1e-5)
    assert figures[0].protocol == {
        "n": HELD_OUT, "images": "held out", "split": NARROW["data.split"], "range": [0.0, 1.0],
    }  # fmt: skip


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 1.0)])
def test_pixel_error_is_in_the_value_range_of_the_data(low: float, high: float) -> None:
    model = autoencoder(bias=0.1)
    assert values(evaluate(model, ["pixel-reconstruction"])) == pytest.approx(
        {"pixel-reconstruction": 0.01, "pixel-mse": 0.01, "pixel-psnr": 20.0}, rel=1e-4
    )
    wide = compose("alae-mlp", NARROW | {"draw.z.dim": SIDE * SIDE, "data.range": [low, high]})
    wide.parts |= model.parts
    found = evaluate(wide, ["pixel-reconstruction"])
    scaled = 0.01 / (high - low) ** 2
    wanted = {"pixel-reconstruction": 0.01, "pixel-mse": scaled, "pixel-psnr": -10 * math.log10(scaled)}
    assert values(found) == pytest.approx(wanted, rel=1e-4)
    assert [result.protocol["range"] for result in found] == [[low, high], [0.0, 1.0], [low, high]]


def test_at_most_n_held_out_images_are_taken_in_any_portions(
    model: Model, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = PixelReconstruction().measure(model, samples, n=17, seed=0)
    monkeypatch.setattr(subjects, "BATCH", 5)
    portions = PixelReconstruction().measure(model, samples, n=17, seed=0)
    assert values(portions) == pytest.approx(values(whole), rel=1e-6)
    assert portions[0].protocol["n"] == 17


def test_a_perfect_reconstruction_has_no_psnr() -> None:
    found = values(evaluate(autoencoder(), ["pixel-reconstruction"]))
    assert found == {"pixel-reconstruction": 0.0, "pixel-mse": 0.0}


@pytest.mark.parametrize("portion", [1024, 7])
def test_probes_are_exact_neighbours_and_the_published_svm(
    model: Model, samples: Samples, portion: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subjects, "BATCH", portion)
    label = samples.table.fields["label"]
    known, asked = label[samples.training], label[samples.held_out]
    wanted = {}
    for length, role in (("short", "encode"), ("long", "features")):
        train, test = (
            model.role(role, len(part), x=torch.from_numpy(raw(samples, part).reshape(-1, 1, SIDE, SIDE))).numpy()
            for part in (samples.training, samples.held_out)
        )
        svm = LinearSVC(C=0.02, max_iter=5000, random_state=0, dual=True).fit(train, known)
        wanted[f"1-nn-{length}"] = 100 * np.mean(neighbours(train, known, test) == asked)
        wanted[f"svm-{length}"] = 100 * np.mean(svm.predict(test) == asked)
    figures = Probes().measure(model, samples, n=1, seed=0)
    assert values(figures) == pytest.approx(wanted)
    assert [figure.protocol["features"] for figure in figures] == [6, 6, 12, 12]
    assert figures[1].protocol["converged"] is True
    assert (figures[0].protocol["training"], figures[0].protocol["held_out"]) == (COUNT - HELD_OUT, HELD_OUT)


def test_probes_of_features_that_are_the_label_are_all_right(samples: Samples) -> None:
    class Told(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            keys = torch.from_numpy(samples.table.fields["image"]).float().div(255).flatten(1)
            index = torch.cdist(x.flatten(1), keys).argmin(1)
            label = torch.from_numpy(samples.table.fields["label"])[index]
            return 10 * torch.nn.functional.one_hot(label, 6).float()

    model = compose("alae-mlp", NARROW | {"inference.features": "E(x)"})
    model.parts["E"] = Told()
    assert set(values(Probes().measure(model, samples, n=1, seed=0)).values()) == {100.0}


def test_an_svm_that_does_not_converge_is_noted(
    model: Model, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "MAX_ITER", 1)
    figures = Probes().measure(model, samples, n=1, seed=0)
    assert figures[0].protocol["role"] == "encode"
    assert figures[1].protocol["converged"] is False
    assert figures[1].protocol["max_iter"] == 1


def test_a_class_for_nearly_every_sample_is_no_matter() -> None:
    points = np.arange(8, dtype=np.float32)[:, None]
    np.testing.assert_array_equal(probes.nearest(points, np.arange(8), points[::-1] + 0.1), np.arange(8)[::-1])


def test_a_good_reconstruction_keeps_the_class_that_its_original_gets() -> None:
    (result,) = evaluate(autoencoder(), ["reconstruction-class"])
    samples = samples_of(autoencoder())
    assert samples is not None
    label = samples.table.fields["label"]
    train, test = (raw(samples, part).astype(np.float32) for part in (samples.training, samples.held_out))
    # Two training images are equally far from one of the 40; which of them is nearest is a matter of rounding.
    first, last = (
        100 * np.mean(neighbours(train[order], label[samples.training][order], test) == label[samples.held_out])
        for order in (slice(None), slice(None, None, -1))
    )
    assert min(first, last) <= result.value <= max(first, last)
    assert abs(first - last) <= 2.5
    assert result.protocol["originals"] == result.value


def test_reconstructions_that_are_all_one_image_have_its_class(samples: Samples) -> None:
    model = autoencoder()
    image = torch.from_numpy(raw(samples, samples.training[:1])).float()
    model.parts["G"] = Affine(torch.zeros(SIDE * SIDE, SIDE * SIDE), image, (1, SIDE, SIDE))  # type: ignore[arg-type]
    label = samples.table.fields["label"]
    (figure,) = ReconstructionClass().measure(model, samples, n=25, seed=0)
    assert figure.value == pytest.approx(100 * np.mean(label[samples.held_out[:25]] == label[samples.training[0]]))
    assert figure.protocol["held_out"] == 25


def test_nothing_held_out_is_a_reason_and_what_needs_no_images_is_measured() -> None:
    results = evaluate(compose("alae-mlp", NARROW | {"data.split": 1.0}))
    reasons = {result.name: result.reason for result in results if result.value is None}
    assert set(reasons) == {"pixel-reconstruction", "probes", "reconstruction-class", "sharpness"}
    assert set(reasons.values()) == {"no images are held out (split = 1.0): set data.split"}
    assert {result.name for result in results} - set(reasons) == {"latent-reconstruction", "latent-correlation"}


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        (None, "has no labels"),
        (np.zeros((COUNT, 3), np.float32), "not one class per image"),
        (np.zeros(COUNT, np.int64), "all of one class"),
    ],
)
def test_probes_need_a_class_per_image(model: Model, samples: Samples, label: np.ndarray | None, reason: str) -> None:
    fields = {"image": samples.table.fields["image"], **({} if label is None else {"label": label})}
    bare = attrs.evolve(samples, table=Table(fields))
    assert reason in Probes().applies(model, bare)
    assert reason in ReconstructionClass().applies(model, bare)
    assert PixelReconstruction().applies(model, bare) == ""


@pytest.mark.parametrize(
    ("system", "reason"),
    [
        ("gan", "no role 'encode'"),
        ("vae", "the code 'z' is computed from data"),
        ("aae", "the code 'z' is computed from data"),
    ],
)
def test_latent_metrics_say_why_they_do_not_apply(system: str, reason: str, registry: Registry) -> None:
    model = compose(SYSTEMS / f"{system}.toml", registry=registry)
    assert reason in LatentReconstruction().applies(model, None)
    assert reason in LatentCorrelation().applies(model, None)


def test_samples_must_be_made_from_the_code_and_without_data() -> None:
    beside = compose("alae-mlp", NARROW | {"draw.u": {"use": "normal"}, "inference.sample": "G(F(u))"})
    assert "does not go through the code 'w'" in LatentReconstruction().applies(beside, None)
    mixed = compose("alae-mlp", NARROW | {"inference.sample": "G(lerp(w, E(x), 0.5))"})
    assert "the role 'sample' needs x" in LatentReconstruction().applies(mixed, None)


def test_a_role_that_needs_labels_cannot_be_taken_of_images_alone() -> None:
    tables = {"data.gives": {"x": "image", "y": "label"}, "inference.encode": "E(x) + 0 * batch_mean(mean(y))"}
    model = compose("alae-mlp", NARROW | tables)
    wanted = "the role 'encode' needs y besides images"
    assert Probes().applies(model, None) == wanted
    assert LatentReconstruction().applies(model, None) == wanted
    assert PixelReconstruction().applies(model, None) == "the role 'reconstruct' needs y besides images"


def test_data_that_cannot_be_opened_are_a_reason(tmp_path: Path) -> None:
    data = {"use": "folder", "path": str(tmp_path / "nowhere"), "resolution": SIDE, "channels": 1, "range": [0.0, 1.0]}
    overrides = {key: value for key, value in NARROW.items() if not key.startswith("data")}
    results = evaluate(compose("alae-mlp", overrides | {"data": data}))
    reasons = {result.name: result.reason for result in results}
    assert reasons["latent-reconstruction"] == ""
    assert "nowhere" in reasons["probes"]
    assert "nowhere" in reasons["pixel-reconstruction"]


def test_without_scikit_learn_the_extra_is_named(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.neighbors", None)
    with pytest.raises(LatentkitError, match=r"latentkit\[eval\]"):
        evaluate(model, ["probes"])
    results = {result.name: result for result in evaluate(model)}
    assert "latentkit[eval]" in results["probes"].reason
    assert results["pixel-reconstruction"].value is not None


def test_a_model_that_has_diverged_is_told_and_raises_where_a_metric_was_asked_for(model: Model) -> None:
    with torch.no_grad():
        next(model.parts["E"].parameters()).fill_(float("nan"))
    results = evaluate(model)
    assert all(result.value is None and "not finite" in result.reason for result in results)
    with pytest.raises(NotFiniteError, match="not finite"):
        evaluate(model, ["latent-correlation"])


def test_asking_for_what_is_not_there_is_an_error(model: Model, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"did you mean 'core\.probes'"):
        evaluate(model, ["probe"])
    with pytest.raises(RegistryError, match="is a loss"):
        evaluate(model, ["l2"])
    with pytest.raises(RunError, match="expected 'average', 'raw' or 'both'"):
        evaluate(model, weights="slow")  # type: ignore[arg-type]
    with pytest.raises(RunError, match="no such file or folder"):
        evaluate(tmp_path / "nothing")
    with pytest.raises(LatentkitError, match="n: expected 1 or more"):
        evaluate(model, n=0)


@attrs.frozen(kw_only=True)
class Odd(Metric):
    """A metric of a plugin."""

    def applies(self, model: Model, samples: Samples | None) -> str:
        return ""

    def measure(self, model: Model, samples: Samples | None, *, n: int, seed: int) -> list[Figure]:
        return [Figure(name="n", value=float(n)), Figure(name="endless", value=math.inf)]


class Plugin:
    title = paper = module = ""

    def __init__(self) -> None:
        from latentkit.hooks import hookimpl

        def latentkit_components() -> abc.Mapping[str, object]:
            return {"odd": Odd}

        self.latentkit_components = hookimpl(latentkit_components)


def test_metrics_of_plugins_are_taken_too(model: Model, registry: Registry) -> None:
    registry.add("mine", Plugin(), "tests", "0")
    assert not registry.plugins["mine"].fault
    results = {result.name: result for result in evaluate(model, n=3, registry=registry)}
    assert results["n"].value == 3.0
    assert (results["endless"].value, results["endless"].reason) == (None, "is not finite")
    assert "probes" not in results
    assert "1-nn-short" in results
    assert values(evaluate(model, ["mine.odd"], n=4, registry=registry)) == {"n": 4.0, "endless": None}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    settings = {"train.batch": 16, "train.log_every": 2, "average.slow.half_life": 100}
    return train("alae-mlp", tmp_path_factory.mktemp("run") / "r", steps=4, overrides=NARROW | settings)


def test_a_run_is_evaluated_on_both_weights_and_the_figures_are_appended(run: Run) -> None:
    before = Folder(run.path).records()
    results = evaluate(run.path, n=100)
    assert {result.weights for result in results} == {"average", "raw"}
    assert all(result.step == 4 and result.value is not None for result in results)
    added = Folder(run.path).records()[len(before) :]
    assert added == [json.loads(json.dumps(result.record())) for result in results]
    assert set(added[0]) == {"evaluation", "value", "weights", "step", "protocol"}
    latent = {result.weights: result.value for result in results if result.name == "latent-reconstruction"}
    assert latent["average"] != latent["raw"]
    alone = evaluate(run.model, ["latent-reconstruction"], n=100)
    assert alone[0].weights == "given"
    assert alone[0].value == pytest.approx(latent["average"])


def test_what_does_not_apply_is_returned_and_not_written(tmp_path: Path) -> None:
    settings = {"train.batch": 16, "data.split": 1.0}
    run = train("alae-mlp", tmp_path / "r", steps=1, overrides=NARROW | settings)
    count = len(run.metrics)
    results = evaluate(run.path, ["probes", "latent-correlation"], weights="average", n=10)
    assert {result.name: bool(result.reason) for result in results} == {"probes": True, "latent-correlation": False}
    added = Folder(run.path).records()[count:]
    assert [record["evaluation"] for record in added] == ["latent-correlation"]


@pytest.mark.parametrize(("weights", "found"), [("average", {"average"}), ("raw", {"raw"})])
def test_weights_may_be_chosen(run: Run, weights: str, found: set[str]) -> None:
    results = evaluate(run.path, ["latent-reconstruction"], weights=weights, n=10)  # type: ignore[arg-type]
    assert {result.weights for result in results} == found


def test_a_weights_file_is_evaluated_on_the_averages_and_nothing_is_written(run: Run) -> None:
    count = len(Folder(run.path).records())
    results = evaluate(run.path / "model.safetensors", ["pixel-reconstruction"])
    assert {result.weights for result in results} == {"average"}
    assert len(Folder(run.path).records()) == count
    with pytest.raises(RunError, match="averaged weights only"):
        evaluate(run.path / "model.safetensors", ["pixel-reconstruction"], weights="raw")


def test_a_recipe_without_averages_has_raw_weights_only(tmp_path: Path) -> None:
    source: dict[str, object] = {"extends": "alae-mlp", "remove": ["average.slow"]}
    run = train(source, tmp_path / "r", steps=1, overrides=NARROW | {"train.batch": 16})
    for weights in ("both", "average", "raw"):
        results = evaluate(run.path, ["latent-reconstruction"], weights=weights, n=10)
        assert [result.weights for result in results] == ["raw"]


def test_figures_of_later_steps_are_cut_when_a_run_goes_back(tmp_path: Path) -> None:
    run = train("alae-mlp", tmp_path / "r", steps=2, overrides=NARROW | {"train.batch": 16})
    evaluate(run.path, ["latent-reconstruction"], n=10)
    folder = Folder(run.path)
    folder.cut_metrics(2, 1)
    assert any("evaluation" in record for record in folder.records())
    folder.cut_metrics(1, 1)
    assert not any("evaluation" in record for record in folder.records())
