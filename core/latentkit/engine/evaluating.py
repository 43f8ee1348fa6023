"""Values of nodes outside training: inference roles, monitors, checks."""

from __future__ import annotations

from collections import abc
from typing import Any

import torch
from torch import nn

from latentkit.engine.binding import Binder
from latentkit.spaces import Space
from latentkit.wiring.graph import Node


def evaluate(
    roots: abc.Sequence[Node],
    modules: abc.Mapping[str, nn.Module],
    spaces: abc.Mapping[Node, Space],
    values: abc.Callable[[Node], Any],
    upcast: bool = False,
    known: abc.Mapping[Node, Any] | None = None,
) -> list[Any]:
    """Values of nodes without a graph (inference, monitors).

    Args:
        roots: what to evaluate.
        modules: the built parts.
        spaces: the space of each node.
        values: supplies each source.
        upcast: hand losses and operations float32.
        known: values of nodes that are not computed again.
    """
    binder = Binder(modules, spaces, (), upcast)
    found: dict[Node, Any] = dict(known or {})
    for node in sorted(needed(roots, found)):
        if node.op == "source":
            found[node] = values(node)
            continue
        if node.op == "grad":
            raise NotImplementedError("grad() in [inference] or [monitor]")
        with torch.no_grad():
            found[node] = binder.function(node)(*[found[arg] for arg in node.args])
    return [found[root] for root in roots]


def needed(roots: abc.Iterable[Node], known: abc.Container[Node]) -> set[Node]:
    """What has to be computed for the roots where some values are known."""
    missing: set[Node] = set()
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node not in missing and node not in known:
            missing.add(node)
            stack += node.args
    return missing
