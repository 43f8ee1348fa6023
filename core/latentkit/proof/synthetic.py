"""Values that stand in for data and draws, so that a check opens nothing."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from latentkit.engine.drawing import at_time
from latentkit.spaces import Space
from latentkit.wiring.graph import Node
from latentkit.wiring.wiring import Wiring

_SHADE = 0.05
"""Of the whole range: what a nearly black image has."""


class Synthetic:
    """Values of the declared spaces and ranges in place of data and draws."""

    def __init__(self, wiring: Wiring, batch: int, device: torch.device, dtype: torch.dtype) -> None:
        self.wiring, self.batch, self.device, self.dtype = wiring, batch, device, dtype
        self.kept: dict[str, Any] = {}
        self.generator = torch.Generator().manual_seed(0)

    def value(self, node: Node) -> Any:
        """A value for a source."""
        kind, name = node.source
        if kind == "kept" and name in self.kept:
            return self.kept[name]
        if kind in ("timed", "scalars"):
            quantity = self.wiring.recipe.scalars[name] if kind == "scalars" else name
            return quantity.at(0, 0)
        if kind == "draw":
            draw = self.wiring.draws[name]
            prior = at_time(draw.prior, self.wiring.recipe.scalars, 0, 0)
            shape = draw.shape(self.batch)
            return self._empty(shape) if self._only_sizes(shape) else self._placed(prior.draw(shape, self.generator))
        return self.of_space(self.wiring.spaces[node])

    def of_space(self, space: Space) -> Any:
        """A value of a space, within its range."""
        dims = tuple(dim if isinstance(dim, int) else 2 for dim in space.dims)
        shape = (self.batch, *dims) if space.batched else dims
        if space.kind == "label":
            index = torch.randint(dims[0], (self.batch,), generator=self.generator)
            return self._placed(torch.nn.functional.one_hot(index, dims[0]).float())
        if self._only_sizes(shape):
            return self._empty(shape)
        value = torch.rand(shape, generator=self.generator)
        if isinstance(space.range, tuple):
            value = _lit(value) if space.batched else value
            value = value * (space.range[1] - space.range[0]) + space.range[0]
        return self._placed(value)

    def _only_sizes(self, shape: tuple[int, ...]) -> bool:
        """Whether numbers need not be drawn: none are wanted, and there would be many."""
        return self.device.type == "meta" and math.prod(shape) > 1 << 20

    def _empty(self, shape: tuple[int, ...]) -> Tensor:
        return torch.empty(shape, device=self.device, dtype=self.dtype)

    def _placed(self, value: Tensor) -> Tensor:
        value = value.to(self.device)
        return value.to(self.dtype) if value.is_floating_point() else value


def _lit(value: Tensor) -> Tensor:
    """Noise in [0, 1] as images differ: each has both ends, every fourth is nearly black, the one after it white."""
    value[0::4] *= _SHADE
    value[1::4] = 1 - _SHADE * value[1::4]
    pixels = value.flatten(1)  # b n
    pixels[:, 0], pixels[:, -1] = 0, 1
    return pixels.reshape(value.shape)
