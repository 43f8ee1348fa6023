"""Images between images or codes: rows from one end to another, and grids between four corners."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from einops import rearrange
from torch import Tensor

from latentkit.errors import LatentkitError
from latentkit.latents import bilinear, interpolant

if TYPE_CHECKING:
    from latentkit.model import Model


def interpolate(model: Model, a: Tensor, b: Tensor, *, steps: int = 9, mode: str = "linear") -> Tensor:
    """A row of images for each pair, [n, steps, channels, height, width]; see :meth:`Model.interpolate`.

    What ``decode`` draws, such as noise, is the same all along a way.
    """
    along, times = interpolant(mode), _times(steps)
    start, end = _codes(model, a, b)
    return torch.stack([model.decode(along(start, end, time.to(start))) for time in times], 1)


def interpolate_grid(
    model: Model, a: Tensor, b: Tensor, c: Tensor, d: Tensor, *, steps: int = 9, mode: str = "linear"
) -> Tensor:
    """A grid of images for each four corners, [n, steps, steps, channels, height, width].

    See :meth:`Model.interpolate_grid`. What ``decode`` draws is the same all over a grid.
    """
    along, times = interpolant(mode), _times(steps)
    a, b, c, d = _codes(model, a, b, c, d)
    images = [model.decode(bilinear(a, b, c, d, across.to(a), down.to(a), along)) for down in times for across in times]
    return rearrange(torch.stack(images), "(down across) n ... -> n down across ...", down=steps)


def _times(steps: int) -> Tensor:
    """Positions from 0 to 1, float64 [steps]."""
    if steps < 2:
        raise LatentkitError(f"steps: expected at least 2, both ends, found {steps}")
    return torch.linspace(0, 1, steps, dtype=torch.float64)


def _codes(model: Model, *ends: Tensor) -> list[Tensor]:
    """The ends as codes, [n, dim] each."""
    model.node("decode")  # said before anything is encoded
    assert model.wiring.code is not None, "what is decoded is a code"
    dims = model.wiring.spaces[model.wiring.code].dims
    codes = [model.encode(end) if end.ndim == 4 else end.to(model.device) for end in ends]
    for code in codes:
        if tuple(code.shape[1:]) != dims:
            wanted = ", ".join(map(str, ("n", *dims)))
            raise LatentkitError(f"'{model.name}': expected images, or codes [{wanted}], found {list(code.shape)}")
    numbers = [len(code) for code in codes]
    if len(set(numbers)) > 1:
        raise LatentkitError(f"interpolation: expected as many of each end, found {' and '.join(map(str, numbers))}")
    return codes
