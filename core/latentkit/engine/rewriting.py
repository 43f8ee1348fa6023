"""Rewriting a traced graph so that the same numbers cost less."""

from __future__ import annotations

import torch
from torch import fx

_ATEN = torch.ops.aten


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
