"""One pass where a part is called on several batches: the calls run as one on their concatenation.

Only for parts that keep samples independent, so the result is the same; a part that couples the batch is left alone.
"""

from __future__ import annotations

import math
from collections import abc

import torch
from torch import nn

from latentkit.wiring.graph import Node, ancestors
from latentkit.wiring.wiring import Wiring

Unit = tuple[Node, ...]


def units(order: abc.Sequence[Node], may_merge: abc.Callable[[Node], object]) -> list[Unit]:
    """The nodes in an order of evaluation, calls that can share a pass as one unit.

    Args:
        order: the nodes, arguments before what uses them.
        may_merge: a key; calls of equal key may share a pass. ``None``: never.
    """
    groups: dict[object, list[Node]] = {}
    for node in order:
        key = may_merge(node)
        if key is not None:
            groups.setdefault(key, []).append(node)
    merged: list[Unit] = []
    for members in groups.values():
        unit = tuple(node for node in members if not _depends(node, members))
        if len(unit) > 1 and _scheduled(order, [*merged, unit]) is not None:
            merged.append(unit)
    scheduled = _scheduled(order, merged)
    assert scheduled is not None
    return scheduled


def _depends(node: Node, others: abc.Iterable[Node]) -> bool:
    upstream = ancestors([node]) - {node}
    return any(other in upstream for other in others)


def _scheduled(order: abc.Sequence[Node], merged: abc.Sequence[Unit]) -> list[Unit] | None:
    """Units so that arguments come first, otherwise in the order of writing; ``None`` where they wait in a circle."""
    unit_of = {node: unit for unit in merged for node in unit}
    waiting = list(dict.fromkeys(unit_of.get(node, (node,)) for node in order))
    done: set[Node] = set()
    scheduled: list[Unit] = []
    while waiting:
        ready = next((unit for unit in waiting if all(arg in done for node in unit for arg in node.args)), None)
        if ready is None:
            return None
        waiting.remove(ready)
        scheduled.append(ready)
        done.update(ready)
    return scheduled


def can_share(
    node: Node, wiring: Wiring, modules: abc.Mapping[str, nn.Module], batch: int, device: torch.device
) -> bool:
    """Whether a call may share a pass with others of its part, and gains by it.

    It may with one batched tensor in, and samples kept independent. What a joint pass saves is reading the weights
    again, and launches; on a CPU it costs what no longer fits the cache. Measured there: 0.9 of the time for wide
    linear layers and for small batches, 1.1 for convolutions on large ones; the rule asks for four times as many
    weights as the joint input has numbers.
    """
    name = node.callee[0]
    part, spaces = wiring.parts[name], [wiring.spaces.get(arg) for arg in node.args]
    if len(spaces) != 1 or spaces[0] is None or not part.independent or part.stochastic:
        return False
    if not spaces[0].batched or spaces[0].kind in ("posterior", "record"):
        return False
    weights = sum(parameter.numel() for parameter in modules[name].parameters())
    numbers = 2 * batch * math.prod(dim for dim in spaces[0].dims if isinstance(dim, int))
    return weights >= 4 * numbers if device.type == "cpu" else weights > 0
