"""One cattrs converter for recipes and component options: strict types, and messages that a person can act on."""

from __future__ import annotations

import math
import re
import types
import typing
from collections import abc

import attrs
import cattrs
from cattrs.errors import ForbiddenExtraKeysError, IterableValidationError

from latentkit.errors import Problem, nearest
from latentkit.recipe.quantities import Constant, Formula, Quantity, Ramp, Stairs, Timed, read_quantity
from latentkit.recipe.writing import brief

_T = typing.TypeVar("_T")
_WORDS = {">=": "at least", ">": "above", "<=": "at most", "<": "below"}
_BOUND = re.compile(r"'(\w+)' must be (>=|>|<=|<) (.+): (.+)$")
_NAMES = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}


def _strict(wanted: type) -> abc.Callable[[object, object], object]:
    def structure(value: object, _: object) -> object:
        if wanted is float and type(value) is int:
            value = float(value)
        if type(value) is not wanted:
            raise ValueError(f"expected {_NAMES[wanted]}, found {brief(value)}")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"expected a finite number, found {brief(value)}")
        return value

    return structure


def _tuple(value: object, kind: type) -> object:
    arguments = typing.get_args(kind)
    open_ended = len(arguments) == 2 and arguments[1] is Ellipsis
    if not isinstance(value, list | tuple) or not (open_ended or len(value) == len(arguments)):
        raise ValueError(f"expected {_described(kind)}, found {brief(value)}")
    types_ = [arguments[0]] * len(value) if open_ended else arguments
    return tuple(converter.structure(item, inner) for item, inner in zip(value, types_, strict=True))


def _origin(kind: object) -> object:
    return typing.get_origin(kind)


def _described(kind: object) -> str:
    if kind in _NAMES:
        return _NAMES[kind]
    arguments = typing.get_args(kind)
    origin = _origin(kind)
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return f"a list, each {_described(arguments[0])}"
        if len(set(arguments)) > 1:
            return f"a list of {', '.join(map(_described, arguments))}"
        return f"a list of {len(arguments)}, each {_described(arguments[0])}"
    if origin is typing.Literal:
        return "one of " + ", ".join(map(brief, arguments))
    names = [_described(item) for item in arguments if item is not type(None)]
    return " or ".join(names) or str(kind)


def _union(value: object, kind: object) -> object:
    arguments = typing.get_args(kind)
    if value is None and type(None) in arguments:
        return None
    for inner in arguments:
        if inner is type(None):
            continue
        try:
            return converter.structure(value, inner)
        except Exception:  # the next alternative may fit; a failure of all is reported below
            continue
    raise ValueError(f"expected {_described(kind)}, found {brief(value)}")


def _literal(value: object, kind: object) -> object:
    choices = typing.get_args(kind)
    if value not in choices:
        raise ValueError(f"expected {_described(kind)}, found {brief(value)}")
    return value


def _object(value: object, _: object) -> object:
    return value


def _is_union(kind: object) -> bool:
    return _origin(kind) in (typing.Union, types.UnionType)


converter = cattrs.Converter(forbid_extra_keys=True, detailed_validation=True)
for _kind in _NAMES:
    converter.register_structure_hook(_kind, _strict(_kind))
converter.register_structure_hook_func(lambda kind: _origin(kind) is tuple, _tuple)
converter.register_structure_hook_func(_is_union, _union)
converter.register_structure_hook_func(lambda kind: _origin(kind) is typing.Literal, _literal)
converter.register_structure_hook_func(lambda kind: kind is object, _object)
converter.register_structure_hook_func(lambda kind: kind == Quantity, lambda value, _: read_quantity(value))
converter.register_structure_hook_func(lambda kind: kind == Timed, lambda value, _: read_quantity(value, formula=False))
for _quantity in (Constant, Ramp, Stairs, Formula):
    converter.register_structure_hook(_quantity, lambda value, _: value)


def structure(
    tables: abc.Mapping[str, object], kind: type[_T], where: abc.Callable[[tuple[str, ...]], str], path: tuple[str, ...]
) -> tuple[_T | None, list[Problem]]:
    """Build ``kind`` (an attrs class) from tables; every problem names the key at fault."""
    try:
        return converter.structure(dict(tables), kind), []
    except Exception as error:
        return None, [Problem(where(at), fact, hint) for at, fact, hint in _facts(error, path)]


def recovered(tables: abc.Mapping[str, object], kind: type[_T]) -> _T | None:
    """What can be built without the keys that are at fault, so that further faults elsewhere can be looked for."""
    try:
        return converter.structure(dict(tables), kind)
    except Exception as error:
        faulty = {at[0] for at, _, _ in _facts(error, ()) if at}
    try:
        return converter.structure({key: value for key, value in tables.items() if key not in faulty}, kind)
    except Exception:
        return None


def _facts(error: BaseException, path: tuple[str, ...]) -> abc.Iterator[tuple[tuple[str, ...], str, str]]:
    if isinstance(error, IterableValidationError | cattrs.ClassValidationError):
        for inner in error.exceptions:
            if isinstance(inner, KeyError) and isinstance(error, cattrs.ClassValidationError):
                key = str(inner.args[0])
                wanted = _described(typing.get_type_hints(error.cl).get(key, object))
                yield path, f"'{key}' is missing", f"write {key} = {wanted}"
            else:
                yield from _facts(inner, path + _note(inner))
    elif isinstance(error, ForbiddenExtraKeysError):
        known = [field.name for field in attrs.fields(error.cl)]
        for key in sorted(error.extra_fields):
            hint = nearest(key, known) or f"known: {', '.join(known) or 'nothing'}"
            yield (*path, key), "unknown key", hint
    elif isinstance(error, ValueError):
        name, fact = _validated(error)
        yield (*path, *name), fact, ""
    else:
        yield path, str(error) or type(error).__name__, ""


def _validated(error: ValueError) -> tuple[tuple[str, ...], str]:
    """What a validator of attrs says, as the name of the field and a fact; what others say, as it is."""
    if len(error.args) == 4:  # of in_(): the message, the field, what it may be, and what it is
        _, field, choices, value = error.args
        return (field.name,), f"expected one of {', '.join(map(brief, choices))}, found {brief(value)}"
    said = str(error.args[0]) if error.args else str(error)
    bound = _BOUND.match(said)
    return ((bound[1],), f"must be {_WORDS[bound[2]]} {bound[3]}, found {bound[4]}") if bound else ((), said)


def _note(error: BaseException) -> tuple[str, ...]:
    for note in getattr(error, "__notes__", ()):
        if isinstance(note, cattrs.AttributeValidationNote) and "'" not in note.name:
            return (note.name,)
        if isinstance(note, cattrs.IterableValidationNote):
            return (str(note.index),)
    return ()
