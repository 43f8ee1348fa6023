"""A plan bound to modules: a flat list of instructions, and the gradients of each phase at the end.

A program keeps nothing between calls: values and gradients are its results, parameters and buffers live in the modules.
"""

from __future__ import annotations

from collections import abc
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from latentkit.engine.binding import Binder, OnePass
from latentkit.engine.merging import Unit
from latentkit.engine.outcome import Gradients, Outcome, copied, detached, reduced
from latentkit.engine.plan import Plan, is_one
from latentkit.engine.sharding import Sharding
from latentkit.engine.statistics import shares_statistics
from latentkit.engine.updates import trainable
from latentkit.spaces import Space
from latentkit.wiring.graph import Node
from latentkit.wiring.wiring import Phase

Values = abc.Mapping[tuple[str, Any], Any]
"""Every source by (kind, name)."""


@attrs.frozen(eq=False)
class _Instruction:
    slots: tuple[int, ...]
    function: abc.Callable[..., Any]
    args: tuple[int, ...]
    graph: bool
    leaves: tuple[bool, ...]


class Program:
    """Runs one plan.

    Args:
        plan: what to compute.
        modules: the built parts.
        spaces: the space of each node, for aligning values without a batch.
        upcast: hand losses float32 (under bfloat16 autocast).
        sharding: where values are, in a world of several ranks.
    """

    def __init__(
        self,
        plan: Plan,
        modules: abc.Mapping[str, nn.Module],
        spaces: abc.Mapping[Node, Space],
        upcast: bool = False,
        sharding: Sharding | None = None,
    ) -> None:
        self.plan, self.modules, self.sharding = plan, modules, sharding
        self.slots = {node: slot for slot, node in enumerate(plan.order)}
        self.inputs = [(self.slots[node], node.source, node in plan.leaves) for node in plan.sources()]
        binder = Binder(modules, spaces, plan.twice, upcast)
        self.instructions = [self._instruction(unit, binder) for unit in plan.units if unit[0].op != "source"]
        named = {
            phase.name: [(part, *pair) for part in phase.spec.train for pair in trainable(modules[part]).items()]
            for phase in plan.running
        }
        self.names = {phase: [(part, name) for part, name, _ in found] for phase, found in named.items()}
        """Per phase, part and name of each parameter, in the order of its gradients."""
        self.parameters = {phase: [parameter for *_, parameter in found] for phase, found in named.items()}

    @property
    def talks(self) -> bool:
        """Whether values go from rank to rank within an execution."""
        if self.sharding is None:
            return False
        called = {node.callee[0] for node in self.plan.order if node.op == "call"}
        shared = any(shares_statistics(self.modules[name]) for name in called)
        return shared or any(self.sharding.moves(unit) for unit in self.plan.units)

    def named(self, phase: Phase, gradients: Gradients) -> abc.Iterator[tuple[str, str, Tensor | None]]:
        """Part, parameter name and gradient, for all that a phase trains."""
        for (part, name), gradient in zip(self.names[phase.name], gradients, strict=True):
            yield part, name, gradient

    def _instruction(self, unit: Unit, binder: Binder) -> _Instruction:
        first = unit[0]
        function = binder.function(first)
        function = function if len(unit) == 1 else OnePass(function)
        return _Instruction(
            tuple(self.slots[node] for node in unit),
            function if self.sharding is None else self.sharding.bound(unit, function),
            tuple(self.slots[arg] for node in unit for arg in node.args),
            first in self.plan.graph,
            tuple(node in self.plan.leaves for node in unit),
        )

    def __call__(self, values: Values) -> Outcome:
        """Evaluate, and take each phase's gradient for its own parts.

        Args:
            values: every source by (kind, name).
        """
        return self.outcome(self.forward(values))

    def terms(self, slots: abc.Sequence[Any]) -> dict[tuple[str, str], Tensor]:
        """Each term by (phase, term), averaged over the batch, from the values of :meth:`forward`."""
        return {(term.phase, term.name): reduced(slots[self.slots[term.node]]) for term in self.plan.terms}

    def outcome(
        self, slots: abc.Sequence[Any], parameters: abc.Mapping[str, abc.Sequence[Tensor]] | None = None
    ) -> Outcome:
        """Terms and gradients from the values of :meth:`forward`.

        Args:
            slots: these values.
            parameters: what stood in for the modules' parameters, if not they themselves, as :attr:`parameters`.
        """
        terms = self.terms(slots)
        gradients = {}
        for number, phase in enumerate(self.plan.running):
            last = number == len(self.plan.running) - 1
            mine = (parameters or self.parameters)[phase.name]
            gradients[phase.name] = self.gradients_of(phase, terms, slots, not last, mine)
        at = self._at(slots)
        return Outcome(
            gradients,
            {key: value.detach() for key, value in terms.items()},
            {name: copied(at(node)) for phase in self.plan.running for name, node in phase.kept.items()},
            {name: at(node) for name, node in self.plan.states.items()},
            {phase.name: {part: at(node) for part, node in phase.rates.items()} for phase in self.plan.running},
        )

    def forward(self, values: Values) -> list[Any]:
        """Evaluate every node of the plan."""
        slots: list[Any] = [None] * len(self.plan.order)
        for slot, source, leaf in self.inputs:
            value = values[source]
            slots[slot] = value.detach().requires_grad_() if leaf else value
        enabled = torch.is_grad_enabled()
        current = enabled
        try:
            for step in self.instructions:
                if step.graph is not current:
                    current = step.graph
                    torch.set_grad_enabled(current)
                result = step.function(*[slots[arg] for arg in step.args])
                results = (result,) if len(step.slots) == 1 else result
                for slot, leaf, value in zip(step.slots, step.leaves, results, strict=True):
                    slots[slot] = value.detach().requires_grad_() if leaf else value
        finally:
            torch.set_grad_enabled(enabled)
        return slots

    def gradients_of(
        self, phase: Phase, terms: abc.Mapping[tuple[str, str], Tensor], slots: abc.Sequence[Any],
        keep_graph: bool = True, parameters: abc.Sequence[Tensor] | None = None,
    ) -> Gradients:  # fmt: skip
        """The gradient of the weighted sum of terms of a phase, for the parameters of its trained parts.

        Args:
            phase: whose parameters.
            terms: all of :meth:`terms`, or some of them.
            slots: the values of :meth:`forward`.
            keep_graph: whether more gradients will be asked of these values.
            parameters: what stood in for the modules' own.

        Returns:
            One gradient per parameter, ``None`` where none can reach it.
        """
        total: Tensor | None = None
        for term in self.plan.terms_of(phase):
            value = terms.get((phase.name, term.name))
            if value is None:
                continue
            if not is_one(term.weight):
                weight = slots[self.slots[term.weight]]
                value = value * (weight.detach() if isinstance(weight, Tensor) else weight)
            if term.every > 1:
                value = value * term.every
            total = value if total is None else total + value
        mine = parameters or self.parameters[phase.name]
        if total is None or not total.requires_grad:
            return [None] * len(mine)
        return list(torch.autograd.grad(total, mine, retain_graph=keep_graph, allow_unused=True))

    def _at(self, slots: abc.Sequence[Any]) -> abc.Callable[[Node], Any]:
        def value(node: Node) -> Any:
            found = slots[self.slots[node]]
            return detached(found)

        return value
