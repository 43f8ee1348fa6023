"""What parts declare of themselves, compared with what they do on a few samples."""

from __future__ import annotations

from collections import abc
from typing import Any

import torch
from torch import Tensor, nn

from latentkit.engine.program import Program
from latentkit.engine.statistics import batch_norms
from latentkit.errors import Problem
from latentkit.interfaces import Part
from latentkit.proof.shapes import tensors_in
from latentkit.wiring.graph import Node
from latentkit.wiring.wiring import Wiring

Slots = abc.Sequence[Any]


class Declarations:
    """Looks at each call of a part once: ``independent``, ``batch_norm_only``, ``stochastic`` must be as declared."""

    def __init__(self, wiring: Wiring, modules: abc.Mapping[str, nn.Module]) -> None:
        self.wiring, self.modules = wiring, modules
        self.problems: list[Problem] = []
        self.checked: set[tuple[str, str | None]] = set()
        self.before = {name: _unsaved(module) for name, module in modules.items()}

    def look(self, program: Program, slots: Slots) -> None:
        """Check the calls of an execution that were not seen before."""
        for node in program.plan.order:
            if node.op != "call" or node.callee in self.checked:
                continue
            self.checked.add(node.callee)
            args = [slots[program.slots[arg]] for arg in node.args]
            if self._draws_as_declared(node, args):
                self._apart_as_declared(node, args)

    def finish(self) -> None:
        """After the step: everything that changed must be in the part's state."""
        for name, module in self.modules.items():
            now = _unsaved(module)
            changed = [key for key, value in now.items() if not torch.equal(value, self.before[name][key])]
            if changed:
                fact = f"buffer '{changed[0]}' changes in training, but is registered with persistent=False"
                self._fault(name, fact, "register it as persistent, so that a run continues exactly")

    def _part(self, node: Node) -> tuple[str, Part, abc.Callable[..., Any]]:
        name, entry = node.callee
        module = self.modules[name]
        return name, self.wiring.parts[name], getattr(module, entry) if entry else module

    def _fault(self, name: str, fact: str, hint: str) -> None:
        self.problems.append(Problem(self.wiring.source.where(("parts", name)), f"'{name}': {fact}", hint))

    def _draws_as_declared(self, node: Node, args: list[Any]) -> bool:
        name, part, function = self._part(node)
        if part.stochastic:
            return False
        before = torch.get_rng_state()
        with torch.no_grad():
            function(*args)
        drawn = not torch.equal(before, torch.get_rng_state())
        if drawn:
            fact = "draws random numbers of its own, but does not declare it; a continued run would not be exact"
            self._fault(name, fact, f"let {type(part).__name__} declare stochastic = True, or take them as an input")
        return not drawn

    def _apart_as_declared(self, node: Node, args: list[Any]) -> None:
        """Half a batch must give half the result; both times from the same buffers, which a call may change."""
        name, part, function = self._part(node)
        buffers = [(buffer, buffer.clone()) for buffer in self.modules[name].buffers()]
        norms = [norm for norm in batch_norms(self.modules[name]) if norm.training and not part.independent]
        declared = "independent" if part.independent else "batch_norm_only" if part.batch_norm_only else ""
        if not declared or not args or not all(isinstance(arg, Tensor) for arg in args):
            return
        count = len(args[0]) if args[0].ndim else 0
        if count < 2 or any(arg.ndim == 0 or len(arg) != count for arg in args):
            return
        with torch.no_grad():
            for norm in norms:
                norm.eval()
            result = function(*args)
            _put_back(buffers)
            half = function(*[arg[: count // 2] for arg in args])
            _put_back(buffers)
            for norm in norms:
                norm.train()
        for mine, theirs in zip(tensors_in(half), tensors_in(result), strict=False):
            if not torch.allclose(mine, theirs[: count // 2].detach(), rtol=1e-3, atol=1e-4, equal_nan=True):
                also = "" if part.independent else ", not by batch norm alone"
                fact = f"declares {declared} = True, but a sample's result depends on the others in its batch{also}"
                self._fault(name, fact, f"let {type(part).__name__} declare {declared} = False")
                return


def _put_back(buffers: abc.Iterable[tuple[Tensor, Tensor]]) -> None:
    for buffer, before in buffers:
        buffer.copy_(before)


def _unsaved(module: nn.Module) -> dict[str, Tensor]:
    """Copies of the buffers that are not in the module's state."""
    saved = module.state_dict().keys()
    return {name: buffer.clone() for name, buffer in module.named_buffers() if name not in saved}
