"""Log-likelihood by importance sampling, against linear-Gaussian models whose log p(x) is known; what recipes tell."""

from __future__ import annotations

import math
from collections import abc
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from latentkit.api import check, compose
from latentkit.engine.samples import Samples
from latentkit.errors import LatentkitError, NotFiniteError
from latentkit.evaluation.densities import densities_of
from latentkit.evaluation.dependence import standing_for_code
from latentkit.evaluation.evaluate import evaluate
from latentkit.evaluation.likelihood import NegativeLogLikelihood, log_weights
from latentkit.evaluation.subjects import samples_of
from latentkit.functions import loss, stateless
from latentkit.hooks import hookimpl
from latentkit.model import Model
from latentkit.registry.manager import Registry

VAE = str(Path(__file__).parent / "systems" / "vae.toml")
DIM, SIZE, STD, HELD_OUT = 6, 64, 0.5, 12
Tables = dict[str, object]


class Gaussian(NamedTuple):
    mu: Tensor
    logvar: Tensor


@loss("of: T, to: T -> score", likelihood="density")
def nll(of: Tensor, to: Tensor, std: float = STD) -> Tensor:
    """-log N(to; of, std^2)."""
    each = 0.5 * ((to - of) / std).square() + math.log(std) + 0.5 * math.log(2 * math.pi)
    return each.flatten(1).sum(1)


@loss("of: T, to: T -> score", likelihood="squared-error")
def sse(of: Tensor, to: Tensor) -> Tensor:
    """Squared error."""
    return (of - to).square().flatten(1).sum(1)


@loss("of: image[c, h, w], to: image[c, h, w] -> score", likelihood="probability")
def bernoulli(of: Tensor, to: Tensor) -> Tensor:
    """-log P(to) with these logits."""
    return F.binary_cross_entropy_with_logits(of, to, reduction="none").flatten(1).sum(1)


@stateless("function", "x: T, u: T -> T")
def binary(x: Tensor, u: Tensor) -> Tensor:
    """1 with probability (x + 1) / 2."""
    return (u < (x + 1) / 2).to(x.dtype)


@stateless("function", "z: latent[dim], components: posterior[dim] -> score")
def mixture(z: Tensor, components: Gaussian) -> Tensor:
    """Log-density of an even mixture."""
    distance = (z[:, None] - components.mu).square() / components.logvar.exp() + components.logvar
    return (-0.5 * (distance + math.log(2 * math.pi)).sum(2)).logsumexp(1) - math.log(len(components.mu))


@stateless("function", "q: posterior[dim], z: latent[dim] -> score")
def density(q: Gaussian, z: Tensor) -> Tensor:
    """Of a diagonal Gaussian."""
    return -0.5 * ((z - q.mu).square() / q.logvar.exp() + q.logvar + math.log(2 * math.pi)).sum(1)


class Plugin:
    title = paper = module = ""

    @hookimpl
    def latentkit_components(self) -> abc.Mapping[str, object]:
        return {"nll": nll, "sse": sse, "bernoulli": bernoulli, "binary": binary, "mixture": mixture,
                "density": density}  # fmt: skip


class Decoder(nn.Module):
    """x = z W + b."""

    def __init__(self, matrix: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.matrix, self.bias = nn.Parameter(matrix), nn.Parameter(bias)

    def forward(self, z: Tensor) -> Tensor:
        return (z @ self.matrix + self.bias).reshape(-1, 1, 8, 8)


class Exact(nn.Module):
    """The posterior of a linear-Gaussian model with orthogonal rows, off by a shift and a factor."""

    def __init__(self, decoder: Decoder, shift: float = 0.0, factor: float = 1.0) -> None:
        super().__init__()
        self.decoder, self.shift, self.factor = decoder, shift, factor
        self.calls = 0

    def forward(self, x: Tensor) -> Gaussian:
        self.calls += len(x)
        matrix, bias = self.decoder.matrix, self.decoder.bias
        variance = 1 / (1 + (matrix @ matrix.T).diagonal() / STD**2)
        mean = variance * ((x.flatten(1) - bias) @ matrix.T) / STD**2
        return Gaussian(mean + self.shift, (self.factor * variance).log().expand_as(mean))


@pytest.fixture
def known(registry: Registry) -> Registry:
    registry.add("lin", Plugin(), "tests", "0")
    assert not registry.plugins["lin"].fault
    return registry


LIKELIHOOD: Tables = {"use": "lin.nll", "of": "x_rec", "to": "x"}


@pytest.fixture
def vae(known: Registry) -> abc.Callable[..., Model]:
    """A linear-Gaussian autoencoder in float64, with other tables where they are given."""

    def make(shift: float = 0.0, factor: float = 1.0, **tables: object) -> Model:
        base: Tables = {"data.split": (48 - HELD_OUT) / 48, "phase.elbo.loss.likelihood": LIKELIHOOD}
        given = base | {key.replace("__", "."): value for key, value in tables.items()}
        recipe: Tables = {"extends": VAE, "remove": ["data"] if "data" in given else []}
        model = compose(recipe, {key: value for key, value in given.items() if value is not None}, registry=known)
        generator = torch.Generator().manual_seed(0)
        basis = torch.linalg.qr(torch.randn(SIZE, DIM, generator=generator, dtype=torch.float64))[0]
        decoder = Decoder(basis.T * torch.linspace(0.5, 2, DIM)[:, None], torch.linspace(-0.5, 0.5, SIZE))
        model.parts |= {"G": decoder.double(), "E": Exact(decoder, shift, factor).double()}
        return model

    return make


def held_out(model: Model) -> tuple[Samples, Tensor]:
    samples = samples_of(model)
    assert samples is not None
    return samples, samples.field("x", samples.held_out, torch.float64)


def truth(model: Model, mean: Tensor | None = None, variance: Tensor | None = None, std: float = STD) -> Tensor:
    """log p(x) of the held-out images where z is N(mean, diag(variance))."""
    decoder, x = model.parts["G"], held_out(model)[1].flatten(1)
    assert isinstance(decoder, Decoder)
    matrix, bias = decoder.matrix.detach(), decoder.bias.detach()
    mean = torch.zeros(DIM, dtype=torch.float64) if mean is None else mean
    variance = torch.ones(DIM, dtype=torch.float64) if variance is None else variance
    covariance = matrix.T @ (variance[:, None] * matrix) + std**2 * torch.eye(SIZE, dtype=torch.float64)
    return MultivariateNormal(mean @ matrix + bias, covariance).log_prob(x)


def estimates(model: Model, count: int, seed: int = 0) -> Tensor:
    """log p(x) of each held-out image."""
    samples, _ = held_out(model)
    weights = torch.stack(list(log_weights(model, densities_of(model), samples, 99, count, seed)))
    assert weights.shape == (HELD_OUT, count)
    return weights.logsumexp(1) - math.log(count)


@pytest.mark.parametrize("count", [1, 7])
def test_with_the_exact_posterior_one_code_gives_log_p_of_x(vae: abc.Callable[..., Model], count: int) -> None:
    model = vae()
    torch.testing.assert_close(estimates(model, count), truth(model), rtol=1e-10, atol=1e-9)


def test_with_another_posterior_the_estimate_is_within_its_sampling_error(vae: abc.Callable[..., Model]) -> None:
    model = vae(shift=0.1, factor=1.3)
    samples, _ = held_out(model)
    count = 4000
    weights = torch.stack(list(log_weights(model, densities_of(model), samples, 99, count, 1)))
    found = weights.logsumexp(1) - math.log(count)
    relative = (weights - found[:, None]).exp().std(1) / math.sqrt(count)  # delta method
    off = (found - truth(model)) / relative
    assert float(relative.max()) < 0.05
    assert float(off.abs().max()) < 4
    assert 0.5 < float(off.std()) < 2


def test_more_codes_come_closer_to_log_p_of_x_from_below(vae: abc.Callable[..., Model]) -> None:
    model = vae(shift=0.3, factor=2.0)
    gaps = [float((truth(model) - estimates(model, count)).mean()) for count in (1, 10, 100, 4000)]
    assert gaps[0] > gaps[1] > gaps[2] > abs(gaps[3])
    assert gaps[0] > 1
    assert abs(gaps[3]) < 0.1


def test_one_code_is_the_evidence_lower_bound(vae: abc.Callable[..., Model]) -> None:
    model = vae(shift=0.3, factor=2.0)
    _, x = held_out(model)
    q = model.parts["E"](x)
    divergence = 0.5 * (q.mu.square() + q.logvar.exp() - q.logvar - 1).sum(1)
    matrix = model.parts["G"].matrix.detach()
    # E |x - z W - b|^2 over q is that at the mean, and the trace of its covariance there.
    expected = nll(model.parts["G"](q.mu), x) + 0.5 * (q.logvar.exp() @ (matrix @ matrix.T).diagonal()) / STD**2
    samples, _ = held_out(model)
    weights = torch.stack(list(log_weights(model, densities_of(model), samples, 99, 3000, 2)))
    torch.testing.assert_close(weights.mean(1), -(expected + divergence).detach(), rtol=0, atol=0.3)
    (figure, _) = NegativeLogLikelihood(samples=3000).measure(model, samples, n=99, seed=2)
    assert figure.protocol["elbo"] == pytest.approx(float(weights.mean()))
    assert 1 < float(str(figure.protocol["effective_samples"])) < 3000


def test_the_figures_are_nats_and_bits_of_eight_bit_levels(vae: abc.Callable[..., Model]) -> None:
    model = vae()
    results = evaluate(model, ["nll"], options={"samples": 3}, n=10)
    nats, bits = results
    log_p = truth(model)[:10]
    assert (nats.name, bits.name) == ("nll", "nll-bits")
    assert nats.value == pytest.approx(float(-log_p.mean()))
    level = 2 / 255
    assert bits.value == pytest.approx(float(-log_p.mean()) / SIZE / math.log(2) - math.log2(level))
    assert nats.protocol["standard_error"] == pytest.approx(float(log_p.std() / math.sqrt(10)))
    assert bits.protocol["standard_error"] == pytest.approx(float(log_p.std() / math.sqrt(10)) / SIZE / math.log(2))
    wanted = {"unit": "nats per image", "n": 10, "samples": 3, "seed": 0, "images": "held out", "likelihood": "density"}
    assert wanted.items() <= nats.protocol.items()
    assert {"unit": "bits per number", "numbers": SIZE, "level": level}.items() <= bits.protocol.items()


def test_bits_are_the_same_in_any_value_range(vae: abc.Callable[..., Model]) -> None:
    wide = vae()
    narrow = vae(data__range=[0.0, 1.0], phase__elbo__loss__likelihood=LIKELIHOOD | {"std": STD / 2})
    decoder, encoder = wide.parts["G"], wide.parts["E"]

    class Halved(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            return (decoder(z) + 1) / 2

    class Doubled(nn.Module):
        def forward(self, x: Tensor) -> Gaussian:
            return encoder(2 * x - 1)  # type: ignore[no-any-return]

    narrow.parts = {"G": Halved(), "E": Doubled()}
    (_, first), (_, second) = (evaluate(model, ["nll"], options={"samples": 2}) for model in (wide, narrow))
    assert first.value == pytest.approx(second.value, rel=1e-5)


def test_codes_are_a_function_of_the_seed_and_the_place_alone(
    vae: abc.Callable[..., Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = vae(shift=0.3)
    samples, _ = held_out(model)
    whole = estimates(model, 20)
    few = torch.stack(list(log_weights(model, densities_of(model), samples, 3, 20, 0))).logsumexp(1) - math.log(20)
    torch.testing.assert_close(few, whole[:3])
    monkeypatch.setattr("latentkit.evaluation.likelihood.CHUNK", 7)
    torch.testing.assert_close(estimates(model, 20), whole)
    assert not torch.equal(estimates(model, 20, seed=1), whole)


def test_each_image_is_encoded_once(vae: abc.Callable[..., Model]) -> None:
    model = vae()
    estimates(model, 50)
    assert model.parts["E"].calls == HELD_OUT


def test_a_squared_error_with_a_weight_is_a_gaussian(vae: abc.Callable[..., Model]) -> None:
    weight = 1 / (2 * STD**2)
    model = vae(phase__elbo__loss__likelihood={"use": "lin.sse", "of": "x_rec", "to": "x", "weight": weight})
    torch.testing.assert_close(estimates(model, 2), truth(model))
    ramp = {"from": 1.0, "to": 2 * weight, "over": 10}
    timed = vae(phase__elbo__loss__likelihood={"use": "lin.sse", "of": "x_rec", "to": "x", "weight": ramp})
    assert densities_of(timed).image.factor == -1.0
    timed.step = 10
    assert densities_of(timed).image.factor == pytest.approx(-2 * weight)


def test_a_likelihood_may_be_a_part_that_an_expression_calls(vae: abc.Callable[..., Model]) -> None:
    model = vae(parts__L__use="lin.nll", phase__elbo__loss__likelihood="L(x_rec, x)")
    torch.testing.assert_close(estimates(model, 2), truth(model))


def test_the_gaussian_of_core_is_a_likelihood(vae: abc.Callable[..., Model]) -> None:
    model = vae(phase__elbo__loss__likelihood={"use": "core.gaussian-nll", "of": "x_rec", "to": "x", "std": STD})
    torch.testing.assert_close(estimates(model, 2), truth(model))


def test_roles_say_what_a_recipe_does_not_tell(vae: abc.Callable[..., Model]) -> None:
    """A sharper likelihood than the one that was trained, and the densities of prior and posterior written out."""
    model = vae(
        parts__L={"use": "lin.nll", "std": 0.4}, parts__Q__use="lin.density", parts__P__use="lin.mixture",
        parts__U={"use": "core.parameter", "shape": [3, 1, 8, 8]},
        phase__elbo__train=["E", "G", "U"], phase__elbo__loss__pseudo={"of": "sum(square(U()))"},
        inference__log_likelihood="-L(x_rec, x)", inference__log_posterior="Q(q, z)",
        inference__log_prior="P(z, E(U()))", inference__sample="G(prior) + 0 * batch_mean(mean(prior))",
    )  # fmt: skip
    exact = model.parts["E"]
    exact.factor = 2.0
    with torch.no_grad():
        components = exact(model.parts["U"]().double())
    model.parts["U"].double()
    pieces = [truth(model, mu, logvar.exp(), 0.4) for mu, logvar in zip(*components, strict=True)]
    wanted = torch.stack(pieces).logsumexp(0) - math.log(3)
    torch.testing.assert_close(estimates(model, 4000), wanted, rtol=0, atol=0.3)
    assert densities_of(model).code is None
    exact.calls = 0
    estimates(model, 5)
    assert exact.calls == HELD_OUT + 3  # the components once, not once per image


def test_images_that_a_draw_makes_binary_are_the_same_for_every_code(vae: abc.Callable[..., Model]) -> None:
    """The decoder looks at no code here, so that the likelihood of an image is one number."""
    model = vae(
        draw__u={"use": "uniform", "like": "x"}, parts__B__use="lin.binary", flow__x_bin="B(x, u)",
        flow__q="E(x_bin)", phase__elbo__loss__likelihood={"use": "lin.bernoulli", "of": "x_rec", "to": "x_bin"},
    )  # fmt: skip
    decoder = model.parts["G"]
    assert isinstance(decoder, Decoder)
    with torch.no_grad():
        decoder.matrix.zero_()
    found = densities_of(model)
    assert {node.source[1] for node in found.fresh} == {"eps"}
    samples, x = held_out(model)
    weights = torch.stack(list(log_weights(model, found, samples, 99, 30, 0)))
    assert float(weights.std(1).max()) < 1e-9
    logits = decoder(torch.zeros(1, DIM, dtype=torch.float64)).detach()
    rate = ((x + 1) / 2 * F.logsigmoid(logits) + (1 - x) / 2 * F.logsigmoid(-logits)).flatten(1).sum(1)
    assert float(weights.mean()) == pytest.approx(float(rate.mean()), rel=0.1)
    (nats, bits) = NegativeLogLikelihood(samples=2).measure(model, samples, n=99, seed=0)
    assert bits.value == pytest.approx(float(-weights.mean()) / SIZE / math.log(2))
    assert (nats.protocol["likelihood"], nats.protocol["grey"]) == ("probability", 0.0)


def test_grey_values_under_a_probability_of_binary_ones_are_noted(vae: abc.Callable[..., Model]) -> None:
    model = vae(
        phase__elbo__loss__likelihood={"use": "lin.bernoulli", "of": "x_rec", "to": "x"}, data__range=[0.0, 1.0]
    )
    samples, x = held_out(model)
    (nats, _) = NegativeLogLikelihood(samples=2).measure(model, samples, n=99, seed=0)
    assert nats.protocol["grey"] == pytest.approx(float(((x != 0) & (x != 1)).double().mean()))
    assert float(str(nats.protocol["grey"])) > 0.9


def test_labels_of_the_images_are_given(vae: abc.Callable[..., Model]) -> None:
    model = vae(
        data__gives={"x": "image", "y": "label"},
        flow__x_rec="G(z) + 0 * mean(y)", inference__decode="G(z) + 0 * mean(y)",
        inference__sample="G(prior) + 0 * mean(y)",
    )  # fmt: skip
    torch.testing.assert_close(estimates(model, 2), truth(model))


def test_data_of_another_source_are_not_known_for_an_image(vae: abc.Callable[..., Model]) -> None:
    sources = {name: {"use": "toy.images", "split": 0.5, "gives": {name: "image"}} for name in ("x", "other")}
    model = vae(data=sources, data__split=None, flow__x_rec="G(z) + 0 * mean(other)")
    wanted = "the densities need other, which is not of the images"
    assert NegativeLogLikelihood().applies(model, samples_of(model)) == wanted


def test_a_code_outside_the_prior_has_weight_zero_and_what_is_no_number_is_a_fault(
    vae: abc.Callable[..., Model],
) -> None:
    model = vae(draw__prior={"use": "uniform", "dim": DIM, "low": -100.0, "high": 100.0})
    assert bool((estimates(model, 3) > -math.inf).all())
    model = vae(draw__prior={"use": "uniform", "dim": DIM, "low": 1000.0, "high": 1001.0})
    (result, _) = evaluate(model, ["nll"], options={"samples": 2})
    assert (result.value, result.reason) == (None, "is not finite")
    with torch.no_grad():
        next(model.parts["G"].parameters()).fill_(math.nan)
    with pytest.raises(NotFiniteError, match="yields values that are not finite"):
        evaluate(model, ["nll"])


@pytest.mark.parametrize(
    ("tables", "reason"),
    [
        ({"phase__elbo__loss__likelihood": {"use": "core.l1", "of": "x_rec", "to": "x"}}, "no term of the recipe is a"),
        ({"phase__elbo__loss__more": LIKELIHOOD | {"std": 0.1}}, "2 terms of the recipe are a likelihood"),
        ({"phase__elbo__loss__likelihood": LIKELIHOOD | {"of": "E(x_rec).mu", "to": "E(x).mu"}}, "no term of the rec"),
        ({"phase__elbo__loss__likelihood": LIKELIHOOD | {"of": "x", "to": "x_rec"}}, "no term of the recipe is a"),
        ({"inference__log_likelihood": "-mean(square(x - x_rec))"}, "has no loss that declares a likelihood"),
        ({"inference__log_prior": "z"}, "the role 'log_prior' is latent[6]; expected one number per sample"),
        ({"inference__sample": "G(2 * prior)"}, "'sample' is not 'decode' of a draw"),
        ({"inference__sample": "G(prior) + 1"}, "'sample' is not 'decode' of a draw"),
        ({"flow__z": "q.mu + eps"}, "the code 'z' is not reparameterize(q, eps); write [inference] log_posterior"),
        ({"draw__eps": {"use": "normal", "like": "q.mu", "std": 2.0}}, "the noise of the code is not drawn from N(0"),
        ({"flow__q": "E(roll(x, 1))"}, "depend on other samples of the batch (roll)"),
        ({"draw__prior": {"use": "bernoulli", "dim": DIM}}, "the prior of the code (bernoulli) has no density"),
        (
            {"phase__elbo__loss__likelihood": {"use": "lin.sse", "of": "x_rec", "to": "x", "weight": "0.5 + 0.5"}},
            "is not one positive number; write [inference] log_likelihood",
        ),
    ],
)
def test_what_a_recipe_does_not_tell_is_said(vae: abc.Callable[..., Model], tables: Tables, reason: str) -> None:
    model = vae(**tables)
    assert reason in NegativeLogLikelihood().applies(model, samples_of(model))


@pytest.mark.parametrize(
    ("system", "reason"),
    [
        ("gan", "no term of the recipe is a likelihood"),
        ("aae", "no term of the recipe is a likelihood"),
        ("vae-gan", "no term of the recipe is a likelihood"),
    ],
)
def test_models_without_a_likelihood_have_none(system: str, reason: str, registry: Registry) -> None:
    model = compose(str(Path(VAE).with_name(f"{system}.toml")), registry=registry)
    assert reason in NegativeLogLikelihood().applies(model, None)


def test_a_prior_of_pseudo_inputs_is_not_taken_for_a_normal_one(known: Registry) -> None:
    tables = {"phase.elbo.loss.likelihood": LIKELIHOOD}
    model = compose(str(Path(VAE).with_name("vampprior.toml")), tables, registry=known)
    wanted = "'sample' is not 'decode' of a draw, so nothing tells the prior of the code; write [inference] log_prior"
    assert NegativeLogLikelihood().applies(model, None) == wanted


def test_without_held_out_images_there_is_none(vae: abc.Callable[..., Model]) -> None:
    model = vae(data__split=1.0)
    assert "no images are held out" in NegativeLogLikelihood().applies(model, samples_of(model))


def test_roles_of_densities_are_checked_with_the_recipe(known: Registry) -> None:
    tables = {"phase.elbo.loss.likelihood": LIKELIHOOD, "parts.L.use": "lin.nll",
              "inference.log_likelihood": "-L(x_rec, x)"}  # fmt: skip
    assert check(VAE, tables, registry=known).ok
    broken = check(VAE, tables | {"inference.log_likelihood": "-L(x_rec)"}, registry=known)
    assert not broken.ok
    assert "log_likelihood" in str(broken.problems[0])


def test_it_is_taken_only_where_it_is_asked_for(vae: abc.Callable[..., Model], known: Registry) -> None:
    model = vae()
    model.parts = {name: part.float() for name, part in model.parts.items()}
    assert "nll" not in {result.name for result in evaluate(model, n=4, registry=known)}
    assert {result.name for result in evaluate(model, ["nll"], n=4)} == {"nll", "nll-bits"}


def test_options_go_to_the_metrics_that_have_them(vae: abc.Callable[..., Model]) -> None:
    results = evaluate(vae(), ["nll", "pixel-reconstruction"], options={"samples": 4})
    assert {result.name: result.protocol.get("samples") for result in results}["nll"] == 4
    with pytest.raises(LatentkitError, match="no metric that is taken has the option 'samples': pixel-reconstruction"):
        evaluate(vae(), ["pixel-reconstruction"], options={"samples": 4})
    with pytest.raises(LatentkitError, match=r"nll: .*samples.* must be >= 1"):
        evaluate(vae(), ["nll"], options={"samples": 0})


def test_a_likelihood_without_a_target_is_a_mistake_of_its_author() -> None:
    with pytest.raises(TypeError, match="a likelihood has a port 'to'"):

        @loss("of: T, other: T -> score", likelihood="density")
        def wrong(of: Tensor, other: Tensor) -> Tensor:
            return of.sum(1)


def test_the_code_is_found_wherever_sample_repeats_decode(vae: abc.Callable[..., Model]) -> None:
    wiring = vae(inference__decode="G(z) + mean(z)", inference__sample="G(prior) + mean(prior)").wiring
    found = standing_for_code("z", wiring.inference["decode"], wiring.inference["sample"])
    assert found is not None
    assert found.source == ("draw", "prior")
    wiring = vae(
        draw__other={"use": "normal", "dim": DIM}, inference__decode="G(z) + mean(z)",
        inference__sample="G(prior) + mean(other)",
    ).wiring  # fmt: skip
    assert standing_for_code("z", wiring.inference["decode"], wiring.inference["sample"]) is None
