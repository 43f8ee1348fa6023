"""A prior with several modes."""

from __future__ import annotations

import itertools
import math

import attrs
import torch
from attrs.validators import ge, gt, le, optional
from torch import Tensor

from latentkit.components.posteriors import Posterior, log_density
from latentkit.errors import Mismatch
from latentkit.interfaces import Prior
from latentkit.recipe.quantities import Constant, Quantity, number
from latentkit.spaces import Space

Point = tuple[float, ...]
NARROW = Constant(0.1)


def _points(_: object, field: attrs.Attribute[tuple[Point, ...] | None], value: tuple[Point, ...] | None) -> None:
    if value is not None and (len({len(point) for point in value}) != 1 or not value[0]):
        raise ValueError(f"'{field.name}' wants points of equally many coordinates, as in [[0, 0], [1, 1]]")


def _above_0(_: object, field: attrs.Attribute[Point | None], value: Point | None) -> None:
    if value is not None and min(value, default=1.0) <= 0:
        raise ValueError(f"'{field.name}' wants numbers above 0, found {list(value)}")


@attrs.frozen(kw_only=True)
class Mixture(Prior):
    """Gaussians of one deviation, N(mean_k, std^2), around means on a ring, on a grid, or as given.

    State one of ``means``, ``ring`` and ``grid``. The last two are in the plane.
    """

    means: tuple[Point, ...] | None = attrs.field(default=None, validator=_points)
    """A list of points, each with as many coordinates."""
    ring: int | None = attrs.field(default=None, validator=optional([ge(1), le(1000)]))
    """So many means, equally spaced on a circle, counterclockwise from (scale, 0)."""
    grid: int | None = attrs.field(default=None, validator=optional([ge(2), le(100)]))
    """So many means along either axis, from -scale to scale, the second coordinate running faster."""
    scale: float = attrs.field(default=1.0, validator=gt(0))
    """Radius of the ring, or half the side of the grid."""
    std: Quantity = NARROW
    """Deviation of each Gaussian in each coordinate."""
    weights: tuple[float, ...] | None = attrs.field(default=None, validator=_above_0)
    """One number above 0 per mean, in proportion to which they are drawn; equal by default."""

    def __attrs_post_init__(self) -> None:
        if [self.means, self.ring, self.grid].count(None) != 2:
            raise ValueError("wants one of 'means', 'ring' and 'grid'")
        if self.weights is not None and len(self.weights) != len(self.points()):
            raise ValueError(f"wants as many 'weights' as means, {len(self.points())}, found {len(self.weights)}")

    def points(self) -> tuple[Point, ...]:
        """The means."""
        if self.means is not None:
            return self.means
        if self.ring is not None:
            angles = [2 * math.pi * k / self.ring for k in range(self.ring)]
            return tuple((self.scale * math.cos(angle), self.scale * math.sin(angle)) for angle in angles)
        assert self.grid is not None
        axis = [self.scale * (2 * k / (self.grid - 1) - 1) for k in range(self.grid)]
        return tuple(itertools.product(axis, axis))

    def space(self) -> Space:
        """``latent[dim]``, as many coordinates as a mean has."""
        return Space("latent", (len(self.points()[0]),))

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Samples of the mixture, ``b n``.

        Raises:
            Mismatch: another shape is wanted.
        """
        means = torch.tensor(self.points(), device=generator.device)  # k n
        if tuple(shape[1:]) != tuple(means.shape[1:]):
            raise Mismatch(f"mixture: draws samples of {means.shape[1]} coordinates, was asked for {list(shape[1:])}")
        shares = self._shares(means)
        chosen = torch.multinomial(shares, shape[0], replacement=True, generator=generator)
        noise = torch.randn(shape, generator=generator, device=generator.device)
        return means[chosen] + number(self.std) * noise

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density per sample, ``b n -> b``, in nats."""
        means = torch.tensor(self.points(), device=value.device, dtype=value.dtype)  # k n
        logvar = torch.full_like(means, 2 * math.log(number(self.std)))
        joint = log_density(Posterior(means, logvar), value[:, None]) + self._shares(means).log()  # b k
        return joint.logsumexp(1)

    def _shares(self, like: Tensor) -> Tensor:
        weights = self.weights or [1.0] * len(like)
        shares = torch.tensor(weights, device=like.device, dtype=like.dtype)
        return shares / shares.sum()
