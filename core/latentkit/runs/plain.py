"""Whatever a checkpoint holds, as plain dicts and lists of tensors, numbers and strings."""

from __future__ import annotations

from collections import Counter, OrderedDict, abc
from typing import Any

import attrs
import torch
from torch import Tensor

from latentkit.errors import RunError
from latentkit.runs.inert import StandIn

EXPANDED = 2**24
"""Elements that a tensor may have at most where its data are repeated rather than stored."""
NAMES, DEPTH = 100_000, 32
PRIMITIVES = (str, int, float, bool, bytes, complex, type(None))


@attrs.define(eq=False)
class Unknown:
    """An object of a class that is not known here, with the state that its pickle gave it, and nothing that acts."""

    name: str
    """Of its class."""
    state: object = None


def plain(value: object) -> Any:
    """The same without instances of classes.

    Dicts and lists are made anew, tuples and sets become lists, tensors lose what was attached to them, and what
    remains is an :class:`Unknown`. Things that occur twice still do, circles included; nothing recurses.
    """
    made: dict[int, tuple[object, object]] = {}  # by identity, with the original, so that no identity is used again
    waiting: list[tuple[Any, Any]] = []

    def of(item: object) -> Any:
        if type(item) in PRIMITIVES:
            return item
        if id(item) not in made:
            fresh = _shell(item)
            made[id(item)] = (fresh, item)
            if isinstance(fresh, dict | list) or isinstance(item, StandIn):
                waiting.append((item, fresh))
        return made[id(item)][0]

    result = of(value)
    while waiting:
        item, fresh = waiting.pop()
        if isinstance(fresh, dict):
            # An attribute of the instance may hide the method, hence by way of the class.
            fresh |= {key: of(inner) for key, inner in dict.items(item) if _is_key(key)}
        elif isinstance(fresh, list):
            fresh += [of(inner) for inner in item]
        else:
            fresh.state = of(item.state)
    return result


def _shell(item: object) -> object:
    kind = type(item)
    if kind in (dict, OrderedDict, Counter):
        return {}
    if kind in (list, tuple, set, torch.Size):
        return []
    if isinstance(item, Tensor) and kind in (Tensor, torch.nn.Parameter):
        tensor = Tensor.detach(item)  # without the attributes, which may hide methods
        return tensor if _has_data(tensor) else Unknown(f"torch.Tensor of {list(tensor.shape)} without data")
    return Unknown(item.full_name if isinstance(item, StandIn) else f"{kind.__module__}.{kind.__qualname__}")


def _is_key(key: object) -> bool:
    return type(key) in PRIMITIVES or (type(key) is tuple and all(type(item) in PRIMITIVES for item in key))


def _has_data(tensor: Tensor) -> bool:
    if tensor.is_meta or tensor.layout is not torch.strided or tensor.is_quantized:
        return False
    stored = tensor.untyped_storage().nbytes() // max(tensor.element_size(), 1)
    return tensor.numel() <= max(stored, EXPANDED)


def flat(content: abc.Mapping[str, object]) -> dict[str, Tensor]:
    """All tensors of nested dicts by dotted name, ``models.generator.fc_1.weight``; lists are left out.

    Raises:
        RunError: more than 100,000 of them.
    """
    found: dict[str, Tensor] = {}
    waiting: list[tuple[str, int, object]] = [("", 0, content)]
    seen = 0
    while waiting:
        prefix, depth, value = waiting.pop()
        seen += 1
        if seen > NAMES:
            raise RunError(f"has more than {NAMES:,} names; no layout that is known has so many")
        if isinstance(value, Tensor):
            found[prefix] = value
        elif isinstance(value, abc.Mapping) and depth < DEPTH:
            start = f"{prefix}." if prefix else ""
            waiting += [(f"{start}{key}", depth + 1, inner) for key, inner in value.items()]
    return found


def nested(tensors: abc.Mapping[str, Tensor]) -> dict[str, object]:
    """Dotted names as nested dicts; a name that is both a tensor and a table's keeps its dots."""
    tree: dict[str, Any] = {}
    for dotted in sorted(tensors):
        table, rest = tree, dotted
        while "." in rest:
            first, _, after = rest.partition(".")
            inner = table.setdefault(first, {})
            if not isinstance(inner, dict):
                break
            table, rest = inner, after
        table[rest] = tensors[dotted]
    return tree
