"""Arguments and options that several commands share."""

from __future__ import annotations

import math
import tomllib
from collections import abc
from pathlib import Path
from typing import Annotated

import typer

from latentkit.errors import LatentkitError

RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="A shipped recipe's name, or a .toml file.")]
RunPath = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run folder, or its model.safetensors.", show_default=False)
]
Images = Annotated[
    list[Path], typer.Argument(metavar="IMAGES", help="Image files, or folders of them.", show_default=False)
]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", show_default=False,
        help="Change one value of the recipe, e.g. train.batch=32. May be repeated.",
    ),
]  # fmt: skip
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Weights = Annotated[
    str,
    typer.Option(
        "--weights", metavar="average|raw", help="Averaged weights where the recipe averages, or the raw ones."
    ),
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Of the random draws.")]
Device = Annotated[str, typer.Option("--device", metavar="D", help="cpu, cuda, cuda:1, ...")]


def overrides(assignments: abc.Sequence[str] | None) -> dict[str, object]:
    """All ``--set`` of a command line as one overlay: dotted key to value.

    A value is TOML (``3``, ``0.5``, ``true``, ``[0, 1]``, ``{ use = "idx" }``); what is no TOML is a string.

    Raises:
        LatentkitError: no ``=``, no key, or one key twice.
    """
    found: dict[str, object] = {}
    for text in assignments or ():
        key, equals, value = (piece.strip() for piece in text.partition("="))
        if not equals:
            raise LatentkitError(f"--set {text}: expected KEY=VALUE, for example --set train.batch=32")
        if not all(key.split(".")):
            raise LatentkitError(f"--set {text}: expected a key before '=', its tables apart by dots: train.batch")
        if key in found:
            raise LatentkitError(f"--set {text}: '{key}' is set twice")
        found[key] = _value(value)
    return found


def finite_number(where: str, text: str) -> float:
    """A number that was written on the command line.

    Raises:
        LatentkitError: it is none, or not finite.
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise LatentkitError(f"{where}: expected a number, found '{text}'")
    return number


def _value(text: str) -> object:
    try:
        tables = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):  # no TOML, a number of thousands of digits, brackets without end
        return text
    return tables["value"] if len(tables) == 1 else text  # a line break would start another key
