"""Starting a run, or continuing it."""

from __future__ import annotations

from collections import abc
from pathlib import Path
from typing import Any, Literal

from latentkit._building import RecipeLike, source_of
from latentkit.engine.joining import join
from latentkit.engine.launching import restarted
from latentkit.errors import LatentkitError, RunError
from latentkit.recipe.source import Source
from latentkit.registry.manager import Registry, default_registry
from latentkit.runs.folder import Folder, default_folder
from latentkit.runs.job import Job
from latentkit.runs.lifecycle import Say, check_observers
from latentkit.runs.loop import train_to_end
from latentkit.runs.resuming import on_own_device, resumed, stored_recipe
from latentkit.runs.run import Run
from latentkit.runs.sharing import shared_recipe
from latentkit.settings import Precision, Settings


def train(
    recipe: RecipeLike | None = None,
    out: str | Path | None = None,
    *,
    steps: int | None = None,
    overrides: abc.Mapping[str, object] | None = None,
    seed: int | None = None,
    resume: bool = False,
    device: str | None = None,
    precision: Precision | None = None,
    channels_last: bool | None = None,
    compile: bool | None = None,
    capture: bool | None = None,
    threads: int | Literal["auto"] | None = None,
    observers: abc.Sequence[object] = (),
    registry: Registry | None = None,
    say: Say | None = None,
) -> Run:
    """Assemble, prove, train, and write the run folder.

    Where ``torchrun`` has started several processes, they share each batch, and the first one writes.

    Args:
        recipe: a shipped name, a path ending in .toml, or tables. May be left out with ``resume``.
        out: the run folder; ``runs/RECIPE-NN`` by default.
        steps: training steps in all; the recipe's by default.
        overrides: dotted keys to values, as ``--set`` gives them.
        seed: the run's seed; the recipe's by default.
        resume: continue the run in ``out``, with its own recipe and settings.
        device: ``cpu``, ``cuda``, ...; ``cpu`` by default.
        precision: ``float32`` (default), ``medium``, ``bfloat16``, ``float64``, or ``auto``: ``medium`` where its
            matrix products are as exact as float32's on this CPU, else ``float32``.
        channels_last: keep images and convolutions in channels-last layout.
        compile: compile each phase; one that cannot be compiled runs as it is, which is told.
        capture: launch each phase and its update as one; on a GPU.
        threads: of the CPU; ``auto``: the cores that are free, shared by the processes of this run on this machine.
        observers: objects with lifecycle hooks for this run, or names of observers (``tensorboard``).
        registry: where components are found.
        say: told in one sentence what happens that a user should know.

    Raises:
        RecipeError: the recipe has problems; all of them.
        DataError: data is missing or does not fit.
        RunError: the folder cannot be used.
        NotFiniteError: a loss or a gradient became infinite or not a number.
        Interrupted: a signal asked to stop (a ``KeyboardInterrupt``); the last step is saved.
    """
    registry, say = registry or default_registry(), say or (lambda _: None)
    world = join(device or "cpu")
    resume = world.told(resume or (restarted() and out is not None and Folder(Path(out)).is_run()))
    observers = [_observer(item, registry) for item in observers]
    check_observers(registry.manager, observers)
    stored = (
        shared_recipe(world, stored_recipe(out, registry, say) if world.leads else None, registry) if resume else None
    )
    if stored is not None and recipe is None:
        recipe = stored  # overrides are compared with the run's own recipe
    given = _given(recipe, overrides, steps, seed, registry)
    asked = {
        "device": device, "precision": precision, "channels_last": channels_last, "compile": compile,
        "capture": capture, "threads": threads,
    }  # fmt: skip
    chosen: dict[str, Any] = {key: value for key, value in asked.items() if value is not None}
    if stored is not None and out is not None:
        return resumed(stored, given, Folder(Path(out)), steps, chosen, observers, registry, say, world)
    if given is None:
        raise RunError("a recipe is needed: a shipped name (see `latentkit recipes`), or a path ending in .toml")
    folder = Folder(Path(out) if out is not None else Path(world.told(str(default_folder(given.name)))))
    if folder.path.is_dir() and any(folder.path.iterdir()):
        folder.create()  # says what is wrong with it
    settings = on_own_device(Settings(**chosen))
    job = Job.prepare(given, folder, settings, registry, say, world)
    world.wait()  # all have seen the folder empty, or have said that it is not
    if world.leads:
        folder.create()
    job.begin()
    return train_to_end(job, observers)


def _given(
    recipe: RecipeLike | None, overrides: abc.Mapping[str, object] | None, steps: int | None, seed: int | None,
    registry: Registry,
) -> Source | None:  # fmt: skip
    if recipe is None:
        return None
    extra = dict(overrides or {})
    extra |= {"train.steps": steps} if steps is not None else {}
    extra |= {"train.seed": seed} if seed is not None else {}
    return source_of(recipe, extra, registry)


def _observer(item: object, registry: Registry) -> object:
    if not isinstance(item, str):
        return item
    kind = registry.load(item, ("observer",))
    try:
        return kind()
    except LatentkitError:
        raise
    except Exception as error:
        raise RunError(f"observer '{item}' cannot start: {type(error).__name__}: {error}") from None
