"""Files of directions: safetensors, with TOML in the header: where each applies, how it was found, in which model.

The tensors are the directions, by name. The header's ``directions`` is such a text::

    format = 1
    model = { name = "stylealae", fingerprint = "5f6b..." }

    [direction]
    left-right = { space = "z", found = "trajectories", range = [-2.1, 1.9] }
    smile = { space = "styles", found = "boundary", layers = [0, 1, 2] }

    [details]
    left-right = { sigma = 3.0 }
"""

from __future__ import annotations

import tomllib
from collections import abc
from pathlib import Path

import attrs
import torch
from torch import Tensor

from latentkit.errors import LatentkitError, RunError
from latentkit.model import Model
from latentkit.recipe.writing import to_toml
from latentkit.runs.files import CHECKSUM, checksum_of, read_tensors, write_tensors
from latentkit.runs.fingerprint import fingerprint

FORMAT = 1
Detail = str | int | float | bool
_HEADER = "directions"


@attrs.frozen(kw_only=True, eq=False)
class Direction:
    """A direction and what is known of it.

    Attributes:
        vector: finite, [dim]. Of length 1 where coordinates along it are meant; an attribute's vector has its own.
        found: how, by the name of a finder or of a method.
        space: where it applies, by a name of the recipe's: the code of ``decode``, a draw, ``styles``.
        layers: of styles, counted from 0; of all where there are none.
        range: lowest and highest coordinate along it that was measured.
        details: options of how it was found.
    """

    vector: Tensor = attrs.field()
    found: str
    space: str = "code"
    layers: tuple[int, ...] = attrs.field(default=())
    range: tuple[float, float] | None = attrs.field(default=None)
    details: abc.Mapping[str, Detail] = attrs.field(factory=dict)

    @vector.validator
    def _finite(self, _: object, value: Tensor) -> None:
        if value.ndim != 1 or not len(value) or not value.is_floating_point() or not value.isfinite().all():
            raise LatentkitError(f"direction: expected finite numbers [dim], found {list(value.shape)}")

    @layers.validator
    def _counted(self, _: object, value: tuple[int, ...]) -> None:
        if not all(type(layer) is int and layer >= 0 for layer in value):
            raise LatentkitError(f"direction: expected layers counted from 0, found {list(value)}")

    @range.validator
    def _ordered(self, _: object, value: tuple[float, float] | None) -> None:
        if value is not None and not (len(value) == 2 and -torch.inf < value[0] <= value[1] < torch.inf):
            raise LatentkitError(f"direction: expected a range from low to high, found {list(value)}")


def write_directions(path: Path, directions: abc.Mapping[str, Direction], model: Model) -> None:
    """Write directions of a model, whole or not at all.

    Raises:
        LatentkitError: there are none.
        RunError: the file cannot be written.
    """
    if not directions:
        raise LatentkitError(f"{path}: expected at least one direction to write, found none")
    header = {
        "format": FORMAT, "model": {"name": model.name, "fingerprint": fingerprint(model)},
        "direction": {name: _table(direction) for name, direction in directions.items()},
        # Apart, as tables in tables would be written after the others, and the order be lost.
        "details": {name: dict(direction.details) for name, direction in directions.items() if direction.details},
    }  # fmt: skip
    # A copy: safetensors refuses tensors that share memory, as rows of one matrix do.
    tensors = {name: direction.vector.detach().cpu().clone() for name, direction in directions.items()}
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
        return {
            name: _direction(
                tensors[name].to(model.device, model.dtype),
                {**table, "details": tables.get("details", {}).get(name, {})},
            )
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
    if direction.range is not None:
        table["range"] = [float(end) for end in direction.range]
    return table


def _direction(vector: Tensor, table: abc.Mapping[str, object]) -> Direction:
    known = dict(table)
    for name in ("layers", "range"):
        value = known.get(name, ())
        if not isinstance(value, list | tuple):
            raise TypeError(f"'{name}' is no list")
        if value:
            known[name] = tuple(value)
    return Direction(vector=vector, **known)  # type: ignore[arg-type]  # the validators look
