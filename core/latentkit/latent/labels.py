"""Labels that ``decode`` reads: a row for each class that is asked for."""

from __future__ import annotations

from collections import abc

import torch
from torch import Tensor

from latentkit.errors import LatentkitError
from latentkit.model import Model
from latentkit.wiring.graph import ancestors


def label_rows(model: Model, classes: abc.Sequence[int]) -> list[dict[str, Tensor | float]]:
    """Values for ``given``, one per class: the label's name, and its row with a 1, [1, classes].

    Raises:
        LatentkitError: ``decode`` reads no label, or several; a class that there is not.
    """
    nodes = [node for node in ancestors([model.wiring.inference["decode"]]) if node.op == "source"]
    found = {str(node.source[1]): model.wiring.spaces[node] for node in nodes}
    labels = {name: space.dims[0] for name, space in found.items() if space.kind == "label"}
    if len(labels) != 1:
        names = ", ".join(labels) or "none"
        raise LatentkitError(f"classes: expected a 'decode' that reads one label, found {names} in '{model.name}'")
    ((name, size),) = labels.items()
    absent = [number for number in classes if not 0 <= number < int(size)]  # type: ignore[arg-type]  # sizes are known
    if absent:
        raise LatentkitError(f"classes: expected some of 0 to {int(size) - 1}, found {absent}")  # type: ignore[arg-type]
    rows = torch.eye(int(size), dtype=model.dtype, device=model.device)  # type: ignore[arg-type]
    return [{name: rows[number : number + 1]} for number in classes]
