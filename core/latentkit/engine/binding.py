"""Nodes to functions on tensors."""

from __future__ import annotations

import operator
from collections import abc
from typing import Any

import torch
from torch import Tensor, nn

from latentkit.engine.operations import OPERATIONS
from latentkit.interfaces import Part
from latentkit.spaces import Space
from latentkit.wiring.graph import Node


class Binder:
    """Makes the function of each node.

    Args:
        modules: the built parts.
        spaces: the space of each node, for aligning values without a batch.
        twice: ``grad`` nodes that must be differentiable again.
        upcast: hand losses and operations float32 (under bfloat16 autocast).
    """

    def __init__(
        self,
        modules: abc.Mapping[str, nn.Module],
        spaces: abc.Mapping[Node, Space],
        twice: abc.Collection[Node] = (),
        upcast: bool = False,
    ) -> None:
        self.modules, self.spaces, self.twice, self.upcast = modules, spaces, twice, upcast

    def function(self, node: Node) -> abc.Callable[..., Any]:
        """What computes a node from its arguments."""
        if node.op == "call":
            name, entry = node.callee
            module = self.modules[name]
            return getattr(module, entry) if entry else module
        if node.op == "apply":
            assert isinstance(node.value, Part)
            return _in_float32(node.value.build()) if self.upcast else node.value.build()
        if node.op == "number":
            return lambda value=node.value: value
        if node.op == "weights":
            return lambda module=self.modules[str(node.value)]: dict(module.named_parameters())
        if node.op == "field":
            return operator.attrgetter(str(node.value))
        if node.op == "grad":
            return _Gradient(node in self.twice)
        return self._operation(node)

    def _operation(self, node: Node) -> abc.Callable[..., Any]:
        function = OPERATIONS[node.op]
        if self.upcast:
            function = _in_float32(function)
        lonely = [self._without_batch(arg) for arg in node.args]
        whole = self.spaces.get(node)
        if node.op in ("mean", "sum") and lonely[0]:
            return getattr(torch, node.op)  # type: ignore[no-any-return]  # over all, where no axis is the batch
        if node.op not in ("add", "sub", "mul", "div", "lerp") or not any(lonely) or whole is None or not whole.batched:
            return function

        def aligned(*args: Any) -> Any:
            return function(*[arg.unsqueeze(0) if alone else arg for arg, alone in zip(args, lonely, strict=True)])

        return aligned

    def _without_batch(self, node: Node) -> bool:
        space = self.spaces.get(node)
        return space is not None and not space.batched and len(space.dims) > 0


class OnePass:
    """One call on the concatenation of several batches, its result split again."""

    def __init__(self, function: abc.Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *batches: Tensor) -> tuple[Any, ...]:
        """One result per batch."""
        sizes = [len(batch) for batch in batches]
        return _split(self.function(torch.cat(batches)), sizes)


def _split(value: Any, sizes: list[int]) -> tuple[Any, ...]:
    if isinstance(value, Tensor):
        return torch.split(value, sizes)
    fields = [_split(field, sizes) for field in value]
    return tuple(type(value)(*pieces) for pieces in zip(*fields, strict=True))


class _Gradient:
    """d (sum y) / d x; differentiable again where the plan says so."""

    def __init__(self, twice: bool) -> None:
        self.twice = twice

    def __call__(self, y: Tensor, x: Tensor) -> Tensor:
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(y.sum(), x, create_graph=self.twice, retain_graph=True)
        return gradient


def _in_float32(function: abc.Callable[..., Any]) -> abc.Callable[..., Any]:
    def call(*args: Any) -> Any:
        return function(*[_float32(arg) for arg in args])

    return call


def _float32(value: Any) -> Any:
    if isinstance(value, Tensor) and value.dtype == torch.bfloat16:
        return value.float()
    if isinstance(value, tuple):
        return type(value)(*(_float32(field) for field in value))
    return value
