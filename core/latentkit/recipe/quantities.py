"""Numbers in recipes: constants, schedules and expressions."""

from __future__ import annotations

import itertools
import math
import sys
from typing import Any, Literal

import attrs

from latentkit.recipe.writing import brief

Shape = Literal["linear", "cosine", "exponential", "sine"]
Unit = Literal["steps", "images"]


@attrs.frozen
class Constant:
    """A plain number."""

    value: float

    def at(self, step: int, images: int) -> float:
        """The number itself, at any time."""
        return self.value


@attrs.frozen(kw_only=True)
class Ramp:
    """From one number to another ``over`` so many steps or images, constant outside.

    ``linear``; ``exponential`` (equal ratios; both ends of one sign, not 0); ``cosine`` and ``sine`` are the same
    half wave, slow at both ends.
    """

    start_value: float
    end_value: float
    over: float
    shape: Shape = "linear"
    start: float = 0.0
    unit: Unit = "steps"

    def at(self, step: int, images: int) -> float:
        """The value after ``step`` training steps and ``images`` images."""
        clock = images if self.unit == "images" else step
        t = min(max((clock - self.start) / self.over, 0.0), 1.0)
        if self.shape == "exponential":
            return float(self.start_value * (self.end_value / self.start_value) ** t)
        if self.shape in ("cosine", "sine"):
            t = 0.5 - 0.5 * math.cos(math.pi * t)
        return self.start_value + (self.end_value - self.start_value) * t


@attrs.frozen(kw_only=True)
class Stairs:
    """Piecewise constant: ``[[at, value], ...]``; before the first, the first value."""

    steps: tuple[tuple[float, float], ...]
    unit: Unit = "steps"

    def at(self, step: int, images: int) -> float:
        """The value after ``step`` training steps and ``images`` images."""
        clock = images if self.unit == "images" else step
        value = self.steps[0][1]
        for start, level in self.steps:
            if clock >= start:
                value = level
        return value


@attrs.frozen
class Formula:
    """An expression of the recipe, evaluated without gradient."""

    text: str


Timed = Constant | Ramp | Stairs
Quantity = Timed | Formula


def number(quantity: Quantity) -> float:
    """The number that an option has now.

    Raises:
        TypeError: the option still is a schedule or an expression; whoever uses it must evaluate it first.
    """
    if not isinstance(quantity, Constant):
        raise TypeError(f"not a number yet: {quantity}")
    return quantity.value


def is_static(quantity: Quantity) -> bool:
    """Whether the quantity only takes integer values, so that it may choose structure."""
    if isinstance(quantity, Constant):
        return isinstance(quantity.value, int)
    return isinstance(quantity, Stairs) and all(isinstance(value, int) for _, value in quantity.steps)


def read_quantity(value: object, *, formula: bool = True) -> Quantity:
    """A number, ``{ from, to, over, ... }``, ``{ steps = [[at, value], ...] }`` or an expression.

    Raises:
        ValueError: what was expected and what was found.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        _number(value, "value")
        return Constant(value)
    if isinstance(value, str) and formula:
        return Formula(value)
    if isinstance(value, dict) and "steps" in value:
        return _stairs(value)
    if isinstance(value, dict) and "from" in value:
        return _ramp(value)
    wanted = "a number, a schedule { from, to, over } or { steps = [[at, value], ...] }"
    raise ValueError(f"expected {wanted}{', or an expression' if formula else ''}; found {brief(value)}")


def _stairs(table: dict[str, object]) -> Stairs:
    _only(table, {"steps", "unit"})
    steps = table["steps"]
    if not isinstance(steps, list) or not steps:
        raise ValueError(f"expected steps = [[at, value], ...], found {brief(steps)}")
    pairs = []
    for pair in steps:
        if not isinstance(pair, list) or len(pair) != 2:
            raise ValueError(f"expected a pair [at, value] in 'steps', found {brief(pair)}")
        at, value = pair
        _number(at, "steps")
        pairs.append((float(at), value if _number(value, "steps") is int else float(value)))
    for early, late in itertools.pairwise(pairs):
        if late[0] <= early[0]:
            raise ValueError(f"the times in 'steps' must increase, found {late[0]:g} after {early[0]:g}")
    return Stairs(steps=tuple(pairs), unit=_choice(table, "unit", ("steps", "images"), "steps"))


def _ramp(table: dict[str, object]) -> Ramp:
    _only(table, {"from", "to", "over", "shape", "start", "unit"})
    missing = [key for key in ("to", "over") if key not in table]
    if missing:
        raise ValueError(f"a schedule with 'from' also needs {' and '.join(repr(key) for key in missing)}")
    numbers = {}
    for key in ("from", "to", "over", "start"):
        value = table.get(key, 0.0)
        _number(value, key)
        assert isinstance(value, int | float)
        numbers[key] = float(value)
    if numbers["over"] <= 0:
        raise ValueError(f"'over' must be positive, found {numbers['over']:g}")
    shape = _choice(table, "shape", ("linear", "cosine", "exponential", "sine"), "linear")
    if shape == "exponential" and numbers["from"] * numbers["to"] <= 0:
        raise ValueError("an exponential schedule needs 'from' and 'to' of one sign, neither of them 0")
    return Ramp(
        start_value=numbers["from"], end_value=numbers["to"], over=numbers["over"], start=numbers["start"],
        shape=shape, unit=_choice(table, "unit", ("steps", "images"), "steps"),
    )  # fmt: skip


def _only(table: dict[str, object], known: set[str]) -> None:
    unknown = sorted(set(table) - known)
    if unknown:
        raise ValueError(f"a schedule has no key '{unknown[0]}'; it has {', '.join(sorted(known))}")


def _number(value: object, key: str) -> type:
    # Not math.isfinite(), which stumbles over whole numbers that no float can hold.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        what = "expected" if key == "value" else f"'{key}' must be"
        raise ValueError(f"{what} a finite number, found {brief(value)}")
    return type(value)


def _choice(table: dict[str, object], key: str, choices: tuple[str, ...], default: str) -> Any:
    value = table.get(key, default)
    if value not in choices:
        raise ValueError(f"'{key}' must be one of {', '.join(choices)}; found {brief(value)}")
    return value
