"""What every prior promises."""

from __future__ import annotations

import functools
from collections import abc
from typing import Any

import attrs
import torch
from torch import Tensor

from latentkit.errors import LatentkitError
from latentkit.interfaces import Component, Prior
from latentkit.spaces import Space
from latentkit.testing.checks import Nonconforming, NotExercised, require, said
from latentkit.testing.refusals import refuses_values_out_of_range, refuses_wrong_options
from latentkit.testing.subjects import Subject
from latentkit.testing.values import disagreement
from latentkit.testing.workplace import global_draws, seeded

DIMS: tuple[tuple[int, ...], ...] = ((3,), (8,), (17,), (2, 3), ())
"""Sizes of one sample, tried where a prior does not state its own."""
MANY, DISTINCT = 4000, 64
_GRID = 200_001


def checks(subject: Subject) -> dict[str, abc.Callable[[], None]]:
    """The properties of one prior, ready to be looked at."""
    found: dict[str, abc.Callable[[], None]] = {
        "draws as asked": functools.partial(draws_as_asked, subject),
        "same seed, same draws": functools.partial(draws_from_its_generator, subject),
    }
    assert issubclass(subject.kind, Prior)
    if subject.kind.log_prob is not Prior.log_prob:
        found["density of its draws"] = functools.partial(density_of_its_draws, subject)
    found["refuses wrong options"] = functools.partial(refuses_wrong_options, subject)
    found["refuses values out of range"] = functools.partial(values_out_of_range, subject)
    return found


def shapes(prior: Prior) -> list[tuple[int, ...]]:
    """Sizes of a sample that the prior draws: its own, or some of :data:`DIMS`.

    Raises:
        NotExercised: it refuses all of them.
    """
    space = prior.space()
    if space is not None:
        return [tuple(dim for dim in space.dims if isinstance(dim, int))]
    found = []
    refusals = []
    for dims in DIMS:
        try:
            _drawn(prior, 2, dims)
            found.append(dims)
        except LatentkitError as error:
            refusals.append(f"{list(dims)}: {error}")
    if not found:
        raise NotExercised(f"it refuses all sizes that were tried: {'; '.join(refusals)}")
    return found


def _drawn(prior: Prior, count: int, dims: tuple[int, ...], seed: int = 0) -> Any:
    """Samples from a generator of their own; what the global ones would give is not the same from seed to seed."""
    with seeded(seed + 1):
        try:
            return prior.draw((count, *dims), torch.Generator().manual_seed(seed))
        except LatentkitError:
            raise
        except Exception as error:
            raise Nonconforming(f"a draw of {[count, *dims]} raises {said(error)}") from error


def draws_as_asked(subject: Subject) -> None:
    """The shape that is asked for, batch first, finite, and what the space says."""
    prior = subject.made()
    space = prior.space()
    require(space is None or isinstance(space, Space), f"space() is {space!r}; expected a Space, or None")
    require(space is None or all(isinstance(dim, int) for dim in space.dims), f"space() leaves sizes open: {space}")
    for dims in shapes(prior):
        for count in (1, 2, 5):
            value = _drawn(prior, count, dims)
            wanted = attrs.evolve(space, dims=dims) if space is not None else Space("tensor", dims)
            fault = disagreement(value, wanted, count)
            require(not fault, f"a draw of {[count, *dims]} is {fault}")
            require(bool(value.isfinite().all()), f"a draw of {[count, *dims]} is not finite")
            real = value.dtype in (torch.float32, torch.int64)
            require(real, f"a draw is {value.dtype}; expected float32, which every precision starts from, or int64")


def draws_from_its_generator(subject: Subject) -> None:
    """The numbers follow from the generator that is passed, and no other one moves."""
    prior = subject.made()
    for dims in shapes(prior):
        first = _drawn(prior, DISTINCT, dims)
        with seeded(7):
            before = global_draws()
            second = prior.draw((DISTINCT, *dims), torch.Generator().manual_seed(0))
            moved = global_draws() != before
        same = torch.equal(first, second) and not moved
        require(same, "draws depend on, or move, a global generator; draw from the one that is passed")


def density_of_its_draws(subject: Subject) -> None:
    """A log-density per sample, finite at its own draws; in one dimension it sums to 1 and is that of the draws."""
    prior = subject.made()
    for dims in shapes(prior):
        value = _drawn(prior, 5, dims)
        found = _log_prob(prior, value)
        require(
            list(found.shape) == [5], f"log_prob of shape {list(value.shape)} is of shape {list(found.shape)}, not [5]"
        )
        require(bool(found.isfinite().all()), f"log_prob is not finite at draws of {list(dims)}")
        double = _log_prob(prior, value.double() if value.is_floating_point() else value)
        same = torch.allclose(double.double(), found.double(), rtol=1e-3, atol=1e-3)
        require(same, "log_prob in float64 is another one")
    alone = (1,) if prior.space() is None else shapes(prior)[0]
    if alone not in ((1,), ()) or (prior.space() is None and (1,) not in _accepted(prior)):
        return
    _whole(prior, alone)


def _accepted(prior: Prior) -> list[tuple[int, ...]]:
    try:
        _drawn(prior, 2, (1,))
    except LatentkitError:
        return []
    return [(1,)]


def _log_prob(prior: Prior, value: Tensor) -> Tensor:
    try:
        found = prior.log_prob(value)
    except NotImplementedError as error:
        raise NotExercised(str(error)) from error
    except Exception as error:
        raise Nonconforming(f"log_prob raises {said(error)}") from error
    require(isinstance(found, Tensor), f"log_prob is no tensor, but {type(found).__name__}")
    return found


def _whole(prior: Prior, dims: tuple[int, ...]) -> None:
    """Sum or integrate the density of one number, and compare its shares with those of many draws."""
    draws = _drawn(prior, MANY, dims).flatten().double()
    points = draws.unique()
    if len(points) < DISTINCT:
        mass = _log_prob(prior, points.reshape(-1, *dims).to(_drawn(prior, 1, dims).dtype)).double().exp()
        shares = torch.stack([(draws == point).double().mean() for point in points])
        require(abs(float(mass.sum()) - 1) < 1e-3, f"the probabilities sum to {float(mass.sum()):.4g}, not 1")
        require(float((mass - shares).abs().max()) < 0.05, "the probabilities are not those of its draws")
        return
    low, middle, high = torch.quantile(draws, torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64))
    # By the tangent every tail is reached; the step is finest in the middle.
    angle = (torch.arange(_GRID, dtype=torch.float64) + 0.5) / _GRID * torch.pi - torch.pi / 2
    grid = middle + (high - low) * angle.tan()
    density = _log_prob(prior, grid.reshape(-1, *dims)).double().exp()
    mass = density * (high - low) / angle.cos().square() * (torch.pi / _GRID)
    require(
        abs(float(mass.sum()) - 1) < 1e-2, f"the density of one number integrates to {float(mass.sum()):.4g}, not 1"
    )
    below = torch.searchsorted(draws.sort().values, grid).double() / MANY
    apart = float((mass.cumsum(0) - below).abs().max())
    require(apart < 0.05, f"the density is not that of its draws: their distribution functions differ by {apart:.2f}")


def values_out_of_range(subject: Subject) -> None:
    """Zero, negative and empty options are refused in words, or draw finite numbers."""

    def exercise(component: Component, _: str) -> None:
        assert isinstance(component, Prior)
        dims = shapes(component)[0]
        require(bool(_drawn(component, 5, dims).isfinite().all()), "a draw is not finite")

    refuses_values_out_of_range(subject, exercise)
