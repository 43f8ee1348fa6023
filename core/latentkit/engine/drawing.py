"""Draws: numbers of a prior for a batch, with its schedules at the step's values."""

from __future__ import annotations

from collections import abc
from typing import Any

import attrs
import torch
from torch import Tensor

from latentkit.interfaces import Prior
from latentkit.recipe.quantities import Constant, Formula, Quantity, Ramp, Stairs, Timed, is_static
from latentkit.wiring.wiring import Draw


def at_time(prior: Prior, scalars: abc.Mapping[str, Timed], step: int, images: int) -> Prior:
    """The prior with its schedules, and the scalars that its options name, as the numbers that they are now."""
    options = {field.name: getattr(prior, field.name) for field in attrs.fields(type(prior))}
    timed = {
        name: scalars[value.text] if isinstance(value, Formula) else value
        for name, value in options.items()
        if isinstance(value, Ramp | Stairs | Formula)
    }
    if not timed:
        return prior
    return attrs.evolve(prior, **{name: Constant(value.at(step, images)) for name, value in timed.items()})


def drawn(draw: Draw, batch: int, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    """One draw for a batch; drawn in float32 so that every precision sees the same numbers."""
    value = draw.prior.draw(draw.shape(batch), generator)
    return value.to(dtype) if value.is_floating_point() else value


def number(quantity: Quantity, step: int, images: int, device: torch.device, dtype: torch.dtype) -> Any:
    """A scalar now: as a number where it never changes, else as a tensor [], so that no graph takes it for constant."""
    assert not isinstance(quantity, Formula)
    value = quantity.at(step, images)
    if is_static(quantity) or isinstance(quantity, Constant):
        return value
    # By way of float64: a number too large for float32 becomes infinite there, and is reported where it matters.
    return torch.full((), value, device=device, dtype=torch.float64).to(dtype)
