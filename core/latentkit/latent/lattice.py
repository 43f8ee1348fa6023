"""A continuous, never decreasing, piecewise linear function of one number, with learnable slopes.

Plumerault, Le Borgne, Hudelot 2020, https://arxiv.org/abs/2001.10238, section 2, and its released code.
"""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from latentkit.errors import LatentkitError


@attrs.frozen(kw_only=True, eq=False)
class Lattice:
    """``g(s) = sum_k slopes_k clip(s - c_k, -h, h)`` of knots ``c`` from ``low`` to ``high``, h half their distance.

    Its slope is ``slopes_k`` within h of ``c_k``, and 0 beyond the outermost. With slopes of 1 it is the identity.

    Attributes:
        slopes: [k], 0 or more, k at least 2.
        low: the first knot.
        high: the last knot.
    """

    slopes: Tensor = attrs.field()
    low: float = -5.0
    high: float = attrs.field(default=5.0)

    @slopes.validator
    def _some(self, _: object, value: Tensor) -> None:
        if value.ndim != 1 or len(value) < 2:
            raise LatentkitError(f"lattice: expected slopes [k] at 2 or more knots, found {list(value.shape)}")

    @high.validator
    def _above(self, _: object, value: float) -> None:
        if not self.low < value:
            raise LatentkitError(f"lattice: expected the last knot above the first, found {self.low:g} to {value:g}")

    @property
    def knots(self) -> Tensor:
        """``c``, [k]."""
        return torch.linspace(self.low, self.high, len(self.slopes), dtype=self.slopes.dtype, device=self.slopes.device)

    @property
    def half_width(self) -> float:
        """``h``."""
        return (self.high - self.low) / (len(self.slopes) - 1) / 2

    def __call__(self, s: Tensor) -> Tensor:
        """``g(s)``, element by element."""
        # By the one knot that s is at. The sum of clips has K terms per element, and where two of them meet, both of
        # their slopes for a gradient.
        h, knots, below = self.half_width, self.knots, self.slopes.cumsum(0)
        inside = s.clamp(self.low - h, self.high + h)
        at = ((inside.detach() - self.low) / (2 * h) + 0.5).long().clamp(0, len(knots) - 1)
        rise = h * (2 * below - self.slopes - below[-1])  # of the knots before, less that of those after
        return self.slopes[at] * (inside - knots[at]) + rise[at]

    def inverse(self, position: Tensor) -> Tensor:
        """Where ``g`` has these values, element by element; the lowest such place, and an end for what is beyond it."""
        h, slopes = self.half_width, self.slopes
        edges = torch.cat([self.knots - h, self.knots[-1:] + h])  # between which g is a line
        # By sums, so that where g is flat the heights are the same to the last digit.
        heights = h * (2 * torch.cat([slopes.new_zeros(1), slopes.cumsum(0)]) - slopes.sum())
        wanted = position.to(heights).clamp(heights[0], heights[-1])
        close = 8 * torch.finfo(heights.dtype).eps * heights.abs().max()  # and what g itself says of them is that near
        at = torch.searchsorted(heights, (wanted - close).contiguous(), right=False).clamp(1, len(slopes))
        rise = (wanted - heights[at - 1]).clamp(min=0)
        return torch.minimum(edges[at - 1] + torch.where(rise > 0, rise / slopes[at - 1], 0), edges[at])

    def stretched(self, factor: float) -> Lattice:
        """The lattice of ``s -> g(factor s)``, a factor above 0."""
        return Lattice(slopes=self.slopes * factor, low=self.low / factor, high=self.high / factor)

    def roughness(self) -> Tensor:
        """Mean squared difference of neighbouring slopes, a scalar."""
        return self.slopes.diff().square().mean()
