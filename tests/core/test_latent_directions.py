"""The fit of a direction and its function, what is left out of it, and editing along it."""

from __future__ import annotations

import math
from collections import abc

import pytest
import torch
from torch import Tensor

from latentkit.errors import LatentkitError, NotFiniteError
from latentkit.latent.directions import DirectionFit, fit_direction
from latentkit.latent.editing import chunk_norms, coordinate, with_coordinate, within_norm
from latentkit.latent.lattice import Lattice
from latentkit.latent.moments import moments
from latentkit.latent.records import Steps, joined, kept

FAST = DirectionFit(knots=21, rate=0.03, epochs=200, batch=32)


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def pairs(u: Tensor, n: int = 64, seed: int = 0, of: abc.Callable[[Tensor], Tensor] = lambda s: s) -> Steps:
    """The image says ``of(<u, z>)`` of its code; other coordinates move a little too."""
    start, amount = numbers(n, len(u), seed=seed), numbers(n, seed=seed + 1)
    end = start + amount[:, None] * u + 0.02 * numbers(n, len(u), seed=seed + 2)
    return Steps(start=start, end=end, change=of(end @ u) - of(start @ u), error=amount.abs())


def unit(*values: float) -> Tensor:
    u = torch.tensor(values, dtype=torch.float64)
    return u / u.norm()


def test_the_fit_finds_a_direction_with_its_sign() -> None:
    u = unit(0.5, -1.0, 0.0, 2.0)
    found = fit_direction(pairs(u), FAST)
    assert float(found.direction @ u) > 0.999
    assert float(found.direction.norm()) == pytest.approx(1)
    against = pairs(u)
    assert float(fit_direction(_turned(against), FAST).direction @ u) < -0.999


def test_the_fit_finds_it_behind_a_bent_function_and_never_decreases() -> None:
    u = unit(1.0, 1.0, 0.0)
    steps = pairs(u, of=lambda s: torch.tanh(2 * s))
    found = fit_direction(steps, DirectionFit(knots=21, rate=0.03, epochs=80, batch=32, smoothness=0.01, shrinkage=0))
    assert float(found.direction @ u) > 0.99
    assert (found.lattice.slopes >= 0).all()
    assert found.error(steps) < 0.1 * steps.change.square().mean()


def test_one_direction_is_fitted_to_several_classes() -> None:
    u = unit(1.0, -1.0, 0.5)
    classes = [pairs(u, n=24, seed=10 * seed).without_worst() for seed in range(3)]
    assert [len(steps) for steps in classes] == [21, 21, 21]
    together = joined(classes)
    assert len(together) == 63
    assert float(fit_direction(together, FAST).direction @ u) > 0.99


def test_the_same_seed_gives_the_same_fit_and_another_one_does_not() -> None:
    steps = pairs(unit(1.0, 2.0), n=20)
    how = DirectionFit(knots=5, epochs=2, batch=8)
    once, again = fit_direction(steps, how), fit_direction(steps, how)
    assert torch.equal(once.v, again.v)
    assert torch.equal(once.lattice.slopes, again.lattice.slopes)
    other = fit_direction(steps, DirectionFit(knots=5, epochs=2, batch=8, seed=1))
    assert not torch.equal(once.v, other.v)
    assert not once.v.requires_grad


def test_fewer_pairs_than_a_batch_are_one_batch_and_no_gradient_is_asked_of_the_caller() -> None:
    steps = pairs(unit(1.0, 2.0), n=3)
    with torch.no_grad():
        assert fit_direction(steps, DirectionFit(epochs=1)).v.shape == (2,)


def test_what_cannot_be_fitted_is_refused() -> None:
    steps = pairs(unit(1.0, 2.0), n=4)
    with pytest.raises(LatentkitError, match="expected pairs of codes to fit to, found none"):
        fit_direction(steps.only(torch.zeros(4, dtype=torch.bool)))
    with pytest.raises(LatentkitError, match="expected pairs of at least one trajectory"):
        joined([])
    wrong = Steps(start=steps.start * math.nan, end=steps.end, change=steps.change, error=steps.error)
    with pytest.raises(NotFiniteError, match="the fit found none"):
        fit_direction(wrong, DirectionFit(epochs=1))
    still = Steps(start=steps.start, end=steps.start, change=steps.change * 0, error=steps.error)
    with pytest.raises(NotFiniteError, match="the fit found none"):
        fit_direction(still, DirectionFit(epochs=1))
    with pytest.raises(LatentkitError, match=r"expected change \[4\], one per pair, found \[3\]"):
        Steps(start=steps.start, end=steps.end, change=steps.change[:3], error=steps.error)
    with pytest.raises(LatentkitError, match=r"expected codes \[n, dim\] at both ends"):
        Steps(start=steps.start, end=steps.end[:, :1], change=steps.change, error=steps.error)


def test_errors_that_are_not_finite_are_the_worst() -> None:
    error = torch.tensor([3.0, math.nan, 1.0, 2.0])
    assert kept(error, 4).tolist() == [True, False, True, True]
    assert kept(torch.tensor([math.inf, math.nan, 1.0]), 10).tolist() == [False, False, True]
    same = Steps(start=numbers(2, 1), end=numbers(2, 1), change=numbers(2), error=torch.ones(2))
    with pytest.raises(LatentkitError, match="nothing to fit"):
        same.without_worst()
    with pytest.raises(LatentkitError, match="one in 2 or more"):
        kept(error, 1)


def test_a_lattice_of_ones_is_the_identity_and_ends_beyond_its_knots() -> None:
    lattice = Lattice(slopes=torch.ones(11, dtype=torch.float64), low=-1.0, high=1.0)
    s = torch.linspace(-1.1, 1.1, 7, dtype=torch.float64)
    torch.testing.assert_close(lattice(s), s)
    torch.testing.assert_close(lattice(s * 10)[[0, -1]], s[[0, -1]])
    with pytest.raises(LatentkitError, match="2 or more knots"):
        Lattice(slopes=torch.ones(1))
    with pytest.raises(LatentkitError, match="expected the last knot above the first, found 2 to 1"):
        Lattice(slopes=torch.ones(3), low=2.0, high=1.0)


def test_a_lattice_is_its_sum_of_clips_and_has_one_slope_where_two_of_them_meet() -> None:
    lattice = Lattice(slopes=torch.tensor([1.0, 3.0, 0.0, 2.0], dtype=torch.float64), low=-3.0, high=3.0)
    s = torch.linspace(-5, 5, 41, dtype=torch.float64, requires_grad=True)  # the clips meet at -2, 0 and 2
    clips = (s[:, None] - lattice.knots).clamp(-1, 1)
    torch.testing.assert_close(lattice(s), clips @ lattice.slopes)
    (slope,) = torch.autograd.grad(lattice(s).sum(), s)
    assert slope[[12, 20, 28]].tolist() == [3, 0, 2]
    assert slope[[1, -2]].tolist() == [0, 0]
    assert lattice(torch.tensor([torch.nan], dtype=torch.float64)).isnan()


def test_an_edit_sets_the_coordinate_and_keeps_the_rest() -> None:
    z, u, alphas = numbers(4, 3), unit(1.0, 2.0, 2.0), torch.tensor([-2.0, 0.5], dtype=torch.float64)
    edited = with_coordinate(z, u, alphas)
    torch.testing.assert_close(coordinate(edited, u), alphas[:, None].expand(2, 4))
    torch.testing.assert_close(torch.cross(edited, u.expand_as(edited), -1)[0], torch.cross(z, u.expand_as(z), -1))
    with pytest.raises(LatentkitError, match="expected a vector of length 1, found 2"):
        with_coordinate(z, 2 * u, alphas)


def test_codes_are_scaled_to_the_limit_only_where_they_are_longer() -> None:
    z = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    torch.testing.assert_close(within_norm(z, 1.0), torch.tensor([[0.6, 0.8], [0.3, 0.4], [0.0, 0.0]]))
    assert float(within_norm(z)[0].norm()) == pytest.approx(math.sqrt(2))


def test_chunks_of_a_direction_have_their_own_lengths() -> None:
    torch.testing.assert_close(chunk_norms(torch.tensor([3.0, 4.0, 1.0]), [2, 1]), torch.tensor([5.0, 1.0]))
    with pytest.raises(LatentkitError, match="expected sizes of sum 3, found"):
        chunk_norms(torch.ones(3), [2, 2])


def test_moments_of_a_point_are_its_place() -> None:
    maps = torch.zeros(2, 3, 5)
    maps[0, 0, 4] = 1
    found = moments(maps)
    assert (float(found.x[0]), float(found.y[0])) == (0.5, -0.5)
    assert found.visible.tolist() == [True, False]
    assert found.x[1].isnan()


def _turned(steps: Steps) -> Steps:
    return Steps(start=steps.start, end=steps.end, change=-steps.change, error=steps.error)
