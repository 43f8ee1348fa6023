"""Optimizer steps of a phase: which parameters, at which rates, with whose state."""

from __future__ import annotations

from collections import abc
from typing import Any

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


def update(slots: abc.Sequence[Slot], gradients: abc.Sequence[Tensor | None], rates: abc.Sequence[Any]) -> None:
    """One update of the parts of a phase; parameters without a gradient are left alone, their counts too.

    Args:
        slots: per trained part, in the order of ``train``.
        gradients: of all their parameters, in that order.
        rates: learning rate of each part.
    """
    buckets: dict[tuple[Optimizer, int, Any, float, torch.dtype], list[tuple[Slot, int, Tensor]]] = {}
    at = 0
    for slot, rate in zip(slots, rates, strict=True):
        for index, factor in enumerate(slot.factors):
            gradient = gradients[at]
            at += 1
            if gradient is None:
                continue
            slot.steps[index] += 1
            # A rate that the recipe computes is a tensor; its identity stands for its value.
            shown = id(rate) if isinstance(rate, Tensor) else rate
            key = (slot.optimizer, slot.steps[index], shown, factor, gradient.dtype)
            buckets.setdefault(key, []).append((slot, index, gradient))
    owner_rate = {id(rate): rate for rate in rates if isinstance(rate, Tensor)}
    with torch.no_grad():
        for key, members in buckets.items():
            optimizer, step, rate_key, factor, _ = key
            rate = owner_rate.get(rate_key, rate_key) * factor
            parameters = [slot.parameters[index] for slot, index, _ in members]
            chosen: Slots = {name: [slot.slots[name][index] for slot, index, _ in members] for name in optimizer.slots}
            found = same_layout([gradient for _, _, gradient in members], parameters)
            optimizer.update(parameters, found, chosen, step, rate)
