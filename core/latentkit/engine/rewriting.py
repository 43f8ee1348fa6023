"""Rewriting a traced graph so that the same numbers cost less."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

_ATEN: Any = torch.ops.aten


def simplified(graph: fx.GraphModule) -> fx.GraphModule:
    """The graph with each weight cast once, and transposed products written as products of transposed matrices.

    Autocast casts a weight anew wherever it is used. A gradient of a weight that is used twice is a sum of products, of
    which second derivatives give some transposed; sums of matrices that lie across each other in memory are slow, and a
    product reads transposed matrices as fast.
    """
    for source in graph.graph.find_nodes(op="placeholder"):
        _cast_once(source)
        for weight in [user for user in source.users if _is(user, _ATEN.detach.default)]:
            _cast_once(weight)
    for node in graph.graph.nodes:
        if _is(node, _ATEN.t.default) and _is(node.args[0], _ATEN.t.default):
            node.replace_all_uses_with(node.args[0].args[0])
    graph.graph.eliminate_dead_code()
    for node in list(graph.graph.nodes):
        if _is(node, _ATEN.mm.default) and node.users and all(_is(user, _ATEN.t.default) for user in node.users):
            _turn(graph.graph, node)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


def write_out_adam(graph: fx.GraphModule) -> None:
    """Write the fused update of Adam as the operations that it fuses, so that a compiler can join them with others."""
    for form in (_ATEN._fused_adam_.default, _ATEN._fused_adam_.tensor_lr):
        for node in graph.graph.find_nodes(op="call_function", target=form):
            with graph.graph.inserting_before(node):
                for tensors in zip(*node.args[:4], node.args[5], strict=True):
                    _adam(graph.graph, *tensors, **node.kwargs)
            graph.graph.erase_node(node)
    graph.recompile()


def _adam(
    graph: fx.Graph, weight: fx.Node, gradient: fx.Node, momentum: fx.Node, square: fx.Node, count: fx.Node, *,
    lr: Any, beta1: float, beta2: float, eps: float, **_: object,
) -> None:  # fmt: skip
    def call(operation: Any, *args: Any, **more: Any) -> fx.Node:
        return graph.call_function(operation, args, more)

    def unbiased(beta: float) -> fx.Node:
        return call(_ATEN.rsub.Scalar, call(_ATEN.pow.Scalar, beta, steps), 1.0)

    steps = call(_ATEN._to_copy.default, count, dtype=torch.float64)
    if momentum is not gradient:
        call(_ATEN.lerp_.Scalar, momentum, gradient, 1 - beta1)
    call(_ATEN.mul_.Scalar, square, beta2)
    call(_ATEN.addcmul_.default, square, gradient, gradient, value=1 - beta2)
    root = call(_ATEN.div.Tensor, call(_ATEN.sqrt.default, square), call(_ATEN.sqrt.default, unbiased(beta2)))
    ratio = call(_ATEN.div.Tensor, momentum, call(_ATEN.add.Scalar, root, eps))
    rate = call(_ATEN.mul.Tensor, call(_ATEN.reciprocal.default, unbiased(beta1)), lr)
    call(_ATEN.sub_.Tensor, weight, call(_ATEN.mul.Tensor, ratio, rate))


def _cast_once(source: fx.Node) -> None:
    if any(user.op == "call_function" and _writes(user) for user in source.users):
        return
    casts: dict[object, fx.Node] = {}
    for user in list(source.users):
        if _is(user, _ATEN._to_copy.default):
            first = casts.setdefault(tuple(sorted(map(str, user.kwargs.items()))), user)
            if first is not user:
                user.replace_all_uses_with(first)


def _writes(node: fx.Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return schema is None or schema.is_mutable


def _turn(graph: fx.Graph, product: fx.Node) -> None:
    """(a b)' = b' a'."""
    a, b = product.args
    with graph.inserting_after(product):
        left = graph.call_function(_ATEN.t.default, (b,))
    with graph.inserting_after(left):
        right = graph.call_function(_ATEN.t.default, (a,))
    with graph.inserting_after(right):
        turned = graph.call_function(_ATEN.mm.default, (left, right))
    for node in list(product.users):
        node.replace_all_uses_with(turned)


def _is(node: object, operation: object) -> bool:
    return isinstance(node, fx.Node) and node.op == "call_function" and node.target is operation
