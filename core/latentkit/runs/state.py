"""The whole state of a training as named tensors and plain values, and back."""

from __future__ import annotations

from collections import abc
from typing import Any

import attrs
from torch import Tensor

from latentkit.engine.streams import generator_states
from latentkit.engine.training import Training
from latentkit.errors import RunError
from latentkit.runs.files import checksum


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


def state_of(training: Training) -> dict[str, Any]:
    """The rest of the state: counts, positions, settings."""
    return {
        "step": training.step_count, "images": training.images, "seed": training.seed, "batch": training.batch,
        "positions": training.positions, "settings": attrs.asdict(training.settings),
        "recipe": training.wiring.recipe.name, "data": fingerprints(training), "stage": training.stage,
    }  # fmt: skip


def fingerprints(training: Training) -> dict[str, dict[str, Any]]:
    """Of each open source, the number of its samples and a checksum of a few of them."""
    found = {}
    for name, batches in training.data.items():
        parts = [values.tobytes() for values in batches.few.values()]
        found[name] = {"samples": len(batches.samples.table), "checksum": checksum(b"".join(parts))}
    return found


def changed_data(training: Training, state: abc.Mapping[str, Any]) -> list[str]:
    """What to tell of sources that have other samples now than when the state was saved."""
    now, before = fingerprints(training), state.get("data", {})
    said = []
    for name in now.keys() & before.keys():
        mine, theirs = now[name], before[name]
        if mine == theirs:
            continue
        counts = f"{theirs['samples']} samples then, {mine['samples']} now"
        what = counts if mine["samples"] != theirs["samples"] else f"as many samples ({mine['samples']}), but others"
        fact = f"the data of '{name}' are not those that the run was trained on: {what}"
        said.append(f"{fact}. It goes on, but not as it would have")
    return said


def restore(
    training: Training, tensors: abc.Mapping[str, Tensor], state: abc.Mapping[str, Any], optimizers: bool = True
) -> None:
    """Take over a saved state.

    Args:
        training: what takes it over, of the same stage.
        tensors: from :func:`tensors_of`.
        state: from :func:`state_of`.
        optimizers: or else their states stay as they start.

    Raises:
        RunError: the state is of another recipe.
    """
    try:
        training.system.parts.load_state_dict(_under("parts.", tensors))
        for (owner, part), slot in training.slots.items() if optimizers else ():
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
