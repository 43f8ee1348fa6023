"""Validators of options, whose messages say what was expected and what was found."""

from __future__ import annotations

from collections import abc
from typing import Any

import attrs

from latentkit.errors import LatentkitError

Validator = abc.Callable[[object, "attrs.Attribute[Any]", float], None]


def at_least(least: float) -> Validator:
    """Refuses what is below, or not a number."""

    def check(_: object, attribute: attrs.Attribute[Any], value: float) -> None:
        if not value >= least:
            raise LatentkitError(f"{attribute.name}: expected {least:g} or more, found {value:g}")

    return check


def above(bound: float) -> Validator:
    """Refuses what is at or below, or not a number."""

    def check(_: object, attribute: attrs.Attribute[Any], value: float) -> None:
        if not value > bound:
            raise LatentkitError(f"{attribute.name}: expected more than {bound:g}, found {value:g}")

    return check
