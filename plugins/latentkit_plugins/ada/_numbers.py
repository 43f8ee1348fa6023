"""Uniform numbers, and what the transformations make of them."""

from __future__ import annotations

import math
from collections import abc

import attrs
import torch
from torch import Tensor

_LEAST = 2.0**-24
"""Uniform numbers are multiples of it in float32, and below 1."""


@attrs.frozen
class Step:
    """A transformation: how probable, how strong, and how many numbers per sample it takes."""

    share: float
    """Its probability is this times ``p``."""
    strength: float = 1.0
    numbers: int = 2
    """The first one decides whether it is done."""
    one_of_two: bool = False
    """There are two of its kind, and ``share * p`` is the probability that either is done."""


@attrs.frozen(eq=False)
class Drawn:
    """What was drawn for a transformation."""

    done: Tensor
    """``b``, whether it is done to a sample."""
    values: Tensor
    """``b n``, uniform in [0, 1)."""
    strength: float

    def normal(self) -> Tensor:
        """``b n``, normal, with the strength as deviation."""
        return self.strength * standard_normal(self.values)

    def even(self) -> Tensor:
        """``b n``, uniform up to the strength, in either direction."""
        return self.strength * (2 * self.values - 1)

    def choice(self, count: int) -> Tensor:
        """``b``, one of 0 ... count - 1; 0 where nothing is done."""
        return self.where(torch.floor(count * self.values[:, 0]), 0.0)

    def where(self, value: Tensor, otherwise: float) -> Tensor:
        """The value, ``b ...``, of samples to which it is done; what leaves the others as they are."""
        done = self.done.reshape(-1, *[1] * (value.ndim - 1))
        return torch.where(done, value, otherwise)


def standard_normal(u: Tensor) -> Tensor:
    """Uniform numbers to N(0, 1), by the inverse of its distribution function; never infinite."""
    return math.sqrt(2) * torch.erfinv(2 * u - 1 + _LEAST)


def read(steps: abc.Mapping[str, Step], p: float | Tensor, u: Tensor) -> dict[str, Drawn]:
    """Deal out the numbers of each sample, in the order of the steps.

    Args:
        steps: by name.
        p: the strength of the augmentation, 0 ... 1; one number.
        u: ``b numbers``, uniform in [0, 1), float32 or float64.
    """
    u = u.clamp(0, 1 - _LEAST)
    p = (p.to(u) if isinstance(p, Tensor) else u.new_full((), p)).clamp(0, 1)
    found = {}
    parts = torch.split(u, [step.numbers for step in steps.values()], 1)
    for (name, step), numbers in zip(steps.items(), parts, strict=True):
        probability = step.share * p
        if step.one_of_two:
            probability = 1 - torch.sqrt(1 - probability)
        found[name] = Drawn(numbers[:, 0] < probability, numbers[:, 1:], step.strength)
    return found


def any_done(drawn: abc.Iterable[Drawn]) -> Tensor:
    """``b``, whether any of them is done to a sample."""
    return torch.stack([item.done for item in drawn]).any(0)
