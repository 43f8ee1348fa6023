"""Shapes of results that were seen before: an operation on the meta device costs more to ask than to remember."""

from __future__ import annotations

import functools
from collections import abc
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.utils._python_dispatch import TorchDispatchMode

_MOST = 100_000
"""Results that are remembered; then it begins anew."""
_known: dict[abc.Hashable, Any] = {}


class Remembering(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Answers operations on meta tensors from memory, where equal ones were answered before.

    What an operation returns on the meta device is a function of the sizes, strides and types of its tensors and of its
    other arguments. Torch computes it in Python for most operations, which is nearly all of the time of a proof. Those
    that write into an argument, or return a view of one, are not remembered, nor are those of other devices.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: abc.Mapping[str, Any] | None = None
    ) -> Any:
        """Run the operation, or make what it returned the last time."""
        rest = dict(kwargs or {})
        if not _pure(func):
            return func(*args, **rest)
        try:
            key = (func, _described(args), _described(tuple(rest.items())))
            found = _known.get(key)
        except _NotDescribed:
            return func(*args, **rest)
        if found is not None:
            return _made(found)
        result = func(*args, **rest)
        try:
            description = _described(result)
        except _NotDescribed:
            return result
        if len(_known) >= _MOST:
            _known.clear()
        _known[key] = description
        return result


class _NotDescribed(Exception):
    """Something that is no plain tensor of the meta device, nor a plain value."""


def _described(value: Any) -> Any:
    kind = type(value)
    if kind is Tensor or kind is Parameter:
        if value.device.type != "meta" or value.layout != torch.strided or value.is_conj() or value.is_neg():
            raise _NotDescribed
        return _Sizes((tuple(value.shape), value.stride(), value.dtype))
    if kind is tuple or kind is list:
        return (kind, *map(_described, value))
    # The type too: 1, 1.0 and True are one key, but not of one type.
    if value is None or kind in _PLAIN:
        return (kind, value)
    raise _NotDescribed


class _Sizes(tuple[Any, ...]):
    """Of a tensor: its sizes, its strides, its type."""

    __slots__ = ()


_PLAIN = frozenset({int, float, bool, str, torch.dtype, torch.device, torch.layout, torch.memory_format})


def _made(found: Any) -> Any:
    if type(found) is _Sizes:
        size, stride, dtype = found
        return torch.empty_strided(size, stride, dtype=dtype, device="meta")
    kind, *values = found
    return kind(map(_made, values)) if kind is tuple or kind is list else values[0]


@functools.cache
def _pure(func: Any) -> bool:
    schema = func._schema
    return all(item.alias_info is None for item in (*schema.arguments, *schema.returns))
