"""Options that are wrong: refused in words, whatever the component."""

from __future__ import annotations

import contextlib
import functools
from collections import abc
from typing import Any

from latentkit.errors import LatentkitError
from latentkit.interfaces import Component
from latentkit.recipe.writing import brief
from latentkit.testing.checks import Nonconforming, NotExercised, require, said
from latentkit.testing.kinds import PROBES, fits, outside
from latentkit.testing.subjects import Options, Subject

Exercise = abc.Callable[[Component, str], None]
"""Uses a component one of whose options (named) has a value that was accepted."""


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


def option_checks(subject: Subject, use: abc.Callable[[Any], object]) -> dict[str, abc.Callable[[], None]]:
    """The properties of its options.

    Args:
        subject: what has them.
        use: does something with one that is made.
    """

    def exercise(component: Component, _: str) -> None:
        use(component)

    return {
        "refuses wrong options": functools.partial(refuses_wrong_options, subject),
        "refuses values out of range": functools.partial(refuses_values_out_of_range, subject, exercise),
    }
