"""Where the salient part of an image is, and how large: the moments of its saliency map.

Plumerault, Le Borgne, Hudelot 2020, https://arxiv.org/abs/2001.10238, and its released code. Whatever made
the map, a detector or a difference to the background, is not known here.
"""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

VISIBLE = 0.02
"""Least mean of a map in which something was detected."""


@attrs.frozen(kw_only=True, eq=False)
class Moments:
    """Of n maps.

    Attributes:
        x: barycentre across, from -0.5 at the left to 0.5 at the right, [n]; NaN where a map is 0.
        y: barycentre down, from -0.5 at the top to 0.5 at the bottom, [n].
        mean: of the map, [n]: grows with the size of what is salient.
    """

    x: Tensor
    y: Tensor
    mean: Tensor

    @property
    def visible(self) -> Tensor:
        """Whether something was detected, bool [n]."""
        return self.mean > VISIBLE


def moments(maps: Tensor) -> Moments:
    """Barycentre and mean of maps of 0 or more: [n, height, width]."""
    rows, columns = maps.sum(2), maps.sum(1)  # n h, n w
    total = columns.sum(1)
    x, y = (side @ _places(side) / total for side in (columns, rows))
    return Moments(x=x, y=y, mean=maps.mean((1, 2)))


def _places(side: Tensor) -> Tensor:
    return torch.linspace(-0.5, 0.5, side.shape[1], dtype=side.dtype, device=side.device)
