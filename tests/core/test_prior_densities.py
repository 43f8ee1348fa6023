"""The mixture prior, and the log-densities of priors."""

from __future__ import annotations

import math
from collections import abc
from typing import Any

import attrs
import pytest
import torch
from torch import Tensor
from torch import distributions as dist

from latentkit._building import wired
from latentkit.components.mixtures import Mixture
from latentkit.components.priors import Sphere, TruncatedNormal
from latentkit.engine.training import Training
from latentkit.errors import Mismatch, RecipeError
from latentkit.proof import prove
from latentkit.recipe.quantities import Constant, Ramp
from latentkit.registry.manager import Registry

Start = abc.Callable[..., Training]


def draw(prior: Mixture, count: int, seed: int = 0) -> Tensor:
    return prior.draw((count, len(prior.points()[0])), torch.Generator().manual_seed(seed))


def test_ring_and_grid_have_their_means_in_the_plane() -> None:
    ring = torch.tensor(Mixture(ring=4, scale=2.0).points())
    torch.testing.assert_close(
        ring, torch.tensor([[2.0, 0.0], [0.0, 2.0], [-2.0, 0.0], [0.0, -2.0]]), atol=1e-6, rtol=0
    )
    grid = Mixture(grid=3, scale=2.0).points()
    assert grid == ((-2, -2), (-2, 0), (-2, 2), (0, -2), (0, 0), (0, 2), (2, -2), (2, 0), (2, 2))


@pytest.mark.parametrize("weights", [None, (3.0, 1.0, 2.0)])
def test_log_density_of_a_mixture_is_that_of_torch(weights: tuple[float, ...] | None) -> None:
    means = ((0.0, 1.0, -1.0), (2.0, 0.0, 0.0), (-3.0, 1.0, 4.0))
    prior = Mixture(means=means, weights=weights, std=Constant(0.7))
    mixing = dist.Categorical(torch.tensor(weights or (1.0, 1.0, 1.0)).double())
    each = dist.Independent(dist.Normal(torch.tensor(means).double(), 0.7), 1)
    value = 3 * torch.randn(8, 3, generator=torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(prior.log_prob(value), dist.MixtureSameFamily(mixing, each).log_prob(value))


def test_density_of_a_mixture_integrates_to_one() -> None:
    axis = torch.linspace(-3, 3, 241, dtype=torch.float64)
    points = torch.cartesian_prod(axis, axis)
    density = Mixture(ring=5, std=Constant(0.3)).log_prob(points).exp()
    assert float(density.sum() * (axis[1] - axis[0]) ** 2) == pytest.approx(1, abs=1e-6)


def test_samples_of_a_mixture_follow_its_weights_means_and_deviation() -> None:
    prior = Mixture(means=((-5.0, 0.0), (5.0, 1.0)), weights=(1.0, 3.0), std=Constant(0.5))
    samples = draw(prior, 4000)
    right = samples[:, 0] > 0
    assert float(right.float().mean()) == pytest.approx(0.75, abs=0.03)
    torch.testing.assert_close(samples[right].mean(0), torch.tensor([5.0, 1.0]), atol=0.05, rtol=0)
    torch.testing.assert_close(samples[right].std(0), torch.tensor([0.5, 0.5]), atol=0.03, rtol=0)


def test_samples_of_a_mixture_are_a_function_of_the_generator() -> None:
    prior = Mixture(grid=3)
    assert torch.equal(draw(prior, 5, seed=1), draw(prior, 5, seed=1))
    assert not torch.equal(draw(prior, 5, seed=1), draw(prior, 5, seed=2))


def test_a_mixture_draws_no_other_sizes() -> None:
    with pytest.raises(Mismatch, match=r"^mixture: draws samples of 2 coordinates, was asked for \[3\]$"):
        Mixture(ring=3).draw((4, 3), torch.Generator())


def mixed(**options: object) -> dict[str, Any]:
    return {"draw.prior": {"use": "mixture", **options}, "phase.elbo.loss.kl": {"use": "mmd", "of": "z", "to": "prior"}}


def test_recipe_with_a_mixture_takes_its_size_from_it_and_its_deviation_from_a_schedule(
    start: Start, registry: Registry
) -> None:
    ramp = {"from": 1.0, "to": 0.5, "over": 2}
    training = start("vae", mixed(ring=8, std=ramp))
    assert attrs.asdict(training.wiring.parts["E"])["dim"] == 2
    assert isinstance(training.wiring.draws["prior"].prior.std, Ramp)  # type: ignore[attr-defined]
    assert prove(training.wiring, registry).problems == ()
    assert all(math.isfinite(float(value)) for _ in range(3) for value in training.step().values())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, r"draw\] prior: wants one of 'means', 'ring' and 'grid'"),
        ({"ring": 3, "grid": 3}, r"prior: wants one of 'means', 'ring' and 'grid'"),
        ({"ring": 3, "weights": [1, 1]}, r"prior: wants as many 'weights' as means, 3, found 2"),
        ({"ring": 2, "weights": [1, 0]}, r"prior: 'weights' wants numbers above 0, found \[1.0, 0.0\]"),
        (
            {"means": [[0, 0], [1]]},
            r"prior: 'means' wants points of equally many coordinates, as in \[\[0, 0\], \[1, 1\]\]",
        ),
        ({"means": []}, r"prior: 'means' wants points of equally many coordinates"),
        ({"grid": 1}, r"prior.grid: must be at least 2, found 1"),
        ({"grid": 10**6}, r"prior.grid: must be at most 100, found 1000000"),
        ({"ring": 3, "scale": 0}, r"prior.scale: must be above 0, found 0"),
    ],
)
def test_options_of_a_mixture_that_make_no_sense_are_refused(
    options: dict[str, object], said: str, registry: Registry, tables: abc.Callable[[str], Any]
) -> None:
    with pytest.raises(RecipeError, match=said):
        wired(tables("vae"), mixed(**options), registry)


@pytest.mark.parametrize(("dim", "area"), [(2, 2 * math.pi), (3, 4 * math.pi), (4, 2 * math.pi**2)])
def test_density_on_the_sphere_is_one_over_its_area(dim: int, area: float) -> None:
    prior = Sphere(dim=dim)
    samples = prior.draw((5, dim), torch.Generator().manual_seed(0))
    torch.testing.assert_close(prior.log_prob(samples), torch.full((5,), -math.log(area)))


def truncated(threshold: float, count: int, seed: int = 0) -> Tensor:
    return TruncatedNormal(threshold=Constant(threshold)).draw((count,), torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("threshold", [0.04, 0.5, 1.0, 2.0, 5.0, 1e9])
def test_truncated_normal_numbers_are_within_the_threshold_and_have_the_variance_of_its_formula(
    threshold: float,
) -> None:
    values = truncated(threshold, 40_000).double()
    assert 0.9 * min(threshold, 3) < float(values.abs().max()) <= min(threshold, 6)
    density = math.exp(-0.5 * min(threshold, 30) ** 2) / math.sqrt(2 * math.pi)
    variance = 1 - 2 * min(threshold, 30) * density / math.erf(threshold / math.sqrt(2))
    assert float(values.var()) == pytest.approx(variance, rel=0.03)
    assert float(values.mean()) == pytest.approx(0, abs=0.02 * math.sqrt(variance))


def test_truncated_normal_numbers_are_distributed_as_those_drawn_anew_until_they_fit() -> None:
    anew = torch.randn(60_000, generator=torch.Generator().manual_seed(1))
    anew = anew[anew.abs() <= 1.5].sort().values
    values = truncated(1.5, len(anew)).sort().values
    grid = torch.linspace(-1.5, 1.5, 100)
    below = [torch.searchsorted(drawn, grid).double() / len(drawn) for drawn in (anew, values)]
    assert float((below[0] - below[1]).abs().max()) < 0.012


def test_truncated_normal_numbers_are_a_function_of_the_generator_and_grow_with_the_threshold() -> None:
    assert torch.equal(truncated(0.5, 8, seed=3), truncated(0.5, 8, seed=3))
    assert not torch.equal(truncated(0.5, 8, seed=3), truncated(0.5, 8, seed=4))
    near, far = truncated(0.5, 1000), truncated(2.0, 1000)
    assert bool((near.sign() == far.sign()).all())
    assert bool((near.abs() < far.abs()).all())


def test_density_of_a_truncated_normal_integrates_to_one_and_is_the_normal_one_over_its_mass() -> None:
    prior = TruncatedNormal(threshold=Constant(1.2))
    middle = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000 * 3 - 1.5
    assert float(prior.log_prob(middle[:, None]).exp().sum() * 3 / 4000) == pytest.approx(1, abs=2e-3)
    value = torch.tensor([[0.3, -1.0], [0.3, -1.3]], dtype=torch.float64)
    normal = dist.Normal(torch.tensor(0.0).double(), 1.0)
    mass = normal.cdf(torch.tensor(1.2).double()) - normal.cdf(torch.tensor(-1.2).double())
    inside, outside = prior.log_prob(value)
    torch.testing.assert_close(inside, normal.log_prob(value[0]).sum() - 2 * mass.log())
    assert outside == -torch.inf


@pytest.mark.parametrize(
    ("threshold", "found"),
    [(0, "0"), (-1.0, "-1"), ({"from": 2.0, "to": -0.5, "over": 3}, "-0.5"), ({"steps": [[0, 1.0], [9, 0.0]]}, "0")],
)
def test_thresholds_that_are_not_above_0_are_refused_before_the_first_step(
    threshold: object, found: str, registry: Registry, tables: abc.Callable[[str], Any]
) -> None:
    with pytest.raises(RecipeError, match=rf"prior: 'threshold' wants numbers above 0, found {found}\n"):
        wired(tables("vae"), {"draw.prior": {"use": "truncated-normal", "threshold": threshold}}, registry)


def test_a_threshold_may_be_a_schedule(start: Start) -> None:
    ramp = {"from": 2.0, "to": 0.1, "over": 3}
    training = start("gan", {"draw.z": {"use": "truncated-normal", "dim": 6, "threshold": ramp}})
    seen: list[float] = []
    training.watch = lambda program, slots, _: seen.append(float(slots[program.slots[_draw(program)]].abs().max()))
    for _ in range(4):
        training.step()
    assert seen[0] > 1
    assert seen[-1] <= 0.1


def _draw(program: Any) -> Any:
    return next(node for node in program.plan.order if node.value == ("draw", "z"))
