"""Files of directions: safetensors, with TOML in the header: where each applies, how it was found, in which model.

The tensors are the vectors, ``vector.NAME``, and of those that have one the slopes of their scale, ``scale.NAME``. The
header's ``directions`` is such a text::

    format = 1
    model = { name = "stylealae", fingerprint = "5f6b..." }

    [direction]
    left-right = { space = "code", found = "trajectories", unit = "widths", range = [-2.1, 1.9], knots = [-5.0, 5.0] }
    smile = { space = "styles", found = "boundary", layers = [0, 1, 2] }

    [details]
    left-right = { sigma = 3.0 }
"""

from __future__ import annotations

import tomllib
from collections import abc
from pathlib import Path

from torch import Tensor

from latentkit.errors import LatentkitError, RunError
from latentkit.interfaces.directions import Direction
from latentkit.latent.lattice import Lattice
from latentkit.model import Model
from latentkit.recipe.writing import to_toml
from latentkit.runs.files import CHECKSUM, checksum_of, read_tensors, write_tensors
from latentkit.runs.fingerprint import fingerprint

FORMAT = 1
_HEADER = "directions"
_VECTOR, _SCALE = "vector.", "scale."


def write_directions(path: Path, directions: abc.Mapping[str, Direction], model: Model) -> None:
    """Write directions of a model, whole or not at all.

    Raises:
        LatentkitError: there are none.
        RunError: the file cannot be written.
    """
    if not directions:
        raise LatentkitError(f"{path}: expected at least one direction to write, found none")
    for name in directions:
        if not name.strip() or "=" in name:
            raise LatentkitError(f"direction '{name}': expected a name without '='; NAME=AMOUNT is how it is asked for")
    header = {
        "format": FORMAT, "model": {"name": model.name, "fingerprint": fingerprint(model)},
        "direction": {name: _table(direction) for name, direction in directions.items()},
        # Apart, as tables in tables would be written after the others, and the order be lost.
        "details": {name: dict(direction.details) for name, direction in directions.items() if direction.details},
    }  # fmt: skip
    # A copy: safetensors refuses tensors that share memory, as rows of one matrix do.
    tensors = {}
    for name, direction in directions.items():
        tensors[f"{_VECTOR}{name}"] = direction.vector.detach().cpu().clone()
        if direction.scale is not None:
            tensors[f"{_SCALE}{name}"] = direction.scale.slopes.detach().cpu().clone()
    notes = {_HEADER: to_toml(header)}
    write_tensors(path, tensors, {**notes, CHECKSUM: checksum_of(tensors, notes)})


def read_directions(path: Path, model: Model) -> dict[str, Direction]:
    """Directions by name, on the model's device and in its precision.

    Raises:
        RunError: missing, damaged, no file of directions, or one of another model.
    """
    tensors, header = read_tensors(path)
    plain = {key: value for key, value in header.items() if key != CHECKSUM}
    if _HEADER not in plain:
        raise RunError(f"{path}: expected a file of directions, found other tensors")
    if header.get(CHECKSUM) != checksum_of(tensors, plain):
        raise RunError(f"{path}: damaged (its checksum does not fit its content)")
    try:
        tables = tomllib.loads(plain[_HEADER])
        if tables["format"] != FORMAT:
            fact = f"expected directions in format {FORMAT}, found {tables['format']}"
            raise RunError(f"{path}: {fact}; it was written by another version of latentkit")
        _same_model(path, tables["model"], model)
        tensors = {key: value.to(model.device, model.dtype) for key, value in tensors.items()}
        details = tables.get("details", {})
        return {
            name: _direction(name, tensors, {**table, "details": details.get(name, {})})
            for name, table in tables["direction"].items()
        }
    except RunError:
        raise
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError, AttributeError, LatentkitError) as error:
        raise RunError(f"{path}: expected a file of directions, found a header that is none ({error})") from None


def _same_model(path: Path, found: abc.Mapping[str, str], model: Model) -> None:
    mine = fingerprint(model)
    if found["fingerprint"] != mine:
        raise RunError(
            f"{path}: directions of another model: expected '{model.name}' with weights {mine[:12]}, found "
            f"'{found['name']}' with weights {found['fingerprint'][:12]}; give the model that they were found in, at "
            "that step and with those weights (average or raw), or find them anew"
        )


def _table(direction: Direction) -> dict[str, object]:
    table: dict[str, object] = {"space": direction.space, "found": direction.found}
    if direction.layers:
        table["layers"] = list(direction.layers)
    if direction.unit:
        table["unit"] = direction.unit
    if direction.range is not None:
        table["range"] = [float(end) for end in direction.range]
    if direction.scale is not None:
        table["knots"] = [float(direction.scale.low), float(direction.scale.high)]
    return table


def _direction(name: str, tensors: abc.Mapping[str, Tensor], table: abc.Mapping[str, object]) -> Direction:
    known = dict(table)
    for key in ("layers", "range"):
        value = known.get(key, ())
        if not isinstance(value, list | tuple):
            raise TypeError(f"'{key}' is no list")
        if value:
            known[key] = tuple(value)
    knots = known.pop("knots", None)
    if knots is not None:
        low, high = (float(end) for end in knots)  # type: ignore[attr-defined]  # what is no pair, is an error
        known["scale"] = Lattice(slopes=tensors[f"{_SCALE}{name}"], low=low, high=high)
    return Direction(vector=tensors[f"{_VECTOR}{name}"], **known)  # type: ignore[arg-type]  # the validators look
