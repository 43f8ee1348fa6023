"""``--given``: labels and numbers that are chosen, in place of those that a recipe draws, takes or states."""

from __future__ import annotations

import json
from collections import abc

import torch
from torch import Tensor

from latentkit import Model
from latentkit.errors import LatentkitError, nearest
from latentkit.spaces import Space
from latentkit.wiring.graph import ancestors
from latentkit_cli.options import finite_number


def given_values(model: Model, role: str, assignments: abc.Sequence[str], count: int) -> dict[str, Tensor | float]:
    """Values by name: of a label the same row for each of ``count`` samples, [count, classes]; of a scalar a number.

    Args:
        model: one that has this role of ``[inference]``.
        role: what is to be evaluated.
        assignments: ``NAME=CLASS`` or ``NAME=[number, ...]`` with a number per class; ``NAME=NUMBER`` of a scalar.
        count: how many samples.

    Raises:
        LatentkitError: no ``=``, a name twice, a value that is no label or scalar that this role reads, no such class.
    """
    sources = [node for node in ancestors([model.wiring.inference[role]]) if node.is_source("draw", "data", "scalars")]
    spaces = {str(node.source[1]): model.wiring.spaces[node] for node in sources}
    found: dict[str, Tensor | float] = {}
    for text in assignments:
        name, equals, value = (piece.strip() for piece in text.partition("="))
        if not equals:
            raise LatentkitError(f"--given {text}: expected NAME=CLASS, for example --given y=3")
        if name in found:
            raise LatentkitError(f"--given {text}: '{name}' is given twice")
        if name in spaces and spaces[name].kind == "scalar":
            found[name] = finite_number(f"--given {text}", value)
        else:
            found[name] = _row(text, value, _classes(text, name, spaces, role)).expand(count, -1)
    return found


def _classes(text: str, name: str, spaces: abc.Mapping[str, Space], role: str) -> int:
    labels = {known: space.dims[0] for known, space in spaces.items() if space.kind == "label"}
    size = labels.get(name)
    if isinstance(size, int):
        return size
    known = [*labels, *(known for known, space in spaces.items() if space.kind == "scalar")]
    if not known:
        raise LatentkitError(
            f"--given {text}: '{role}' of this model reads no label and no scalar, so that none can be given"
        )
    fact = f"it is {spaces[name]}" if name in spaces else f"'{role}' reads no value of that name"
    hint = nearest(name, known)
    raise LatentkitError(
        f"--given {text}: expected the name of a label or scalar, {' or '.join(known)}, found '{name}': {fact}"
        + (f"\n  {hint}" if hint else "")
    )


def _row(text: str, value: str, classes: int) -> Tensor:
    try:
        read = json.loads(value)
    except (ValueError, RecursionError):
        read = None
    if type(read) is int and 0 <= read < classes:
        return torch.nn.functional.one_hot(torch.tensor(read), classes).float()
    most = torch.finfo(torch.float32).max
    numbers = isinstance(read, list) and all(type(item) in (int, float) and abs(item) <= most for item in read)
    if numbers and len(read) == classes:
        return torch.tensor(read, dtype=torch.float32)
    raise LatentkitError(
        f"--given {text}: expected a class from 0 to {classes - 1}, or a list of {classes} numbers, one per class"
    )
