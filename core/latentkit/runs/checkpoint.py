"""The whole state of a training as tensors and JSON, and back."""

from __future__ import annotations

import json
import shutil
from collections import abc
from pathlib import Path
from typing import Any

import attrs
from torch import Tensor

from latentkit.engine.streams import generator_states
from latentkit.engine.training import Training
from latentkit.errors import RunError
from latentkit.runs.files import read_json, read_tensors, write_atomically, write_tensors
from latentkit.settings import Settings

FORMAT = 1
TENSORS, STATE = "training.safetensors", "state.json"


def tensors_of(training: Training) -> dict[str, Tensor]:
    """Everything that an exact continuation needs, by name."""
    found = {f"parts.{key}": value for key, value in training.system.parts.state_dict().items()}
    for (owner, part), slot in training.slots.items():
        found |= {f"optimizer.{owner}.{part}.{key}": value for key, value in slot.tensors().items()}
    for name, average in training.averages.items():
        found |= {f"average.{name}.{key}": value for key, value in average.tensors().items()}
    if training.stochastic:
        found |= {f"generator.{name}": state for name, state in generator_states().items()}
    return {**found, **{f"state.{name}": value for name, value in training.states.items()}}


def state_of(training: Training, versions: abc.Mapping[str, str]) -> dict[str, Any]:
    """The rest of the state: counts, positions, settings."""
    return {
        "format": FORMAT, "step": training.step_count, "images": training.images, "seed": training.seed,
        "batch": training.batch, "positions": training.positions, "settings": attrs.asdict(training.settings),
        "versions": dict(versions), "recipe": training.wiring.recipe.name,
    }  # fmt: skip


def restore(training: Training, tensors: abc.Mapping[str, Tensor], state: abc.Mapping[str, Any]) -> None:
    """Take over a saved state.

    Raises:
        RunError: the state is of another recipe.
    """
    try:
        training.system.parts.load_state_dict(_under("parts.", tensors))
        for (owner, part), slot in training.slots.items():
            slot.load(_under(f"optimizer.{owner}.{part}.", tensors))
        for name, average in training.averages.items():
            average.load(_under(f"average.{name}.", tensors))
        for name, value in training.states.items():
            value.copy_(tensors[f"state.{name}"])
    except (KeyError, RuntimeError) as error:
        raise RunError(f"the checkpoint is not of this recipe: {str(error).partition(chr(10))[0]}") from None
    training.generators = _under("generator.", tensors)
    training.step_count, training.images = int(state["step"]), int(state["images"])
    training.positions = {name: int(position) for name, position in state["positions"].items()}


def _under(prefix: str, tensors: abc.Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def save(folder: Path, training: Training, versions: abc.Mapping[str, str], recipe: str, keep: int) -> None:
    """Write a checkpoint; the newest is at the top of the folder, older ones in ``checkpoints/STEP``.

    Raises:
        RunError: the folder cannot be written; the checkpoint before is intact.
    """
    fresh = folder / ".checkpoint"
    fresh.mkdir(exist_ok=True)
    state = state_of(training, versions)
    state["checksum"] = write_tensors(fresh / TENSORS, tensors_of(training), {"recipe": recipe})
    write_atomically(fresh / STATE, json.dumps(state, indent=1).encode())
    _retire(folder, keep)
    # state.json carries the checksum of its tensors, so a stop between the two moves is seen.
    for name in (TENSORS, STATE):
        (fresh / name).replace(folder / name)
    fresh.rmdir()


def _retire(folder: Path, keep: int) -> None:
    if not (folder / STATE).is_file():
        return
    old = folder / "checkpoints" / f"{read_json(folder / STATE)['step']:>08}"
    if keep > 1:
        old.mkdir(parents=True, exist_ok=True)
        for name in (TENSORS, STATE):
            if (folder / name).is_file():
                (folder / name).replace(old / name)
    older = sorted((folder / "checkpoints").glob("*")) if (folder / "checkpoints").is_dir() else []
    for surplus in older[: max(len(older) - max(keep - 1, 0), 0)]:
        shutil.rmtree(surplus)


def newest(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any], list[str]] | None:
    """The newest whole checkpoint of a run, with what was said about damaged ones; ``None`` where there is none.

    Raises:
        RunError: a checkpoint of a newer format.
    """
    said: list[str] = []
    older = sorted((folder / "checkpoints").glob("*"), reverse=True)
    waiting = folder / ".checkpoint"
    for place in (waiting, folder, *older):
        if not (place / STATE).is_file():
            continue
        try:
            state = read_json(place / STATE)
            if int(str(state.get("format", 0))) > FORMAT:
                raise _Newer(f"{place / STATE}: format {state['format']}; this latentkit reads up to {FORMAT}")
            tensors, _ = read_tensors(place / TENSORS, str(state["checksum"]))
            return tensors, state, said
        except _Newer:
            raise
        except (RunError, KeyError) as error:
            if place is not waiting:
                said.append(f"{error}; using the checkpoint before it")
    return None


class _Newer(RunError):
    pass


def settings_of(state: abc.Mapping[str, Any]) -> Settings:
    """The settings that a run was started with."""
    return Settings(**state["settings"])
