"""What a training starts with: parts, averages of them, states of optimizers, and values of ``[state]``."""

from __future__ import annotations

from collections import abc
from typing import Any

import torch
from torch import Tensor, nn

from latentkit.engine.averaging import Average
from latentkit.engine.optimizing import optimizer_of
from latentkit.engine.streams import key_seed
from latentkit.engine.system import System
from latentkit.engine.updates import Slot
from latentkit.registry.manager import Registry
from latentkit.settings import Settings
from latentkit.wiring.components import Components
from latentkit.wiring.wiring import Wiring


def built_system(wiring: Wiring, registry: Registry, settings: Settings, seed: int) -> System:
    """The parts with their initial weights, on the device."""
    device = settings.torch_device()
    # Weights are drawn on the CPU, so that every device starts with the same ones.
    start = "meta" if device.type == "meta" else "cpu"
    system = System(wiring, registry, seed, start).to(device, settings.dtype)
    return system.to(memory_format=torch.channels_last) if settings.channels_last else system  # type: ignore[call-overload]  # torch types it for tensors only


def averages(
    wiring: Wiring, registry: Registry, settings: Settings, seed: int, modules: abc.Mapping[str, nn.Module]
) -> dict[str, Average]:
    """Averaged weights, which start as those of the parts or with fresh ones of their own."""

    def fresh(name: str) -> dict[str, Any]:
        return built_system(wiring, registry, settings, key_seed(seed, "average", name)).modules_by_name()

    return {
        name: Average(spec, modules, fresh(name) if spec.start == "fresh" else None)
        for name, spec in wiring.recipe.average.items()
    }


def optimizer_slots(
    wiring: Wiring, registry: Registry, modules: abc.Mapping[str, nn.Module]
) -> dict[tuple[str, str], Slot]:
    """One state per owner and part; the owner is a phase with an optimizer of its own, or "" for the recipe's."""
    components = Components(registry, wiring.source)
    slots: dict[tuple[str, str], Slot] = {}
    for phase in wiring.phases:
        owner = phase.name if phase.spec.optimizer else ""
        optimizer = optimizer_of(components, wiring.optimizer_of(phase), owner)
        for part in phase.spec.train:
            slots.setdefault((owner, part), Slot(optimizer, modules[part]))
    return slots


def initial_states(wiring: Wiring, device: torch.device, dtype: torch.dtype) -> dict[str, Tensor]:
    """The values of ``[state]`` before the first step."""
    found = {}
    for name, state in wiring.states.items():
        dims = tuple(dim for dim in state.space.dims if isinstance(dim, int))
        start = 0.0 if isinstance(state.start, tuple) else state.start
        found[name] = torch.full(dims, start, device=device, dtype=dtype)
    return found
