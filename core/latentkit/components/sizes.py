"""Sizes that the flow has determined, read when a part builds its module."""

from __future__ import annotations

from latentkit.errors import Mismatch
from latentkit.interfaces import Part

MOST_LAYERS = 1000
"""Of a network whose depth is an option; more is a slip, and would take long to find out."""


def known_sizes(part: Part, *names: str) -> tuple[int, ...]:
    """The named sizes of a part, as integers.

    Raises:
        Mismatch: one of them is still open: neither given as an option nor determined by the flow.
    """
    values = [getattr(part, name) for name in names]
    missing = [name for name, value in zip(names, values, strict=True) if value is None]
    if missing:
        raise Mismatch(
            f"{type(part).__name__}: {', '.join(missing)} unknown; expected a number, from the flow or as an option"
        )
    return tuple(int(value) for value in values)
