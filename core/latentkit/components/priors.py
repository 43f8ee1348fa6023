"""Priors: sources of random numbers for ``[draw]``. Real options take a number, a schedule, or the name of a scalar."""

from __future__ import annotations

import math

import attrs
import torch
from torch import Tensor

from latentkit.errors import Mismatch
from latentkit.interfaces import Prior
from latentkit.recipe.quantities import Constant, Quantity, Ramp, Stairs, number
from latentkit.spaces import Space

ZERO, HALF, ONE = Constant(0.0), Constant(0.5), Constant(1.0)
TWO: Quantity = Constant(2.0)


def _above_0(_: object, field: attrs.Attribute[Quantity], value: Quantity) -> None:
    least = min(_ends(value), default=1.0)
    if least <= 0:
        raise Mismatch(f"'{field.name}' wants numbers above 0, found {least:g}")


def _ends(quantity: Quantity) -> list[float]:
    """Numbers between which all values of a quantity are; none where a scalar of the recipe has them."""
    match quantity:
        case Constant(value=value):
            return [value]
        case Ramp(start_value=start, end_value=end):
            return [start, end]
        case Stairs(steps=steps):
            return [value for _, value in steps]
    return []


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
class TruncatedNormal(Prior):
    """Independent numbers of N(0, 1) given that they lie in [-threshold, threshold], so that none is far out.

    The same distribution as drawing each number anew until it lies there (Brock et al. 2019, section 3.1). Not the
    same as N(0, 1) truncated elsewhere and scaled.
    """

    dim: int | None = attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.ge(1)))
    threshold: Quantity = attrs.field(default=TWO, validator=_above_0)

    def space(self) -> Space | None:
        """``latent[dim]`` where ``dim`` is stated."""
        return None if self.dim is None else Space("latent", (self.dim,))

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Numbers of ``shape`` by the inverse of their distribution function, one uniform number for each."""
        value = torch.rand(shape, generator=generator, device=generator.device)  # multiples of 2^-24 below 1
        centred = 2 * value - 1 + 2**-24  # exact, symmetric, and never -1 or 1
        threshold = number(self.threshold)
        found = math.sqrt(2) * torch.erfinv(centred * self._mass())
        return found.clamp(-threshold, threshold)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density per sample, in nats; minus infinity outside."""
        numbers = value.reshape(len(value), -1)
        per_number = -0.5 * numbers.square() - 0.5 * math.log(2 * math.pi) - math.log(self._mass())
        inside = (numbers.abs() <= number(self.threshold)).all(1)
        return torch.where(inside, per_number.sum(1), -torch.inf)

    def _mass(self) -> float:
        """The probability of the interval under N(0, 1)."""
        return math.erf(number(self.threshold) / math.sqrt(2))


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
