"""Types of options: values that an option may have, must not have, and hardly means."""

from __future__ import annotations

import math
import types
import typing
from typing import Any

import attrs

from latentkit.recipe.quantities import Quantity, Timed

PROBES: tuple[Any, ...] = ("no-such-word", 1.5, 3, True, [], ["no-such-word"], {"no_such_key": 1.0}, math.nan)
"""A value of every type of TOML. What does not fit an option's type must be refused."""
_FIRST: dict[object, tuple[object, ...]] = {int: (3, 2, 4, 8, 16, 1), float: (0.5, 1.0), bool: (False,)}


def alternatives(kind: object) -> list[object]:
    """The types in a union, without ``None``; else the type itself."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType) and kind not in (Quantity, Timed):
        return [inner for item in typing.get_args(kind) if item is not type(None) for inner in alternatives(item)]
    return [kind]


def candidates(kind: object) -> tuple[Any, ...]:
    """Values for an option that must be given; none where its type tells too little, as a string's does."""
    if kind in (Quantity, Timed):
        return (0.5, 1.0)
    for inner in alternatives(kind):
        if inner in _FIRST:
            return _FIRST[inner]
        arguments = typing.get_args(inner)
        if typing.get_origin(inner) is typing.Literal:
            return arguments
        if typing.get_origin(inner) is tuple:
            each = [candidates(item) for item in arguments if item is not Ellipsis]
            if all(each):
                row = [values[0] for values in each]
                return (row * 2 if Ellipsis in arguments else row,)
    return ()


def few(kind: object) -> tuple[object, ...]:
    """All values of an option that is true or false, or one of a few words; none of others."""
    found: list[object] = []
    for inner in alternatives(kind):
        found += [False, True] if inner is bool else []
        found += typing.get_args(inner) if typing.get_origin(inner) is typing.Literal else []
    return tuple(found)


def fits(value: Any, kind: object) -> bool:
    """Whether a value as TOML has it may be what an option of this type wants."""
    if kind in (Quantity, Timed):
        return (type(value) in (int, float) and math.isfinite(value)) or (kind == Quantity and isinstance(value, str))
    inner = alternatives(kind)
    if len(inner) > 1:
        return any(fits(value, item) for item in inner)
    kind, origin, arguments = inner[0], typing.get_origin(inner[0]), typing.get_args(inner[0])
    if kind is float:
        return type(value) in (int, float) and math.isfinite(value)
    if kind in (int, bool, str):
        return type(value) is kind
    if origin is typing.Literal:
        return any(type(value) is type(item) and value == item for item in arguments)
    if origin is tuple:
        items = [arguments[0]] * len(value) if Ellipsis in arguments and isinstance(value, list) else arguments
        return isinstance(value, list) and len(value) == len(items) and all(map(fits, value, items))
    return not isinstance(value, dict) or (isinstance(kind, type) and attrs.has(kind))


def outside(kind: object) -> list[Any]:
    """Values of an option's type that few options mean: zero, negative, empty."""
    if kind in (Quantity, Timed):
        return [0.0, -1.0]
    found: list[Any] = []
    for inner in alternatives(kind):
        arguments = typing.get_args(inner)
        if inner is int:
            found += [0, -1]
        elif inner is float:
            found += [0.0, -1.0]
        elif inner is str:
            found += ["", "no-such-word"]
        elif typing.get_origin(inner) is tuple:
            each = [outside(item) for item in arguments if item is not Ellipsis]
            found += [[]] if Ellipsis in arguments else []
            found += [[values[index] for values in each] for index in (0, 1)] if all(each) else []
    return found
