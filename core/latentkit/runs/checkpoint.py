"""Checkpoints in a run folder: written whole, kept in turn, and read back only if they are whole."""

from __future__ import annotations

import json
import shutil
from collections import abc
from pathlib import Path
from typing import Any

import attrs
from torch import Tensor

from latentkit.engine.training import Training
from latentkit.errors import RunError
from latentkit.recipe.merging import Tree
from latentkit.runs.files import (
    cannot_write,
    checksum,
    read_json,
    read_tensors,
    remove_leftovers,
    sync_folder,
    write_json,
    write_tensors,
)
from latentkit.runs.state import state_of, tensors_of

FORMAT = 2
TENSORS, STATE = "training.safetensors", "state.json"
_FRESH = ".checkpoint"
"""Where a checkpoint is written before it takes its place."""


@attrs.frozen(eq=False)
class Saved:
    """A checkpoint that was read."""

    tensors: dict[str, Tensor]
    state: dict[str, Any]
    recipe: str
    """The resolved recipe that it belongs to, as TOML."""
    said: tuple[str, ...] = ()
    """What was found damaged on the way to it."""


def save(folder: Path, training: Training, versions: abc.Mapping[str, str], recipe: str, keep: int) -> None:
    """Write a checkpoint; the newest is at the top of the folder, older ones in ``checkpoints/STEP``.

    Raises:
        RunError: the folder cannot be written; the checkpoint before is intact.
    """
    fresh = folder / _FRESH
    try:
        fresh.mkdir(exist_ok=True)
        total = write_tensors(fresh / TENSORS, tensors_of(training), {"recipe": recipe})
        state = {"format": FORMAT, **state_of(training), "versions": dict(versions), "tensors": total}
        state["recipe_checksum"] = recipe_checksum(training.wiring.source.whole.tables)
        write_json(fresh / STATE, state)
        _retire(folder, keep)
        _take_place(folder)
    except OSError as error:
        raise cannot_write(folder, error) from None


def recipe_checksum(tables: Tree) -> str:
    """What a recipe and its checkpoints have in common; the number of steps may change."""
    train = tables.get("train")
    rest = {key: value for key, value in train.items() if key != "steps"} if isinstance(train, dict) else train
    return checksum(json.dumps({**tables, "train": rest or {}}, sort_keys=True, default=str).encode())


def _take_place(folder: Path) -> None:
    # state.json carries the checksum of its tensors, so a stop between the two moves is seen.
    for name in (TENSORS, STATE):
        if (folder / _FRESH / name).is_file():
            (folder / _FRESH / name).replace(folder / name)
    sync_folder(folder)
    shutil.rmtree(folder / _FRESH)


def _retire(folder: Path, keep: int) -> None:
    try:
        step = int(str(read_json(folder / STATE)["step"]))
    except (RunError, KeyError, ValueError):
        step = -1  # none yet, or a damaged one that is not worth keeping
    if keep > 1 and step >= 0:
        old = folder / "checkpoints" / f"{step:08d}"
        old.mkdir(parents=True, exist_ok=True)
        for name in (TENSORS, STATE):
            if (folder / name).is_file():
                (folder / name).replace(old / name)
    older = sorted((folder / "checkpoints").glob("*")) if (folder / "checkpoints").is_dir() else []
    for surplus in older[: max(len(older) - max(keep - 1, 0), 0)]:
        shutil.rmtree(surplus)


def settle(folder: Path, keep: int) -> None:
    """Finish what a process that was killed while it saved had begun, and remove its unfinished files."""
    remove_leftovers(folder)
    fresh = folder / _FRESH
    if not fresh.is_dir():
        return
    try:
        _read(fresh, folder, None)
    except RunError:
        shutil.rmtree(fresh)
        return
    if (fresh / TENSORS).is_file():
        _retire(folder, keep)
    _take_place(folder)


def newest(folder: Path, recipe: str | None = None) -> Saved | None:
    """The newest whole checkpoint of a run; ``None`` where there is none.

    Args:
        folder: of the run.
        recipe: the checksum of its recipe; checkpoints of another one are passed over.

    Raises:
        RunError: a checkpoint of a newer format; or there are checkpoints, but not one that can be used.
    """
    said: list[str] = []
    older = sorted((folder / "checkpoints").glob("*"), reverse=True)
    for place in (folder / _FRESH, folder, *older):
        if not any((place / name).exists() for name in (TENSORS, STATE)):
            continue
        try:
            tensors, notes, state = _read(place, folder, recipe)
        except _OtherFormat:
            raise
        except RunError as error:
            if place.name != _FRESH:
                said.append(str(error))
            continue
        told = tuple(f"{fact}; using the checkpoint before it" for fact in said)
        return Saved(tensors, state, notes.get("recipe", ""), told)
    if said:
        raise RunError(
            "no checkpoint can be used:\n  " + "\n  ".join(said) + "\n  train into another folder to start over"
        )
    return None


def _read(place: Path, folder: Path, recipe: str | None) -> tuple[dict[str, Tensor], dict[str, str], dict[str, Any]]:
    state = dict[str, Any](read_json(place / STATE))
    found = state.get("format", 0)
    if found != FORMAT:
        wanted = "install a newer latentkit" if isinstance(found, int) and found > FORMAT else "it is of an older one"
        raise _OtherFormat(f"{place / STATE}: has format {found}, this latentkit reads format {FORMAT}; {wanted}")
    if recipe is not None and state.get("recipe_checksum") != recipe:
        raise RunError(
            f"{place / STATE}: belongs to another recipe than the recipe.toml of this run; if that was edited, remove "
            "it, and the checkpoint's own is used"
        )
    # A stop between the two moves leaves the tensors at their place already, and the state not yet.
    moved = place.name == _FRESH and not (place / TENSORS).is_file()
    tensors, notes = read_tensors((folder if moved else place) / TENSORS, str(state.get("tensors")))
    return tensors, notes, state


class _OtherFormat(RunError):
    pass
