"""A component under test, and the options with which it can be made."""

from __future__ import annotations

import contextlib
import typing
from collections import abc
from typing import Any

import attrs

from latentkit.errors import LatentkitError, Problem
from latentkit.interfaces import Component
from latentkit.recipe.schema import UseSpec
from latentkit.recipe.source import Source
from latentkit.testing.checks import Nonconforming, NotExercised
from latentkit.testing.examples import Example
from latentkit.testing.kinds import candidates
from latentkit.testing.workplace import Workplace
from latentkit.wiring.components import Components

Options = dict[str, object]


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
        choices = {name: candidates(kinds[name]) for name in wanted}
        unknown = [name for name, values in choices.items() if not values]
        if unknown:
            raise NotExercised(f"{self.name}: no value is known for '{unknown[0]}'; give one in latentkit_examples")
        problems: list[Problem] = []
        for turn in range(max(map(len, choices.values()), default=1)):
            options = {**given, **{name: values[min(turn, len(values) - 1)] for name, values in choices.items()}}
            component, problems = self.configured(options)
            if component is not None:
                return options
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


def smaller(component: Any, most: int, leave: abc.Collection[str] = ()) -> Any:
    """The component with its large whole numbers at ``most``, one after another, as far as it takes that."""
    for field in _fields(type(component)):
        value = getattr(component, field.name)
        if type(value) is int and value > most and field.name not in leave:
            with contextlib.suppress(ValueError, LatentkitError):
                component = attrs.evolve(component, **{field.name: most})
    return component
