"""O-GAN, Su 2019, https://arxiv.org/abs/1903.01931: the encoder's mean is the critic, its direction the code.

Low scores are real in the paper's objectives; that sign stands in the recipe.
"""

from __future__ import annotations

from collections import abc
from typing import ClassVar

import attrs
import torch
import torch.nn.functional as F
from attrs.validators import ge
from torch import Tensor, nn

from latentkit.components.sizes import known_sizes
from latentkit.functions import loss, stateless
from latentkit.interfaces import Discriminator, Mapping
from latentkit_plugins.ogan.operators import N, avg, rho


@stateless("discriminator", "h: latent[n] -> score")
def mean_score(h: Tensor) -> Tensor:
    """Mean of a code's coordinates as a score: a discriminator without parameters, ``b n -> b``."""
    return avg(h)


@stateless("mapping", "h: latent[n] -> z: latent[n]")
def normalize(h: Tensor) -> Tensor:
    """N(h): a code with mean 0 and deviation 1 across its coordinates, ``b n -> b n``."""
    return N(h)


@loss("of: latent[n], to: latent[n] -> score", role="distance")
def correlation(of: Tensor, to: Tensor) -> Tensor:
    """Minus Pearson's correlation of two codes, ``b n, b n -> b``; mean and deviation stay free."""
    return -rho(of, to)


@attrs.frozen(kw_only=True)
class Matrix(Mapping):
    """Learned square matrix, at first the identity; generalises the correlation's affine freedom."""

    ports: ClassVar[str] = "h: latent[dim] -> z: latent[dim]"
    independent: ClassVar[bool] = True
    entries: ClassVar[abc.Mapping[str, str]] = {"inverse": "z: latent[dim] -> h: latent[dim]"}
    dim: int | None = None

    def build(self) -> nn.Module:
        """``h: b dim -> z: b dim``; ``inverse`` solves for h, and raises ``LinAlgError`` if there is none."""
        return _Matrix(*known_sizes(self, "dim"))


@attrs.frozen(kw_only=True)
class Head(Discriminator):
    """The paper's T: a perceptron of one hidden layer that reads the encoder's code."""

    ports: ClassVar[str] = "h: latent[dim] -> score"
    independent: ClassVar[bool] = True
    dim: int | None = None
    hidden: int = attrs.field(default=128, validator=ge(1))

    def build(self) -> nn.Module:
        """``h: b dim -> score: b``, unbounded."""
        (dim,) = known_sizes(self, "dim")
        layers = nn.Linear(dim, self.hidden), nn.LeakyReLU(0.2), nn.Linear(self.hidden, 1)
        return nn.Sequential(*layers, nn.Flatten(0))


class _Matrix(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(dim))

    def forward(self, h: Tensor) -> Tensor:
        return F.linear(h, self.weight)  # b n

    def inverse(self, z: Tensor) -> Tensor:
        h: Tensor = torch.linalg.solve(self.weight.T, z, left=False)
        return h  # b n
