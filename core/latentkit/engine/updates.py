"""Optimizer steps of a phase: which parameters, at which rates, with whose state."""

from __future__ import annotations

from collections import abc
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from latentkit.errors import LatentkitError
from latentkit.optimizers import Optimizer, Slots, same_layout


def multipliers(module: nn.Module) -> dict[str, float]:
    """The factor on the learning rate of each parameter that an equalised layer declares."""
    found = {}
    for prefix, inner in module.named_modules():
        declared = getattr(inner, "step_multipliers", {})
        for name, factor in declared.items():
            found[f"{prefix}.{name}" if prefix else name] = float(factor)
    return found


def trainable(module: nn.Module) -> dict[str, Tensor]:
    """The parameters of a part that may be trained, by name."""
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}


class Slot:
    """State of one optimizer for one part: step counts and tensors per parameter."""

    def __init__(self, optimizer: Optimizer, module: nn.Module) -> None:
        self.optimizer = optimizer
        named = trainable(module)
        gaps = [name for name, p in named.items() if torch.empty_like(p).stride() != p.stride()]
        if gaps:
            raise LatentkitError(f"parameter {gaps[0]} has gaps in memory; make it contiguous when the part is built")
        factors = multipliers(module) if optimizer.equalized else {}
        self.names = list(named)
        self.parameters = list(named.values())
        self.factors = [factors.get(name, 1.0) for name in self.names]
        self.steps = [0] * len(self.names)
        self.slots: Slots = {
            slot: [torch.zeros_like(parameter, requires_grad=False) for parameter in self.parameters]
            for slot in optimizer.slots
        }

    def tensors(self) -> dict[str, Tensor]:
        """The state as named tensors."""
        found = {f"{slot}.{name}": tensor for slot, tensors in self.slots.items()
                 for name, tensor in zip(self.names, tensors, strict=True)}  # fmt: skip
        return {**found, "steps": torch.tensor(self.steps, dtype=torch.int64)}

    def load(self, tensors: abc.Mapping[str, Tensor]) -> None:
        """Take over a state."""
        self.steps = [int(step) for step in tensors["steps"]]
        for slot, mine in self.slots.items():
            for name, tensor in zip(self.names, mine, strict=True):
                tensor.copy_(tensors[f"{slot}.{name}"])


@attrs.frozen(eq=False)
class Bucket:
    """Parameters that one call of an optimizer updates: of one count, rate, factor and type."""

    optimizer: Optimizer
    members: list[tuple[Slot, int, int]]
    """Slot, index in it, and index among all gradients."""
    step: int
    """The count of this update, from 1."""
    rate: int
    """Index of a part with their rate."""
    factor: float

    @property
    def shape(self) -> object:
        """What stays the same as long as the same parameters go together."""
        return self.optimizer, self.members, self.rate, self.factor


Buckets = dict[str, list[Bucket]]
"""Per phase."""


@attrs.frozen
class Kind:
    """What decides which parameters of a phase go together, but for their counts."""

    types: tuple[torch.dtype | None, ...]
    """Of the gradients of its parameters; ``None`` where there is none."""
    rates: tuple[abc.Hashable, ...]
    """Per part, what tells its learning rate from others."""

    @classmethod
    def of(cls, gradients: abc.Iterable[Tensor | None], rates: abc.Iterable[Any]) -> Kind:
        """The kind of these gradients and rates."""
        # A rate that the recipe computes is a tensor; its identity stands for its value.
        told = tuple(id(rate) if isinstance(rate, Tensor) else rate for rate in rates)
        return cls(tuple(None if gradient is None else gradient.dtype for gradient in gradients), told)


Kinds = dict[str, Kind]
"""Per phase."""


def buckets(slots: abc.Sequence[Slot], kind: Kind) -> list[Bucket]:
    """How the parameters of a phase are updated next; parameters without a gradient are left alone, their counts too.

    Args:
        slots: per trained part, in the order of ``train``.
        kind: of the gradients of their parameters, in that order.
    """
    found: dict[object, Bucket] = {}
    at = 0
    for part, (slot, rate) in enumerate(zip(slots, kind.rates, strict=True)):
        for index, factor in enumerate(slot.factors):
            dtype = kind.types[at]
            at += 1
            if dtype is None:
                continue
            step = slot.steps[index] + 1
            key = (slot.optimizer, step, rate, factor, dtype)
            bucket = found.setdefault(key, Bucket(slot.optimizer, [], step, part, factor))
            bucket.members.append((slot, index, at - 1))
    return list(found.values())


def count(updated: abc.Iterable[Bucket]) -> None:
    """Note that these updates are done."""
    for bucket in updated:
        for slot, index, _ in bucket.members:
            slot.steps[index] = bucket.step


@torch.no_grad()
def apply(
    updated: abc.Iterable[Bucket], gradients: abc.Sequence[Tensor | None], rates: abc.Sequence[Any],
    steps: abc.Sequence[Tensor] | None = None,
) -> None:  # fmt: skip
    """Do these updates.

    Args:
        updated: from :func:`buckets`.
        gradients: of all parameters.
        rates: learning rate per part.
        steps: the counts of the buckets on the device, if not their own.
    """
    for number, bucket in enumerate(updated):
        rate = rates[bucket.rate] * bucket.factor
        parameters = [slot.parameters[index] for slot, index, _ in bucket.members]
        names = bucket.optimizer.slots
        chosen: Slots = {name: [slot.slots[name][index] for slot, index, _ in bucket.members] for name in names}
        arrived = [gradient for _, _, at in bucket.members if (gradient := gradients[at]) is not None]
        found = same_layout(arrived, parameters)
        step: Any = bucket.step if steps is None else steps[number]
        bucket.optimizer.update(parameters, found, chosen, step, rate)


def update(slots: abc.Sequence[Slot], gradients: abc.Sequence[Tensor | None], rates: abc.Sequence[Any]) -> None:
    """One update of the parts of a phase; parameters without a gradient are left alone, their counts too.

    Args:
        slots: per trained part, in the order of ``train``.
        gradients: of all their parameters, in that order.
        rates: learning rate of each part.
    """
    found = buckets(slots, Kind.of(gradients, rates))
    apply(found, gradients, rates)
    count(found)
