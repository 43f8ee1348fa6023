"""The options of a component, from the types of its fields: values that must be given, wrong types, values outside."""

from __future__ import annotations

import contextlib
import itertools
import math
import types
import typing
from collections import abc
from typing import Any

import attrs

from latentkit.errors import LatentkitError, Problem
from latentkit.interfaces import Component
from latentkit.recipe.quantities import Quantity, Timed
from latentkit.recipe.schema import UseSpec
from latentkit.recipe.source import Source
from latentkit.recipe.writing import brief
from latentkit.testing.checks import Nonconforming, NotExercised, require, said
from latentkit.testing.examples import Example
from latentkit.testing.workplace import Workplace
from latentkit.wiring.components import Components

Options = dict[str, object]
Exercise = abc.Callable[[Component, str], None]
"""Uses a component one of whose options (named) has a value that was accepted."""
PROBES: tuple[Any, ...] = ("no-such-word", 1.5, 3, True, [], ["no-such-word"], {"no_such_key": 1.0}, math.nan)
"""A value of every type of TOML. What does not fit an option's type must be refused."""
_FIRST: dict[object, tuple[object, ...]] = {int: (3, 2, 4, 8, 16, 1), float: (0.5, 1.0), bool: (False,)}
MOST = 16
"""Numbers above this are made smaller where a component allows it, so that checks stay quick."""


class Subject:
    """A component under test.

    Attributes:
        workplace: of its plugin.
        name: as recipes name it, ``plugin.component``.
        kind: its class.
    """

    def __init__(self, workplace: Workplace, name: str, kind: type[Component]) -> None:
        self.workplace, self.name, self.kind = workplace, name, kind

    @property
    def example(self) -> Example:
        """What its author gives."""
        return self.workplace.example(self.name.partition(".")[2])

    def types(self) -> dict[str, object]:
        """The options by name, with their types."""
        with contextlib.suppress(NameError, TypeError):  # a name that is there for type checkers alone
            hints = typing.get_type_hints(self.kind)
            return {field.name: hints.get(field.name, field.type) for field in _fields(self.kind)}
        return {field.name: field.type for field in _fields(self.kind)}

    def required(self) -> list[str]:
        """The options without a default."""
        return [field.name for field in _fields(self.kind) if field.default is attrs.NOTHING]

    def configured(self, options: abc.Mapping[str, object]) -> tuple[Any, list[Problem]]:
        """The component with these options, read as those of a recipe are; or the problems."""
        components = Components(self.workplace.registry, Source("recipe", {}, {}))
        spec = UseSpec(use=self.name, options=dict(options))
        found = components.configure(spec, (self.kind.kind,), ("options",), self.kind)
        return found, components.problems

    def options(self) -> Options:
        """Options with which the component can be made: those of its example, and the others that must be given.

        Raises:
            NotExercised: none were found.
            Nonconforming: the options of its example are refused.
        """
        given = dict(self.example.options)
        kinds = self.types()
        wanted = [name for name in self.required() if name not in given]
        choices = {name: _candidates(kinds[name]) for name in wanted}
        unknown = [name for name, values in choices.items() if not values]
        if unknown:
            raise NotExercised(f"{self.name}: no value is known for '{unknown[0]}'; give one in latentkit_examples")
        problems: list[Problem] = []
        for row in itertools.zip_longest(*choices.values()):
            values = [value if value is not None else choices[name][-1] for name, value in zip(wanted, row, strict=True)]
            options = {**given, **dict(zip(wanted, values, strict=True))}
            component, problems = self.configured(options)
            if component is not None:
                return options
        if not wanted:
            component, problems = self.configured(given)
            if component is not None:
                return given
        fault = f"{self.name}: {problems[0]}" if problems else f"{self.name}: cannot be made"
        if self.example.options:
            raise Nonconforming(f"its example is refused: {fault}")
        raise NotExercised(f"{fault}; give its options in latentkit_examples")

    def made(self) -> Any:
        """The component with :meth:`options`."""
        return self.configured(self.options())[0]


def _fields(kind: type) -> tuple[attrs.Attribute[Any], ...]:
    found: tuple[attrs.Attribute[Any], ...] = attrs.fields(kind) if attrs.has(kind) else ()
    return found


def alternatives(kind: object) -> list[object]:
    """The alternatives of a union, without ``None``; else the type itself."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType) and kind not in (Quantity, Timed):
        return [inner for item in typing.get_args(kind) if item is not type(None) for inner in alternatives(item)]
    return [kind]


def _candidates(kind: object) -> tuple[Any, ...]:
    """Values for an option that must be given."""
    if kind in (Quantity, Timed):
        return (0.5, 1.0)
    for inner in alternatives(kind):
        if inner in _FIRST:
            return _FIRST[inner]
        arguments = typing.get_args(inner)
        if typing.get_origin(inner) is typing.Literal:
            return arguments
        if typing.get_origin(inner) is tuple:
            each = [_candidates(item) for item in arguments if item is not Ellipsis]
            if all(each):
                row = [values[0] for values in each]
                return (row * 2 if Ellipsis in arguments else row,)
    return ()


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


def refuses_wrong_options(subject: Subject) -> None:
    """Unknown names, missing options and values of a wrong type are refused in words that name the option."""
    base = subject.options()
    _refused(subject, {**base, "no_such_option": 1}, "no_such_option", "an unknown option")
    for name in subject.required():
        _refused(subject, {key: value for key, value in base.items() if key != name}, name, "without a value")
    for name, kind in subject.types().items():
        for probe in PROBES:
            if not fits(probe, kind):
                _refused(subject, {**base, name: probe}, name, f"{name} = {brief(probe)}")


def _refused(subject: Subject, options: Options, name: str, what: str) -> None:
    try:
        component, problems = subject.configured(options)
    except Exception as error:
        raise Nonconforming(f"{what}: raises {said(error)}") from error
    if component is not None:
        kind = subject.types().get(name)
        wanted = getattr(kind, "__name__", None) or str(kind)
        raise Nonconforming(f"{what}: is accepted, but '{name}' is {wanted}")
    text = "\n".join(map(str, problems))
    require(name in text, f"{what}: the message does not name the option: {text or 'no message'}")


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


def refuses_values_out_of_range(subject: Subject, exercise: Exercise, leave: abc.Collection[str] = ()) -> None:
    """Values outside are refused in words, or else work; but for options to ``leave`` alone.

    Raises:
        Nonconforming: a value is accepted, and then something else than a LatentkitError is raised, or comes out.
    """
    base = subject.options()
    for name, kind in subject.types().items():
        for value in outside(kind) if name not in leave else ():
            what = f"{name} = {brief(value)}"
            component, problems = subject.configured({**base, name: value})
            if component is None:
                text = "\n".join(map(str, problems))
                require(name in text, f"{what}: the message does not name the option: {text or 'no message'}")
                continue
            try:
                with contextlib.chdir(subject.workplace.folder):  # a word may be the name of a file to be made
                    exercise(component, name)
            except (LatentkitError, NotExercised):
                continue
            except Nonconforming as error:
                raise Nonconforming(f"{what}: is accepted, and then {error}") from error
            except Exception as error:
                raise Nonconforming(f"{what}: is accepted, and then raises {said(error)}") from error


def smaller(component: Any, most: int, leave: abc.Collection[str] = ()) -> Any:
    """The component with its large whole numbers at ``most``, one after another, as far as it takes that."""
    for field in _fields(type(component)):
        value = getattr(component, field.name)
        if type(value) is int and value > most and field.name not in leave:
            with contextlib.suppress(ValueError, LatentkitError):
                component = attrs.evolve(component, **{field.name: most})
    return component
