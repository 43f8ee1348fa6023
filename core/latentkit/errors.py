"""What latentkit raises when the user's input is wrong. Each message says where, what was expected, what was found."""

from __future__ import annotations

import difflib
from collections import abc

import attrs

_LONGEST_NAME, _MOST_NAMES = 100, 500
"""A longer name is no slip of a finger, and comparing many takes long."""


class LatentkitError(Exception):
    """The user's input is wrong; the command line prints the message and exits with 2."""


@attrs.frozen
class Problem:
    """One fault of a recipe: ``where`` it stands, the ``fact``, and what would fix it."""

    where: str
    fact: str
    hint: str = ""

    def __str__(self) -> str:
        lines = [f"{self.where}: {self.fact}" if self.where else self.fact]
        if self.hint:
            lines.append(f"  {self.hint}")
        return "\n".join(lines)


class RecipeError(LatentkitError):
    """A recipe that cannot be used; carries all the problems that were found, not only the first."""

    def __init__(self, problems: abc.Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class Mismatch(LatentkitError):
    """Two spaces that meet on an edge disagree. The recipe layer adds the place."""


class RegistryError(LatentkitError):
    """An unknown component, a clash of names, or a plugin that cannot be used."""


class DataError(LatentkitError):
    """Missing, unreadable or unsuitable data."""


class RunError(LatentkitError):
    """A run folder that cannot be written, continued or loaded."""


class NotFiniteError(LatentkitError):
    """Training met a loss that is not a number or infinite."""


class LatentkitWarning(UserWarning):
    """What the user should know and what stops nothing; the command line tells it as a note."""


def nearest(name: str, known: abc.Iterable[str]) -> str:
    """``"did you mean 'x'?"`` for the closest known name, or the empty string."""
    names, folded = list(known), name.casefold()
    close = [other for other in names if other.casefold() == folded]
    if not close and len(name) <= _LONGEST_NAME and len(names) <= _MOST_NAMES:
        close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else ""
