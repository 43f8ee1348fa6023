"""A run folder, or its single weights file, back to a model."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from latentkit._building import source_of, wired
from latentkit.engine.system import System
from latentkit.engine.training import Training
from latentkit.errors import RunError
from latentkit.model import Model
from latentkit.recipe.merging import Tree
from latentkit.recipe.staging import stages
from latentkit.recipe.writing import to_toml
from latentkit.registry.manager import Registry, default_registry
from latentkit.runs.checkpoint import newest
from latentkit.runs.files import CHECKSUM, checksum_of, read_tensors, write_tensors
from latentkit.runs.folder import CARD, MODEL, Folder

FORMAT = "2"
"""Of ``model.safetensors``."""
Weights = Literal["average", "raw"]


def load(
    path: str | Path, weights: Weights = "average", device: str = "cpu", registry: Registry | None = None
) -> Model:
    """The model of a run.

    Args:
        path: a run folder, or a ``model.safetensors`` (the recipe is in its header).
        weights: ``average`` where the recipe averages, else the raw ones; ``raw`` needs the folder.
        device: where to put it.

    Raises:
        RunError: not a run, or damaged.
    """
    place = Path(path)
    if weights not in ("average", "raw"):
        raise RunError(f"weights: expected 'average' or 'raw', found {weights!r}")
    if place.is_dir() and weights == "raw":
        return _raw(place, device, registry or default_registry())
    file = place / MODEL if place.is_dir() else place
    if not file.is_file():
        known = "it is a run that has not finished a checkpoint" if Folder(place).is_run() else "it is no run folder"
        raise RunError(f"{place}: no {MODEL} here; {known}" if place.is_dir() else f"{place}: no such file or folder")
    tensors, notes = read_tensors(file)
    if "recipe" not in notes:
        raise RunError(f"{file}: its header has no recipe, so it is not a latentkit model")
    _check_whole(file, tensors, notes)
    if weights == "raw" and notes.get("averaged"):
        raise RunError(f"{file}: has averaged weights only; give the run's folder to load the raw ones")
    tables = _tables(notes["recipe"], str(file))
    return _model(tables, tensors, notes, device, registry or default_registry())


def is_complete(folder: Folder, step: int) -> bool:
    """Whether a run has all that it has at its end, for this step."""
    if not folder.model.is_file() or not (folder.path / CARD).is_file():
        return False
    try:
        tensors, notes = read_tensors(folder.model)
        _check_whole(folder.model, tensors, notes)
    except RunError:
        return False
    return notes.get("step") == str(step)


def _check_whole(file: Path, tensors: dict[str, Tensor], notes: dict[str, str]) -> None:
    found = notes.get("format", "")
    if found != FORMAT:
        raise RunError(f"{file}: has format {found or 'none'}, this latentkit reads models of format {FORMAT}")
    plain = {key: value for key, value in notes.items() if key != CHECKSUM}
    if notes.get(CHECKSUM) != checksum_of(tensors, plain):
        raise RunError(
            f"{file}: damaged (its checksum does not fit its content); `compose --resume` in its run writes it anew"
        )


def _tables(text: str, label: str) -> Tree:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RunError(f"{label}: its recipe is damaged ({error})") from None


def _model(tables: Tree, tensors: dict[str, Tensor], notes: dict[str, Any], device: str, registry: Registry) -> Model:
    wiring = wired(tables, None, registry)
    system = System(wiring, registry)
    parts = {name: system.parts[name] for name in system.parts}
    states = {key.removeprefix("state."): value for key, value in tensors.items() if key.startswith("state.")}
    for name, part in parts.items():
        own = {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
        try:
            part.load_state_dict(own)
        except RuntimeError as error:
            raise RunError(f"the weights of '{name}' do not fit the recipe: {error}") from None
    model = Model(wiring, parts, states, int(notes.get("step", 0)), int(notes.get("images", 0)), notes.get("name", ""))
    return model.to(device)


def _raw(folder: Path, device: str, registry: Registry) -> Model:
    if not Folder(folder).is_run():
        raise RunError(f"{folder}: it is no run folder")
    found = newest(folder)
    if found is None:
        raise RunError(f"{folder}: no checkpoint to read raw weights from")
    tensors, state = found.tensors, found.state
    plain = {key.removeprefix("parts."): value for key, value in tensors.items() if key.startswith("parts.")}
    plain |= {key: value for key, value in tensors.items() if key.startswith("state.")}
    plain = {key: value.float() if value.dtype == torch.float64 else value for key, value in plain.items()}
    tables = _tables(Folder(folder).recipe.read_text(encoding="utf-8"), str(folder))
    source = source_of(tables, None, registry)
    tables = stages(source)[int(state.get("stage", 0))].source.tables
    notes = {"step": state["step"], "images": state["images"], "name": folder.name}
    return _model(tables, plain, notes, device, registry)


def model_of(training: Training, weights: Weights = "average") -> Model:
    """A model on the live weights of a training; averaged parts where the recipe averages."""
    parts = dict(training.modules)
    if weights == "average":
        for average in training.averages.values():
            parts |= average.averaged
    return Model(training.wiring, parts, training.states, training.step_count, training.images)


def save_model(path: Path, training: Training, recipe: str) -> None:
    """Write the weights that inference uses, with the recipe, as it is in this stage, in the header."""
    source = training.wiring.source
    tensors, notes = _content(training)
    notes = {"recipe": recipe if source.staged is None else to_toml(source.tables), **notes}
    write_tensors(path, tensors, {**notes, CHECKSUM: checksum_of(tensors, notes)})


def as_saved(training: Training, registry: Registry) -> Model:
    """The model that :func:`save_model` writes and :func:`load` reads, without a file."""
    tensors, notes = _content(training)
    return _model(training.wiring.source.tables, tensors, notes, "cpu", registry)


def _content(training: Training) -> tuple[dict[str, Tensor], dict[str, str]]:
    model = model_of(training)
    tensors = {f"{name}.{key}": value for name, part in model.parts.items() for key, value in part.state_dict().items()}
    tensors |= {f"state.{name}": value for name, value in model.states.items()}
    tensors = {key: value.float() if value.dtype == torch.float64 else value for key, value in tensors.items()}
    notes = {
        "format": FORMAT, "step": str(training.step_count), "images": str(training.images),
        "name": training.wiring.recipe.name, "averaged": ",".join(training.averages),
    }  # fmt: skip
    return tensors, notes
