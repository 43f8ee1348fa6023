"""Priors: sources of random numbers for ``[draw]``. Real options take a number, a schedule, or the name of a scalar."""

from __future__ import annotations

import math

import attrs
import torch
from torch import Tensor

from latentkit.interfaces import Prior
from latentkit.recipe.quantities import Constant, Quantity, number
from latentkit.spaces import Space

ZERO, HALF, ONE = Constant(0.0), Constant(0.5), Constant(1.0)


@attrs.frozen(kw_only=True)
class Normal(Prior):
    """Independent normal numbers, N(mean, std^2)."""

    dim: int | None = attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.ge(1)))
    mean: Quantity = ZERO
    std: Quantity = ONE

    def space(self) -> Space | None:
        """``latent[dim]`` where ``dim`` is stated."""
        return None if self.dim is None else Space("latent", (self.dim,))

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Normal numbers of ``shape``."""
        value = torch.randn(shape, generator=generator, device=generator.device)
        mean, std = number(self.mean), number(self.std)
        return value if (mean, std) == (0.0, 1.0) else value * std + mean

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density per sample, in nats."""
        mean, std = number(self.mean), number(self.std)
        scaled = (value - mean) / std
        per_number = -0.5 * scaled.square() - math.log(std) - 0.5 * math.log(2 * math.pi)
        return per_number.reshape(len(value), -1).sum(1)


@attrs.frozen(kw_only=True)
class Uniform(Prior):
    """Independent uniform numbers in [low, high)."""

    dim: int | None = attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.ge(1)))
    low: Quantity = ZERO
    high: Quantity = ONE

    def space(self) -> Space | None:
        """``latent[dim]`` where ``dim`` is stated."""
        return None if self.dim is None else Space("latent", (self.dim,))

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Uniform numbers of ``shape``."""
        value = torch.rand(shape, generator=generator, device=generator.device)
        low, high = number(self.low), number(self.high)
        return value * (high - low) + low

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density per sample, in nats; minus infinity outside."""
        low, high = number(self.low), number(self.high)
        inside = ((value >= low) & (value < high)).reshape(len(value), -1).all(1)
        density = -math.log(high - low) * value[0].numel()
        return torch.where(inside, density, -torch.inf)


@attrs.frozen(kw_only=True)
class Sphere(Prior):
    """Uniform on the unit sphere."""

    dim: int | None = attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.ge(2)))

    def space(self) -> Space | None:
        """``latent[dim]`` where ``dim`` is stated."""
        return None if self.dim is None else Space("latent", (self.dim,))

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Unit vectors along the last axis."""
        value = torch.randn(shape, generator=generator, device=generator.device)
        return torch.nn.functional.normalize(value, dim=-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density per sample of unit vectors, in nats, with respect to the sphere's area: the same everywhere."""
        half = value.shape[-1] / 2
        log_area = math.log(2) + half * math.log(math.pi) - math.lgamma(half)
        vectors = value[0].numel() // value.shape[-1]
        return value.new_full((len(value),), -log_area * vectors)


@attrs.frozen(kw_only=True)
class Index(Prior):
    """A uniform index below ``n``, int64."""

    n: int = attrs.field(validator=attrs.validators.ge(1))

    def space(self) -> Space:
        """``index``."""
        return Space("index")

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Indices of ``shape``."""
        return torch.randint(self.n, shape, generator=generator, device=generator.device)


@attrs.frozen(kw_only=True)
class OneHot(Prior):
    """A uniform class as a one-hot row."""

    classes: int = attrs.field(validator=attrs.validators.ge(1))

    def space(self) -> Space:
        """``label[classes]``."""
        return Space("label", (self.classes,))

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """One-hot rows, [b, classes]."""
        index = torch.randint(self.classes, shape[:1], generator=generator, device=generator.device)
        return torch.nn.functional.one_hot(index, self.classes).float()


@attrs.frozen(kw_only=True)
class Bernoulli(Prior):
    """Independent zeros and ones: 1 with probability ``p``."""

    p: Quantity = HALF
    dim: int | None = attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.ge(1)))

    def space(self) -> Space | None:
        """``latent[dim]`` where ``dim`` is stated."""
        return None if self.dim is None else Space("latent", (self.dim,))

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Zeros and ones of ``shape``, float32."""
        return (torch.rand(shape, generator=generator, device=generator.device) < number(self.p)).float()
