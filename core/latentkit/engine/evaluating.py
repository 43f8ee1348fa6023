"""Values of nodes outside training: inference roles, monitors, checks."""

from __future__ import annotations

from collections import abc
from typing import Any

import torch
from torch import nn

from latentkit.engine.binding import Binder
from latentkit.spaces import Space
from latentkit.wiring.graph import Node, ancestors


def evaluate(
    roots: abc.Sequence[Node],
    modules: abc.Mapping[str, nn.Module],
    spaces: abc.Mapping[Node, Space],
    values: abc.Callable[[Node], Any],
    upcast: bool = False,
) -> list[Any]:
    """Values of nodes without a graph (inference, monitors); ``values`` supplies each source."""
    binder = Binder(modules, spaces, (), upcast)
    found: dict[Node, Any] = {}
    for node in sorted(ancestors(roots)):
        if node.op == "source":
            found[node] = values(node)
            continue
        if node.op == "grad":
            raise NotImplementedError("grad() in [inference] or [monitor]")
        with torch.no_grad():
            found[node] = binder.function(node)(*[found[arg] for arg in node.args])
    return [found[root] for root in roots]
