"""One cattrs converter for recipes and component options: strict types, and messages that a person can act on."""

from __future__ import annotations

import types
import typing
from collections import abc

import attrs
import cattrs
from cattrs.errors import ForbiddenExtraKeysError, IterableValidationError

from latentkit.errors import Problem, nearest
from latentkit.recipe.quantities import Constant, Formula, Quantity, Ramp, Stairs, Timed, read_quantity

_T = typing.TypeVar("_T")
_NAMES = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}


def _strict(wanted: type) -> abc.Callable[[object, object], object]:
    def structure(value: object, _: object) -> object:
        if wanted is float and type(value) is int:
            return float(value)
        if type(value) is not wanted:
            raise ValueError(f"expected {_NAMES[wanted]}, found {value!r}")
        return value

    return structure


def _tuple(value: object, kind: type) -> object:
    arguments = typing.get_args(kind)
    open_ended = len(arguments) == 2 and arguments[1] is Ellipsis
    if not isinstance(value, list | tuple) or not (open_ended or len(value) == len(arguments)):
        raise ValueError(f"expected {_described(kind)}, found {value!r}")
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
        return f"a list of {len(arguments)}, each {_described(arguments[0])}"
    if origin is typing.Literal:
        return "one of " + ", ".join(repr(item) for item in arguments)
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
    raise ValueError(f"expected {_described(kind)}, found {value!r}")


def _literal(value: object, kind: object) -> object:
    choices = typing.get_args(kind)
    if value not in choices:
        raise ValueError(f"expected {_described(kind)}, found {value!r}")
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
        return None, [Problem(where(at), fact, hint) for at, fact, hint in _facts(error, path, kind)]


def _facts(error: BaseException, path: tuple[str, ...], kind: type) -> abc.Iterator[tuple[tuple[str, ...], str, str]]:
    if isinstance(error, IterableValidationError | cattrs.ClassValidationError):
        for inner in error.exceptions:
            yield from _facts(inner, path + _note(inner), kind)
    elif isinstance(error, ForbiddenExtraKeysError):
        known = [field.name for field in attrs.fields(error.cl)]
        for key in sorted(error.extra_fields):
            hint = nearest(key, known) or f"known: {', '.join(known) or 'nothing'}"
            yield (*path, key), "unknown key", hint
    elif isinstance(error, KeyError):
        yield path, f"'{error.args[0]}' is missing", ""
    elif isinstance(error, ValueError):
        # attrs gives its validators' errors the field and the value as further arguments.
        yield path, str(error.args[0] if error.args else error), ""
    else:
        yield path, str(error) or type(error).__name__, ""


def _note(error: BaseException) -> tuple[str, ...]:
    for note in getattr(error, "__notes__", ()):
        if isinstance(note, cattrs.AttributeValidationNote) and "'" not in note.name:
            # A missing key already says its name; the path then stays at the table.
            return () if isinstance(error, KeyError) else (note.name,)
        if isinstance(note, cattrs.IterableValidationNote):
            return (str(note.index),)
    return ()
