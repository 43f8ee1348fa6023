"""Running averages of weights."""

from __future__ import annotations

import copy
from collections import abc

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from latentkit.recipe.schema import AverageSpec


class Average:
    """``a <- decay a + (1 - decay) p`` for the parameters of some parts, after every step.

    Args:
        spec: decay, what happens to buffers, and where the average starts.
        modules: the parts.
        fresh: newly initialised parts for ``start = "fresh"``.
    """

    def __init__(
        self, spec: AverageSpec, modules: abc.Mapping[str, nn.Module], fresh: abc.Mapping[str, nn.Module] | None = None
    ) -> None:
        self.spec = spec
        self.modules = {name: modules[name] for name in spec.parts}
        start = fresh if spec.start == "fresh" and fresh is not None else modules
        self.averaged = {name: copy.deepcopy(start[name]).eval() for name in spec.parts}
        self.pairs = [
            (mine, theirs)
            for name in spec.parts
            for mine, theirs in zip(self.averaged[name].parameters(), self.modules[name].parameters(), strict=True)
        ]
        self.parametrized = [module for part in self.averaged.values() for module in part.modules()
                             if parametrize.is_parametrized(module) and list(_inner(module).buffers())]  # fmt: skip
        own = {buffer for module in self.parametrized for buffer in _inner(module).buffers()}
        self.buffers = [
            (mine, theirs)
            for name in spec.parts
            for mine, theirs in zip(self.averaged[name].buffers(), self.modules[name].buffers(), strict=True)
            if mine not in own
        ]

    @torch.no_grad()
    def update(self, batch: int) -> None:
        """Follow the parts by one step of ``batch`` images."""
        share = 1 - self.spec.decay_at(batch)
        if self.pairs:
            torch._foreach_lerp_([mine for mine, _ in self.pairs], [theirs for _, theirs in self.pairs], share)
        # What a parametrization keeps is of its own weights: the singular vectors of the averaged ones are no average,
        # and those of the others would give a wrong norm. In training mode it finds them by itself, a step at a time.
        for module in self.parametrized:
            _inner(module).train()
            for weight in _inner(module):
                getattr(module, weight)
            _inner(module).eval()
        if self.spec.buffers == "keep":
            return
        for mine, theirs in self.buffers:
            if self.spec.buffers == "average" and mine.is_floating_point():
                mine.lerp_(theirs, share)
            else:
                mine.copy_(theirs)

    def tensors(self) -> dict[str, Tensor]:
        """All averaged tensors by part and name."""
        return {f"{name}.{key}": tensor for name, module in self.averaged.items()
                for key, tensor in module.state_dict().items()}  # fmt: skip

    def load(self, tensors: abc.Mapping[str, Tensor]) -> None:
        """Take over saved averages."""
        for name, module in self.averaged.items():
            own = {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
            module.load_state_dict(own)


def _inner(module: nn.Module) -> nn.ModuleDict:
    inner = module.parametrizations
    assert isinstance(inner, nn.ModuleDict)
    return inner
