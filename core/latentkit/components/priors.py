"""Priors: sources of random numbers for ``[draw]``."""

from __future__ import annotations

import math

import attrs
import torch
from torch import Tensor

from latentkit.interfaces import Prior
from latentkit.spaces import Space


@attrs.frozen(kw_only=True)
class Normal(Prior):
    """Independent normal numbers, N(mean, std^2)."""

    dim: int | None = attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.ge(1)))
    mean: float = 0.0
    std: float = attrs.field(default=1.0, validator=attrs.validators.gt(0))

    def space(self) -> Space | None:
        """``latent[dim]`` where ``dim`` is stated."""
        return None if self.dim is None else Space("latent", (self.dim,))

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Normal numbers of ``shape``."""
        value = torch.randn(shape, generator=generator, device=generator.device)
        return value if (self.mean, self.std) == (0.0, 1.0) else value * self.std + self.mean

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density per sample, in nats."""
        scaled = (value - self.mean) / self.std
        per_number = -0.5 * scaled.square() - math.log(self.std) - 0.5 * math.log(2 * math.pi)
        return per_number.flatten(1).sum(1)


@attrs.frozen(kw_only=True)
class Uniform(Prior):
    """Independent uniform numbers in [low, high)."""

    dim: int | None = attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.ge(1)))
    low: float = 0.0
    high: float = 1.0

    def space(self) -> Space | None:
        """``latent[dim]`` where ``dim`` is stated."""
        return None if self.dim is None else Space("latent", (self.dim,))

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Uniform numbers of ``shape``."""
        value = torch.rand(shape, generator=generator, device=generator.device)
        return value * (self.high - self.low) + self.low

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density per sample, in nats; minus infinity outside."""
        inside = ((value >= self.low) & (value < self.high)).flatten(1).all(1)
        density = -math.log(self.high - self.low) * value[0].numel()
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

    p: float = attrs.field(default=0.5, validator=[attrs.validators.ge(0), attrs.validators.le(1)])
    dim: int | None = attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.ge(1)))

    def space(self) -> Space | None:
        """``latent[dim]`` where ``dim`` is stated."""
        return None if self.dim is None else Space("latent", (self.dim,))

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Zeros and ones of ``shape``, float32."""
        return (torch.rand(shape, generator=generator, device=generator.device) < self.p).float()
