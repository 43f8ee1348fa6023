"""``--attribute NAME=AMOUNT`` and ``--at NAME=PLACE``: edits that are asked for by name."""

from __future__ import annotations

from collections import abc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from latentkit.errors import LatentkitError, nearest
from latentkit_cli.options import finite_number

if TYPE_CHECKING:
    from torch import Tensor

    from latentkit import Direction, Edit, Model

Attributes = Annotated[
    list[str] | None,
    typer.Option(
        "--attribute", "-a", metavar="NAME=AMOUNT", show_default=False,
        help="Move codes along a direction by so much, e.g. smile=+2 or horizontal-shift=-0.2. May be repeated.",
    ),
]  # fmt: skip
Places = Annotated[
    list[str] | None,
    typer.Option(
        "--at", metavar="NAME=PLACE", show_default=False,
        help="Put codes to a place along a direction, whatever theirs is. May be repeated.",
    ),
]  # fmt: skip
DirectionsFile = Annotated[
    Path | None,
    typer.Option(
        "--from", metavar="FILE", show_default=False,
        help="The file of directions.  [default: directions.safetensors of the run]",
    ),
]  # fmt: skip

Given = Annotated[
    list[str] | None,
    typer.Option(
        "--given", metavar="NAME=VALUE", show_default=False,
        help="A class in place of a label's draw, e.g. y=3, where images are made with labels.",
    ),
]  # fmt: skip


def directions_file(run: Path, file: Path | None) -> Path:
    """The file that was named, or the run's own."""
    from latentkit.latent.finding import FILE

    return file if file is not None else (run if run.is_dir() else run.parent) / FILE


def known_directions(model: Model, run: Path, file: Path | None) -> dict[str, Direction]:
    """Directions by name.

    Raises:
        LatentkitError: there are none yet.
        RunError: the file is damaged, or of another model.
    """
    from latentkit.latent.direction_files import read_directions

    path = directions_file(run, file)
    if file is None and not path.exists():
        raise LatentkitError(
            f"'{run}' has no directions yet; find some: `latentkit directions find {run} trajectories`, or with labels "
            f"`latentkit attributes fit {run} --labels ...`"
        )
    return read_directions(path, model)


def asked_edits(
    known: abc.Mapping[str, Direction], attributes: abc.Sequence[str] | None, places: abc.Sequence[str] | None
) -> list[Edit]:
    """Edits as they were asked for, those by an amount first.

    Raises:
        LatentkitError: no ``=``, a name that is not known, or what is no number.
    """
    from latentkit import Edit

    found = []
    for option, texts in (("--attribute", attributes), ("--at", places)):
        for text in texts or ():
            name, equals, number = (piece.strip() for piece in text.rpartition("="))
            if not equals:
                raise LatentkitError(f"{option} {text}: expected NAME=NUMBER, for example {next(iter(known))}=+1")
            direction = named_direction(known, name, f"{option} {text}")
            amount = finite_number(f"{option} {text}", number)
            found.append(Edit(direction=direction, amount=amount, absolute=option == "--at"))
    return found


def named_direction(known: abc.Mapping[str, Direction], name: str, where: str) -> Direction:
    """One of the directions.

    Raises:
        LatentkitError: there is none of this name.
    """
    if name not in known:
        hint = nearest(name, known)
        raise LatentkitError(
            f"{where}: expected one of {', '.join(known)}, found '{name}'" + (f"\n  {hint}" if hint else "")
        )
    return known[name]


def asked_places(known: abc.Mapping[str, Direction], text: str, steps: int, where: str) -> tuple[str, Tensor]:
    """Of ``NAME`` or ``NAME=LOW:HIGH`` the name, and even places along that direction.

    Raises:
        LatentkitError: a name that is not known, ends that are none, or neither ends nor a range that was seen.
    """
    from latentkit.latent.edits import even_places

    name, equals, ends = text.rpartition("=")
    name = (name if equals else text).strip()
    direction = named_direction(known, name, where)
    if not equals and direction.range is None:
        raise LatentkitError(f"{where}: the range that was seen is not known; say {name}=LOW:HIGH")
    return name, even_places(direction, steps, _ends(where, ends) if equals else None)


def given_to_decode(model: Model, given: abc.Sequence[str] | None) -> dict[str, Tensor | float]:
    """Values that ``decode`` needs besides codes, one row for all."""
    if not given:
        return {}
    from latentkit_cli.given import given_values

    return given_values(model, "decode", given, 1)


def _ends(where: str, text: str) -> tuple[float, float]:
    low, colon, high = text.partition(":")
    try:
        found = float(low), float(high)
    except ValueError:
        found = 0.0, 0.0
    if not colon or not -1e30 < found[0] < found[1] < 1e30:
        raise LatentkitError(f"{where}: expected NAME=LOW:HIGH, two numbers, the lower one first")
    return found
