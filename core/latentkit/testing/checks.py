"""A check, and the two ways in which it ends otherwise than well."""

from __future__ import annotations

import unittest
from collections import abc
from typing import NamedTuple


class Check(NamedTuple):
    """One property of one component: ``softplus.scaled[finite gradients]``, and what looks whether it holds."""

    name: str
    run: abc.Callable[[], None]
    """Raises :class:`Nonconforming` or :class:`NotExercised`; otherwise the property holds as far as was looked."""


class Nonconforming(AssertionError):
    """A component does not do what its interface promises; says what was expected, and what was found."""


class NotExercised(unittest.SkipTest):  # which pytest and unittest report as skipped
    """Nothing was found out, and why."""


def require(holds: bool, fact: str) -> None:
    """Go on where something holds.

    Raises:
        Nonconforming: it does not.
    """
    if not holds:
        raise Nonconforming(fact)


def said(error: BaseException) -> str:
    """``"IndexError: list index out of range"``, the first line of it."""
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}".rstrip(":, ")
