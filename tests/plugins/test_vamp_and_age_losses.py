"""The VampPrior's divergence and AGE's moments: values that follow from their definitions."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch import distributions as dist

from latentkit.components.divergences import kl as kl_to_standard
from latentkit.components.divergences import kl_two
from latentkit.components.posteriors import Posterior
from latentkit_plugins.age.losses import kl_moments
from latentkit_plugins.vamp.losses import kl, log_prob


def randn(*sizes: int, seed: int = 0) -> Tensor:
    return torch.randn(sizes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def posterior(*sizes: int, seed: int = 0) -> Posterior:
    return Posterior(randn(*sizes, seed=seed), 0.5 * randn(*sizes, seed=seed + 1))


def test_mixture_density_is_that_of_torch() -> None:
    components, logits, z = posterior(5, 3), randn(5, seed=7), randn(4, 3, seed=8)
    each = dist.Independent(dist.Normal(components.mu, (components.logvar / 2).exp()), 1)
    wanted = dist.MixtureSameFamily(dist.Categorical(logits=logits), each).log_prob(z)
    torch.testing.assert_close(log_prob(z, components, logits), wanted)
    torch.testing.assert_close(log_prob(z, components), log_prob(z, components, torch.full((5,), 3.0).double()))


def test_mixture_of_one_standard_gaussian_estimates_the_usual_divergence() -> None:
    q, one = posterior(1, 3), Posterior(torch.zeros(1, 3).double(), torch.zeros(1, 3).double())
    many = Posterior(*(field.expand(20000, 3) for field in q))
    samples = q.mu + (q.logvar / 2).exp() * randn(20000, 3, seed=5)
    estimates = kl(of=many, at=samples, components=one)
    error = float(estimates.std()) / math.sqrt(20000)
    assert float(estimates.mean()) == pytest.approx(float(kl_to_standard(q)), abs=4 * error)


def test_divergence_to_a_component_far_from_all_others_is_that_to_it_and_its_share() -> None:
    q = posterior(1, 2)
    far = Posterior(torch.cat([q.mu + 0.1, q.mu + 1e4]), torch.cat([q.logvar, q.logvar]))
    near = Posterior(far.mu[:1], far.logvar[:1])
    z = q.mu + (q.logvar / 2).exp()
    torch.testing.assert_close(kl(q, z, far), kl(q, z, near) + math.log(2))
    assert float(kl_two(q, near)) > 0


def test_gradient_reaches_components_and_weights() -> None:
    components = Posterior(randn(4, 2).requires_grad_(), randn(4, 2, seed=1).requires_grad_())
    logits = torch.zeros(4).double().requires_grad_()
    value = kl(posterior(3, 2, seed=4), randn(3, 2, seed=6), components, logits).mean()
    assert all(gradient.abs().min() > 0 for gradient in torch.autograd.grad(value, [*components, logits]))


def test_moments_of_standard_codes_cost_nothing_in_every_form() -> None:
    codes = randn(40, 3)
    codes = (codes - codes.mean(0)) / codes.std(0, correction=0)
    for released in (False, True):
        for reverse in (False, True):
            assert float(kl_moments(codes, released=released, reverse=reverse)) == pytest.approx(0, abs=1e-12)


def test_moments_are_the_divergence_of_the_fitted_gaussian() -> None:
    codes = 2 * randn(10, 3) + 1
    variance, mean = torch.var_mean(codes, 0, correction=0)
    fitted, standard = dist.Normal(mean, variance.sqrt()), dist.Normal(torch.zeros(3).double(), 1.0)
    torch.testing.assert_close(kl_moments(codes, mean=False), dist.kl_divergence(fitted, standard).sum())
    torch.testing.assert_close(kl_moments(codes, reverse=True), dist.kl_divergence(standard, fitted).mean())
    quirk = dist.Normal(mean, variance)  # the variance where the deviation belongs
    torch.testing.assert_close(kl_moments(codes, released=True), dist.kl_divergence(quirk, standard).mean())
    torch.testing.assert_close(
        kl_moments(codes, released=True, reverse=True, mean=False), dist.kl_divergence(standard, quirk).sum()
    )
