"""Likelihoods, divergences and discrepancies: values that follow from their definitions, and what they refuse."""

from __future__ import annotations

import functools
import math
from collections import abc
from typing import Any

import pytest
import torch
from torch import Tensor
from torch import distributions as dist

from latentkit._building import wired
from latentkit.components.discrepancies import mmd, sliced_wasserstein
from latentkit.components.divergences import kl, kl_capacity, kl_free_bits, kl_two
from latentkit.components.likelihoods import bernoulli_nll, cross_entropy, gaussian_nll
from latentkit.components.posteriors import Posterior, log_density
from latentkit.engine.training import Training
from latentkit.errors import Mismatch, RecipeError
from latentkit.proof import prove
from latentkit.registry.manager import Registry

Start = abc.Callable[..., Training]
LN_2PI = math.log(2 * math.pi)


def randn(*sizes: int, seed: int = 0) -> Tensor:
    return torch.randn(sizes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def posterior(*sizes: int, seed: int = 0) -> Posterior:
    return Posterior(randn(*sizes, seed=seed), randn(*sizes, seed=seed + 1))


def distribution(q: Posterior) -> dist.Normal:
    return dist.Normal(q.mu, (q.logvar / 2).exp())


# Likelihoods


@pytest.mark.parametrize("std", [1.0, 0.3, 7.0])
def test_gaussian_nll_is_the_negative_log_density(std: float) -> None:
    mean, value = randn(3, 2, 4), randn(3, 2, 4, seed=1)
    wanted = -dist.Normal(mean, std).log_prob(value).flatten(1).sum(1)
    torch.testing.assert_close(gaussian_nll(of=mean, to=value, std=std), wanted)
    torch.testing.assert_close(gaussian_nll(mean, value, std=torch.tensor(std).double()), wanted)


def test_gaussian_nll_of_a_learned_deviation_is_least_at_the_root_mean_square() -> None:
    error = randn(5, 6)
    std = error.square().mean().sqrt().requires_grad_()
    (gradient,) = torch.autograd.grad(gaussian_nll(error, torch.zeros_like(error), std).mean(), std)
    assert abs(float(gradient)) < 1e-12


@pytest.mark.parametrize("std", [0.0, -1.0])
def test_gaussian_nll_refuses_a_deviation_that_is_none(std: float) -> None:
    with pytest.raises(Mismatch, match=r"^gaussian-nll: std must be above 0, found -?\d$"):
        gaussian_nll(randn(2, 2), randn(2, 2), std)


def test_bernoulli_nll_of_logits_is_exact_where_probabilities_saturate() -> None:
    logits, ones = torch.tensor([[-300.0, 300.0, 0.0]]), torch.ones(1, 3)
    assert float(bernoulli_nll(logits, ones)) == pytest.approx(300 + math.log(2))
    least = torch.finfo(torch.float32).tiny  # the sigmoid is 0 there
    assert float(bernoulli_nll(logits.sigmoid(), ones, logits=False)) == pytest.approx(-math.log(least) + math.log(2))


def test_bernoulli_nll_of_saturated_probabilities_has_no_gradient() -> None:
    p = torch.tensor([[0.0, 1.0, 0.25]]).double().requires_grad_()
    (gradient,) = torch.autograd.grad(bernoulli_nll(p, torch.ones_like(p), logits=False).sum(), p)
    assert gradient.tolist() == [[0.0, 0.0, -4.0]]
    logits = torch.tensor([[-200.0, 200.0, -60.0]], requires_grad=True)
    value = bernoulli_nll(logits.sigmoid(), torch.ones(1, 3), logits=False).sum() * 1e6
    (gradient,) = torch.autograd.grad(value, logits)
    assert gradient.tolist() == [[0.0, 0.0, pytest.approx(-1e6)]]


def test_the_gradients_of_bernoulli_nll_are_those_of_its_formula() -> None:
    def plain(p: Tensor, t: Tensor) -> Tensor:
        return -(t * p.log() + (1 - t) * (1 - p).log()).sum(1)

    def mine(p: Tensor, t: Tensor) -> Tensor:
        return bernoulli_nll(p, t, logits=False)

    values = [randn(4, 5, seed=seed).sigmoid().requires_grad_() for seed in range(2)]
    for first, second in zip(
        torch.autograd.grad(mine(*values).square().sum(), values, create_graph=True),
        torch.autograd.grad(plain(*values).square().sum(), values, create_graph=True), strict=True,
    ):  # fmt: skip
        torch.testing.assert_close(first, second, rtol=1e-12, atol=0)
        again = (torch.autograd.grad(g.square().sum(), values, retain_graph=True) for g in (first, second))
        torch.testing.assert_close(*again, rtol=1e-10, atol=0)


def test_losses_keep_their_digits_under_autocast() -> None:
    a, b, ones = randn(8, 5).float(), randn(8, 5, seed=1).float(), torch.ones(8, 5)
    for value in (
        functools.partial(sliced_wasserstein, a, b, randn(3, 5, seed=2).float()),
        functools.partial(bernoulli_nll, a.sigmoid(), ones, logits=False),
        functools.partial(mmd, a, b),
        functools.partial(kl, Posterior(a, b)),
    ):
        wanted = value()
        with torch.autocast("cpu", torch.bfloat16):
            torch.testing.assert_close(value(), wanted)


def test_bernoulli_nll_of_a_grey_target_is_least_at_that_grey_value() -> None:
    target = torch.tensor([[0.2, 0.7]]).double()
    logits = target.logit().requires_grad_()
    (gradient,) = torch.autograd.grad(bernoulli_nll(logits, target).sum(), logits)
    torch.testing.assert_close(gradient, torch.zeros_like(logits), atol=1e-12, rtol=0)


def test_cross_entropy_is_the_negative_log_probability_of_the_class() -> None:
    logits, index = 50 * randn(6, 4), torch.tensor([0, 1, 2, 3, 0, 1])
    one_hot = torch.nn.functional.one_hot(index, 4).double()
    wanted = -dist.Categorical(logits=logits).log_prob(index)
    torch.testing.assert_close(cross_entropy(of=logits, to=one_hot), wanted)


# Divergences


def test_log_density_is_that_of_a_diagonal_gaussian() -> None:
    q, z = posterior(3, 4), randn(3, 4, seed=9)
    torch.testing.assert_close(log_density(q, z), distribution(q).log_prob(z).sum(1))


def test_divergences_are_those_of_torch() -> None:
    q, p = posterior(3, 4), posterior(3, 4, seed=5)
    standard = Posterior(torch.zeros(3, 4).double(), torch.zeros(3, 4).double())
    torch.testing.assert_close(kl_two(of=q, to=p), dist.kl_divergence(distribution(q), distribution(p)).sum(1))
    torch.testing.assert_close(kl_two(of=q, to=standard), kl(q))
    assert kl_two(q, q).abs().max() < 1e-12


def test_divergence_close_to_the_prior_keeps_its_digits() -> None:
    near = Posterior(torch.zeros(1, 1), torch.full((1, 1), 1e-4))
    assert float(kl(near)) == pytest.approx(0.25e-8, rel=1e-2)  # logvar^2 / 4; without expm1 float32 has nothing left


def test_free_bits_take_the_mean_over_the_batch_before_the_maximum() -> None:
    mu = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 0.0]]).double().requires_grad_()
    q = Posterior(mu, torch.zeros_like(mu))  # per coordinate and sample mu^2 / 2; means 1, 0.5, 0
    found = kl_free_bits(of=q, nats=0.75)
    assert found.item() == pytest.approx(1.0 + 0.75 + 0.75)
    (gradient,) = torch.autograd.grad(found, mu)
    assert gradient.tolist() == [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    assert kl_free_bits(q, nats=0.0).item() == pytest.approx(kl(q).mean().item())


def test_capacity_measures_the_batch_mean_from_both_sides() -> None:
    mu = torch.tensor([[2.0, 0.0], [0.0, 0.0]]).double()
    q = Posterior(mu, torch.zeros_like(mu))  # 2 and 0 nats, mean 1
    assert [float(kl_capacity(of=q, capacity=c)) for c in (0.0, 1.0, 3.0)] == [1.0, 0.0, 2.0]


def test_capacity_may_be_a_schedule(start: Start) -> None:
    losses = {"capacity": {"from": 0, "to": 4, "over": 2}, "weight": 1}
    capacities = {"use": "kl-capacity", "of": "q"} | losses
    training = start("vae", {"phase.elbo.loss.kl": capacities, "phase.elbo.loss.plain": {"use": "kl", "of": "q"}})
    for capacity in (0.0, 2.0, 4.0, 4.0):
        terms = training.step()
        found, plain = (float(terms["elbo", name]) for name in ("kl", "plain"))
        assert found == pytest.approx(abs(plain - capacity), rel=1e-5)


# Discrepancies


def test_mmd_of_two_pairs_of_points_is_worked_out_by_hand() -> None:
    a, b = torch.tensor([[0.0], [2.0]]).double(), torch.tensor([[0.0], [1.0]]).double()
    # squared distances: 4 within a, 1 within b; 0, 1, 4, 1 between; C = 2
    imq = [2 / (2 + d) for d in (4, 1, 0, 1, 4, 1)]
    wanted = imq[0] + imq[1] - 2 * sum(imq[2:]) / 4
    assert float(mmd(of=a, to=b)) == pytest.approx(wanted)
    biased = (2 + 2 * imq[0]) / 4 + (2 + 2 * imq[1]) / 4 - 2 * sum(imq[2:]) / 4
    assert float(mmd(of=a, to=b, biased=True)) == pytest.approx(biased)
    rbf = [math.exp(-d / 8) for d in (4, 1, 0, 1, 4, 1)]  # bandwidth 2: C = 8
    wanted = rbf[0] + rbf[1] - 2 * sum(rbf[2:]) / 4
    assert float(mmd(of=a, to=b, kernel="rbf", bandwidth=2.0)) == pytest.approx(wanted)


def test_mmd_of_a_batch_with_itself_is_zero_and_has_a_finite_gradient() -> None:
    a = randn(5, 3).requires_grad_()
    for kernel in ("imq", "rbf"):
        found = mmd(of=a, to=a.detach(), kernel=kernel, biased=True)  # type: ignore[arg-type]
        (gradient,) = torch.autograd.grad(found, a)
        assert found.item() == pytest.approx(0, abs=1e-12)
        torch.testing.assert_close(gradient, torch.zeros_like(a), atol=1e-12, rtol=0)


def test_unbiased_mmd_averages_to_zero_for_equal_distributions_and_biased_does_not() -> None:
    pairs = [(randn(6, 2, seed=2 * k), randn(6, 2, seed=2 * k + 1)) for k in range(400)]
    unbiased = torch.stack([mmd(a, b) for a, b in pairs])
    biased = torch.stack([mmd(a, b, biased=True) for a, b in pairs])
    assert abs(float(unbiased.mean())) < 4 * float(unbiased.std()) / 20
    assert float(unbiased.min()) < 0 < 0.05 < float(biased.mean())


def test_mmd_takes_batches_of_different_sizes_but_not_of_one() -> None:
    assert math.isfinite(float(mmd(randn(4, 2), randn(7, 2, seed=1))))
    with pytest.raises(Mismatch, match=r"^mmd: a batch of one sample has no pairs"):
        mmd(randn(1, 2), randn(4, 2))
    assert float(mmd(randn(1, 2), randn(1, 2), biased=True)) == 0


def test_sliced_distance_of_a_shifted_batch_is_the_shift_along_each_direction() -> None:
    a, shift = randn(9, 3), torch.tensor([1.0, 0.0, -2.0]).double()
    b = (a + shift)[torch.randperm(9, generator=torch.Generator().manual_seed(0))]
    directions = torch.eye(3).double()
    assert float(sliced_wasserstein(of=a, to=b, projections=directions)) == pytest.approx((1 + 0 + 4) / 3)
    assert float(sliced_wasserstein(of=a, to=b, projections=7 * directions, p=1)) == pytest.approx(1.0)


def test_sliced_distance_wants_batches_of_one_size() -> None:
    with pytest.raises(Mismatch, match="wants batches of one size, was given 3 and 4 samples"):
        sliced_wasserstein(randn(3, 2), randn(4, 2), randn(5, 2))
    with pytest.raises(Mismatch, match="p must be at least 1, found 0"):
        sliced_wasserstein(randn(3, 2), randn(3, 2), randn(5, 2), p=0)


# In recipes


def changed(**losses: dict[str, Any]) -> dict[str, Any]:
    return {f"phase.elbo.loss.{name}": term for name, term in losses.items()}


GAUSSIAN = {"use": "gaussian-nll", "of": "x_rec", "to": "x", "std": {"from": 1.0, "to": 0.5, "over": 4}}
SLICED = {"use": "sliced-wasserstein", "of": "z", "to": "prior", "projections": "theta"}
MMD = {"use": "mmd", "of": "z", "to": "prior", "scales": [0.5, 1, 2], "weight": 10}


@pytest.mark.parametrize(
    ("system", "overrides"),
    [
        ("vae", changed(kl={"use": "kl", "of": "q"}, likelihood=GAUSSIAN)),
        ("vae", changed(kl={"use": "kl-free-bits", "of": "q", "nats": 0.1})),
        ("vae", changed(kl={"use": "kl-two", "of": "q", "to": "q2"}) | {"flow.q2": "E(0.5 * x)"}),
        ("vae", changed(kl=MMD)),
        ("vae", changed(kl=SLICED) | {"draw.theta": {"use": "sphere"}}),
        ("vampprior", changed(kl={"use": "vamp.kl", "of": "q", "at": "z", "components": "pseudo"})),
        ("age", {"parts.K.use": "age.kl-moments"}),
        ("introvae", {"parts.K.use": "kl"}),
    ],
)
def test_recipes_with_these_losses_are_proved_and_train(
    system: str, overrides: dict[str, Any], start: Start, registry: Registry
) -> None:
    training = start(system, overrides)
    report = prove(training.wiring, registry)
    assert report.problems == ()
    for _ in range(2):
        assert all(math.isfinite(float(value)) for value in training.step().values())


BERNOULLI = changed(likelihood={"use": "bernoulli-nll", "of": "x_rec", "to": "x"})


def test_bernoulli_pixels_want_data_from_0_to_1(registry: Registry, tables: abc.Callable[[str], Any]) -> None:
    with pytest.raises(RecipeError, match=r"loss.likelihood.*wants to: image.*in \[0, 1\].*was given.*in \[-1, 1\]"):
        wired(tables("vae"), BERNOULLI, registry)
    wiring = wired(tables("vae"), BERNOULLI | {"data.range": [0.0, 1.0]}, registry)
    assert prove(wiring, registry).problems == ()


@pytest.mark.parametrize(
    ("term", "said"),
    [
        (MMD | {"scales": []}, r"loss.kl: 'scales' wants one number above 0, or several, found \[\]"),
        (MMD | {"kernel": "cauchy"}, r'loss.kl.kernel: expected one of "imq", "rbf", found "cauchy"'),
        (MMD | {"bandwidth": 0}, r"loss.kl.bandwidth: must be above 0, found 0"),
        ({"use": "kl-free-bits", "of": "q"}, r"loss.kl: kl-free-bits needs 'nats'"),
        ({"use": "kl", "of": "z"}, r"loss.kl: kl wants of: posterior"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    term: dict[str, Any], said: str, registry: Registry, tables: abc.Callable[[str], Any]
) -> None:
    with pytest.raises(RecipeError, match=said):
        wired(tables("vae"), changed(kl=term), registry)
