"""Priors that are fitted to codes of training images: the mixture, its density, the file beside a run."""

from __future__ import annotations

import math
import os
import sys
from collections import abc
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

import latentkit as lk
from latentkit.api import compose
from latentkit.errors import DataError, LatentkitError, NotFiniteError, RunError
from latentkit.evaluation import code_prior, expost
from latentkit.evaluation.code_prior import CodePrior, fit_gmm
from latentkit.evaluation.expost import fit_prior
from latentkit.evaluation.subjects import samples_of
from latentkit.model import Model
from latentkit.registry.manager import Registry

SYSTEMS = Path(__file__).parent / "systems"
NARROW: dict[str, object] = {
    "data.use": "digits", "data.resolution": 8, "data.split": 0.5, "draw.z.dim": 3, "parts.E.hidden": 12,
    "parts.G.hidden": 12,
}  # fmt: skip


class Projection(nn.Module):
    """The first numbers of an image, as a code that is no more Gaussian than digits are."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x[:, 0, 3, 2:5]


@pytest.fixture
def model() -> Model:
    model = compose("alae-mlp", NARROW)
    model.parts["E"] = Projection()
    return model


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "r"
    lk.train("alae-mlp", path, steps=1, overrides=NARROW | {"train.batch": 16})
    return path


@pytest.fixture
def two() -> CodePrior:
    """Two Gaussians in the plane, far apart."""
    return CodePrior(
        means=torch.tensor([[-3.0, 0.0], [5.0, 1.0]], dtype=torch.float64),
        covariances=torch.tensor([[[1.0, 0.5], [0.5, 2.0]], [[0.1, 0.0], [0.0, 0.3]]], dtype=torch.float64),
        weights=torch.tensor([0.25, 0.75], dtype=torch.float64), shape=(2,), notes={"kind": "gmm"},
    )  # fmt: skip


def test_samples_have_the_moments_of_the_mixture(two: CodePrior) -> None:
    codes = two.sample(20000, seed=1)
    assert (codes.dtype, codes.shape) == (torch.float32, (20000, 2))
    left = codes[codes[:, 0] < 2].double()
    assert len(left) / 20000 == pytest.approx(0.25, abs=0.01)
    torch.testing.assert_close(left.mean(0), two.means[0], rtol=0, atol=0.06)
    torch.testing.assert_close(torch.cov(left.T), two.covariances[0], rtol=0, atol=0.12)
    assert torch.equal(codes, two.sample(20000, seed=1))
    assert not torch.equal(codes, two.sample(20000, seed=2))


def test_the_density_is_that_of_torch(two: CodePrior) -> None:
    parts = MultivariateNormal(two.means, two.covariances)
    mixture = MixtureSameFamily(Categorical(two.weights), parts)
    points = torch.randn(50, 2, dtype=torch.float64) * 4
    torch.testing.assert_close(two.log_prob(points), mixture.log_prob(points))


def test_codes_may_have_any_shape(two: CodePrior) -> None:
    flat = two.sample(6, seed=0)
    folded = CodePrior(means=two.means, covariances=two.covariances, weights=two.weights, shape=(2, 1))
    assert folded.sample(6, seed=0).shape == (6, 2, 1)
    torch.testing.assert_close(folded.log_prob(flat.reshape(6, 2, 1)), two.log_prob(flat))


def test_a_mixture_is_found_again_from_its_samples(two: CodePrior) -> None:
    means, covariances, weights, notes = fit_gmm(two.sample(5000).numpy(), 2, seed=0)
    order = means[:, 0].argsort()
    torch.testing.assert_close(weights[order], two.weights, rtol=0, atol=0.02)
    torch.testing.assert_close(means[order], two.means, rtol=0, atol=0.15)
    torch.testing.assert_close(covariances[order], two.covariances, rtol=0, atol=0.25)
    assert notes["converged"] is True
    assert notes["log_likelihood"] == pytest.approx(float(two.log_prob(two.sample(5000)).mean()), abs=0.05)


def test_the_unit_of_the_codes_does_not_matter() -> None:
    rows = np.random.RandomState(0).randn(300, 3).astype(np.float32)
    large, small = (fit_gmm(rows * factor, 3, seed=0) for factor in (1e4, 1e-4))
    torch.testing.assert_close(large[0] / 1e4, small[0] / 1e-4, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(large[1] / 1e8, small[1] / 1e-8, rtol=1e-3, atol=1e-6)
    shift = 3 * math.log(1e8)
    assert float(str(small[3]["log_likelihood"])) - float(str(large[3]["log_likelihood"])) == pytest.approx(shift)


def test_codes_that_are_all_alike_still_have_a_density() -> None:
    means, covariances, weights, _ = fit_gmm(np.full((40, 2), 3.0, np.float32), 2, seed=0)
    prior = CodePrior(means=means, covariances=covariances, weights=weights, shape=(2,))
    assert float((prior.sample(10) - 3).abs().max()) < 0.02
    assert bool(torch.isfinite(prior.log_prob(torch.full((1, 2), 3.0))).all())


def test_a_prior_is_fitted_to_the_codes_of_training_images(model: Model) -> None:
    samples = samples_of(model)
    assert samples is not None
    prior = fit_prior(model, components=4)
    codes = model.encode(samples.field("x", samples.training, torch.float32))
    means, covariances, weights, _ = fit_gmm(codes.numpy(), 4, 0)
    for found, wanted in ((prior.means, means), (prior.covariances, covariances), (prior.weights, weights)):
        torch.testing.assert_close(found, wanted)
    assert prior.shape == (3,)
    assert {"kind": "gmm", "components": 4, "codes": len(samples.training), "step": 0}.items() <= prior.notes.items()
    assert model.decode(prior.sample(5)).shape == (5, 1, 8, 8)
    assert fit_prior(model, components=2, images=100).notes["codes"] == 100


def test_a_better_fit_than_one_gaussian_is_told_by_held_out_codes(model: Model) -> None:
    samples = samples_of(model)
    assert samples is not None
    codes = model.encode(samples.field("x", samples.held_out, torch.float32))
    one, ten = (fit_prior(model, components=k).log_prob(codes).mean() for k in (1, 10))
    assert float(ten) > float(one) + 0.3


def test_a_run_keeps_its_prior_and_needs_no_data_to_use_it(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fit_prior(run, components=3)
    file = run / "prior-gmm.safetensors"
    assert file.is_file()
    monkeypatch.setattr(expost, "samples_of", lambda _: pytest.fail("opened the data"))
    again = fit_prior(str(run), components=3)
    assert again.notes == first.notes
    assert torch.equal(again.sample(9, seed=4), first.sample(9, seed=4))
    assert lk.fit_prior is fit_prior


@pytest.mark.parametrize("change", [{"components": 2}, {"seed": 5}, {"images": 50}, {"weights": "raw"}])
def test_other_settings_or_weights_are_fitted_anew(run: Path, change: dict[str, object]) -> None:
    first = fit_prior(run, components=3)
    with torch.no_grad():
        other = fit_prior(run, **({"components": 3} | change))  # type: ignore[arg-type]
    same_weights = "weights" not in change
    assert (other.notes["model"] == first.notes["model"]) is same_weights
    assert other.notes != first.notes
    assert CodePrior.load(run / "prior-gmm.safetensors").notes == other.notes


def test_a_damaged_prior_is_made_again(run: Path) -> None:
    first = fit_prior(run, components=3)
    file = run / "prior-gmm.safetensors"
    whole = file.read_bytes()
    for content in (b"", whole[:-8] + bytes(8), whole[:200]):
        file.write_bytes(content)
        with pytest.raises(RunError, match="damaged"):
            CodePrior.load(file)
        assert torch.equal(fit_prior(run, components=3).means, first.means)
        assert CodePrior.load(file).notes == first.notes
    with pytest.raises(RunError, match="no prior"):
        CodePrior.load(run / "model.safetensors")


def test_a_prior_that_cannot_be_kept_costs_a_warning(run: Path) -> None:
    file = run / "prior-gmm.safetensors"
    file.unlink(missing_ok=True)
    file.mkdir()
    with pytest.warns(UserWarning, match="the prior is not kept, and will be fitted again"):
        prior = fit_prior(run, components=3)
    assert prior.sample(2).shape == (2, 3)
    file.rmdir()


def test_nothing_is_kept_beside_a_single_file_or_a_model(run: Path, model: Model) -> None:
    file = run / "prior-gmm.safetensors"
    file.unlink(missing_ok=True)
    fit_prior(run / "model.safetensors", components=3)
    fit_prior(model, components=3)
    assert not file.exists()
    assert not [name for name in os.listdir(run) if name.startswith(".")]


@pytest.mark.parametrize(
    ("system", "reason"),
    [("gan", "the recipe has no role 'encode'"), ("aae", None), ("vae", None)],
)
def test_it_needs_an_encoder_and_a_decoder(system: str, reason: str | None, registry: Registry) -> None:
    model = compose(SYSTEMS / f"{system}.toml", registry=registry)
    if reason is None:
        prior = fit_prior(model, components=2)
        assert model.decode(prior.sample(3)).shape[0] == 3
    else:
        with pytest.raises(LatentkitError, match=f"'gan' can have no prior of its codes: {reason}"):
            fit_prior(model)


def test_a_decoder_that_needs_more_than_codes_has_none() -> None:
    tables = {"data.gives": {"x": "image", "y": "label"}, "inference.decode": "G(w) + 0 * mean(y)"}
    with pytest.raises(LatentkitError, match="the role 'decode' needs y besides"):
        fit_prior(compose("alae-mlp", NARROW | tables))


def test_missing_data_are_named(tmp_path: Path) -> None:
    gone = {"use": "folder", "path": str(tmp_path / "gone"), "resolution": 8, "channels": 1, "range": [0.0, 1.0]}
    rest = {key: value for key, value in NARROW.items() if not key.startswith("data")}
    with pytest.raises(DataError, match="gone"):
        fit_prior(compose("alae-mlp", rest | {"data": gone}))


def test_mistakes_are_said(model: Model, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(message: str, call: abc.Callable[[], object]) -> None:
        with pytest.raises(LatentkitError, match=message):
            call()

    fails("prior: expected 'gmm', found 'flow'", lambda: fit_prior(model, "flow"))
    fails("components: expected 1 or more, found 0", lambda: fit_prior(model, components=0))
    fails("900 components want at least 900 images, there are 898", lambda: fit_prior(model, components=900))
    fails("no such file or folder", lambda: fit_prior(run / "nothing"))
    monkeypatch.setattr(code_prior, "MOST_NUMBERS", 10)
    fails("covariances of codes of 3 numbers", lambda: fit_prior(model, components=2))
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "sklearn.mixture", None)
    fails(r"latentkit\[eval\]", lambda: fit_prior(model))
    with torch.no_grad():
        next(model.parts["E"].parameters()).fill_(math.nan)
    with pytest.raises(NotFiniteError, match="the role 'encode' yields values that are not finite"):
        fit_prior(model)
