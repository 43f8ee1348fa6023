"""``[monitor]``: values that are logged beside the losses."""

from __future__ import annotations

from typing import Any

import torch

from latentkit.engine.evaluating import evaluate
from latentkit.engine.training import Training
from latentkit.wiring.graph import Node


def monitored(training: Training) -> dict[str, float]:
    """The values of ``[monitor]`` on fresh draws, in evaluation mode, batch means."""
    nodes = training.wiring.monitor
    if not nodes:
        return {}
    data = training.feed(0, {}, training.positions, whole=True)  # one rank computes them, for all

    def value(node: Node) -> Any:
        kind, name = node.source
        return data.value(name) if kind == "data" else training.source(kind, name, "monitor")

    training.system.eval()
    try:
        found = evaluate(list(nodes.values()), training.modules, training.wiring.spaces, value)
    finally:
        training.system.train()
    return {name: float(torch.as_tensor(value).double().mean()) for name, value in zip(nodes, found, strict=True)}
