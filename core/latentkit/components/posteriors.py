"""Diagonal Gaussians, as encoders return them and losses read them."""

from __future__ import annotations

import math
from typing import NamedTuple

from einops import rearrange, reduce
from torch import Tensor, nn


class Posterior(NamedTuple):
    """N(mu, diag(exp(logvar))), one per sample; a part whose port is ``posterior[dim]`` returns one."""

    mu: Tensor
    """``b n``."""
    logvar: Tensor
    """``b n``, natural logarithm of the variances."""


def log_density(q: Posterior, z: Tensor) -> Tensor:
    """Log-density of diagonal Gaussians, with its constant.

    ``-1/2 sum_n [ln(2 pi) + logvar + (z - mu)^2 exp(-logvar)]``.

    Args:
        q: ``... n`` in each field.
        z: ``... n``, broadcast against the fields.

    Returns:
        ``...``, in nats, summed over coordinates.
    """
    per_coordinate = math.log(2 * math.pi) + q.logvar + (z - q.mu).square() * (-q.logvar).exp()
    return -0.5 * reduce(per_coordinate, "... n -> ...", "sum")


class ToPosterior(nn.Module):
    """The two halves of a network's outputs as mean and log-variance, ``x -> b n`` each.

    The network has a method ``features`` beside its outputs ``b (2 n)``, and so has this.
    """

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk

    def features(self, x: Tensor) -> Tensor:
        """What the network's last layer reads."""
        h: Tensor = self.trunk.features(x)  # type: ignore[operator]  # a method, to torch perhaps a module
        return h

    def forward(self, x: Tensor) -> Posterior:
        """A diagonal Gaussian per sample."""
        return Posterior(*rearrange(self.trunk(x), "b (two n) -> two b n", two=2))
