"""What a run costs beside its steps: checkpoints and observers, timed inside a real one."""

from __future__ import annotations

import contextlib
import io
import statistics
import tempfile
import time
from collections import abc
from pathlib import Path
from typing import Any

import attrs
import torch

import latentkit as lk
from latentkit.engine.training import Training
from latentkit.runs import loop
from latentkit.runs.lifecycle import Lifecycle
from latentkit_cli.progress import Lines, Position
from measuring.apart import apart
from measuring.noise import median_of
from measuring.rows import Row, row
from measuring.systems import SYSTEMS, System

TIMED = {"step": (Training, "step"), "observers": (Lifecycle, "tell"), "reading": (loop, "_read"),
         "checkpoint": (loop, "_checkpoint")}  # fmt: skip


@attrs.frozen
class Costs:
    """Seconds of each call, and the megabytes of a checkpoint."""

    step: list[float]
    observers: list[float]
    reading: list[float]
    checkpoint: list[float]
    megabytes: float


@contextlib.contextmanager
def clocked() -> abc.Iterator[dict[str, list[float]]]:
    """Every call of some methods is timed."""
    seconds: dict[str, list[float]] = {kind: [] for kind in TIMED}
    real = {kind: getattr(owner, name) for kind, (owner, name) in TIMED.items()}

    def around(kind: str) -> abc.Callable[..., Any]:
        def timed(this: Any, *rest: Any, **more: Any) -> Any:
            start = time.perf_counter()
            try:
                return real[kind](this, *rest, **more)
            finally:
                seconds[kind].append(time.perf_counter() - start)

        return timed

    try:
        for kind, (owner, name) in TIMED.items():
            setattr(owner, name, around(kind))
        yield seconds
    finally:
        for kind, (owner, name) in TIMED.items():
            setattr(owner, name, real[kind])


def costs(recipe: str, steps: int, every: int, observers: abc.Sequence[object] = (), **options: Any) -> Costs:
    """Of a run of so many steps, with so many between two checkpoints; ``options`` are those of ``lk.train``."""
    overrides = {**options.pop("overrides", {}), "train.checkpoint_every": every}
    if "stage" in overrides:
        overrides["stage"] = [{**stage, "steps": steps} for stage in overrides["stage"]]
    else:
        options["steps"] = steps
    with tempfile.TemporaryDirectory() as folder, clocked() as seconds:
        lk.train(recipe, Path(folder) / "run", overrides=overrides, observers=observers, **options)
        size = (Path(folder) / "run/training.safetensors").stat().st_size / 1e6
    seconds["step"] = seconds["step"][-steps:]  # before them is the proof's
    return Costs(**seconds, megabytes=size)


def told(recipe: str, steps: int, every: int) -> Costs:
    """The same with every observer that there is; what they write to the console is not shown."""
    with contextlib.redirect_stderr(io.StringIO()):
        return costs(recipe, steps, every, [Position(), Lines(), "tensorboard"])


def saved(asked: float, system: str, setting: str, device: str, threads: int | None, every: int) -> dict[str, Any]:
    """In a process of its own: seconds of checkpoints and of steps."""
    mine, variant = SYSTEMS[system], SYSTEMS[system].variants[setting]
    settings = {**attrs.asdict(variant.settings), "device": device, "threads": threads}
    found = costs(mine.recipe, 8 * every, every, overrides=mine.overrides_of(setting), **settings)
    return {**attrs.asdict(found), "threads": torch.get_num_threads()}


def checkpoints(
    system: System, names: abc.Sequence[str], device: str, threads: int | None, every: int = 2
) -> list[Row]:  # fmt: skip
    """A row for each of these settings of a run."""
    rows = []
    for name in (name for name in names if name in system.variants):
        given = {"system": system.name, "setting": name, "device": device, "threads": threads, "every": every}
        found = apart("runs:saved", given)
        step = statistics.median(found["step"])
        times = median_of([each / step for each in found["checkpoint"]])
        details = {"seconds": found["checkpoint"], "step": step, "MB": found["megabytes"]}
        rows.append(row(system.name, name, "checkpoint", times, found["threads"], **details))
    return rows
