"""Starting and continuing a run."""

from __future__ import annotations

from collections import abc
from pathlib import Path
from typing import Any, Literal

import attrs

from latentkit._building import RecipeLike, source_of
from latentkit.engine.joining import join, own_device
from latentkit.engine.launching import restarted
from latentkit.engine.world import World
from latentkit.errors import LatentkitError, RecipeError, RunError
from latentkit.recipe.merging import Tree, merge
from latentkit.recipe.source import Source
from latentkit.registry.manager import Registry, default_registry
from latentkit.runs import checkpoint
from latentkit.runs.files import write_atomically
from latentkit.runs.folder import Folder, default_folder
from latentkit.runs.job import Job, Run
from latentkit.runs.lifecycle import Say, check_observers
from latentkit.runs.loading import is_complete
from latentkit.runs.sharing import shared_checkpoint, shared_recipe
from latentkit.runs.state import changed_data, restore
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
    stored = shared_recipe(world, _stored(out, registry, say) if world.leads else None, registry) if resume else None
    if stored is not None and recipe is None:
        recipe = stored  # overrides are compared with the run's own recipe
    given = _given(recipe, overrides, steps, seed, registry)
    asked = {
        "device": device, "precision": precision, "channels_last": channels_last, "compile": compile,
        "capture": capture, "threads": threads,
    }  # fmt: skip
    chosen: dict[str, Any] = {key: value for key, value in asked.items() if value is not None}
    if stored is not None and out is not None:
        return _resumed(stored, given, Folder(Path(out)), steps, chosen, observers, registry, say, world)
    if given is None:
        raise RunError("a recipe is needed: a shipped name (see `latentkit recipes`), or a path ending in .toml")
    folder = Folder(Path(out) if out is not None else Path(world.told(str(default_folder(given.name)))))
    if folder.path.is_dir() and any(folder.path.iterdir()):
        folder.create()  # says what is wrong with it
    settings = _on_own_device(Settings(**chosen))
    job = Job.prepare(given, folder, settings, registry, say, world)
    world.wait()  # all have seen the folder empty, or have said that it is not
    if world.leads:
        folder.create()
    job.begin()
    return job.run(observers)


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


def _resumed(
    stored: Source, given: Source | None, folder: Folder, steps: int | None, chosen: dict[str, Any],
    observers: abc.Sequence[object], registry: Registry, say: Say, world: World,
) -> Run:  # fmt: skip
    if given is not None:
        _same_recipe(stored.tables, given.tables)
        steps = steps or _steps(given.tables)
    found = shared_checkpoint(world, folder.path, checkpoint.recipe_checksum(stored.tables))
    name = str(found.state.get("recipe", folder.path.name)) if found else folder.path.name
    tables = merge(stored.tables, {"train": {"steps": steps}}) if steps else stored.tables
    source = attrs.evolve(stored, tables=tables, name=name)
    kept: dict[str, Any] = found.state["settings"] if found else {}
    for key, value in chosen.items():
        if key in kept and kept[key] != value:
            say(f"{key} {_shown(value)}, where the run had {_shown(kept[key])}")
    settings = Settings(**{**kept, **chosen})
    job = Job.prepare(source, folder, _on_own_device(settings), registry, say, world)
    if found is None:
        say("no checkpoint yet; starting at step 0")
        job.begin()
    else:
        for warning in found.said:
            say(warning)
        _same_versions(found.state["versions"], job.versions)
        job.enter(int(found.state.get("stage", 0)))
        restore(job.training, found.tensors, found.state)
        job.saved = job.training.step_count
        for warning in changed_data(job.training, found.state):
            say(warning)
        step = job.training.step_count
        if world.told(step >= job.steps and is_complete(folder, step)):
            say(f"already finished: {step} steps; ask for more with --steps")
            return job.result(0.0)
        if world.leads:
            checkpoint.settle(folder.path, job.wiring.recipe.train.keep_checkpoints)
            folder.cut_metrics(job.training.step_count, job.wiring.recipe.train.log_every)
        job.write_recipe()
        say(f"continuing at step {job.training.step_count}")
    return job.run(observers)


def _shown(value: object) -> str:
    return ("on" if value else "off") if isinstance(value, bool) else "as torch has it" if value is None else str(value)


def _on_own_device(settings: Settings) -> Settings:
    return attrs.evolve(settings, device=own_device(settings.device))


def _stored(out: str | Path | None, registry: Registry, say: Say) -> Source:
    """The ``recipe.toml`` of a run to continue; every checkpoint has a copy of it."""
    if out is None:
        raise RunError("--resume needs --out: the folder of the run to continue")
    folder = Folder(Path(out))
    try:
        return source_of(folder.recipe.resolve(), None, registry)
    except RecipeError as error:
        saved = checkpoint.newest(folder.path)
        if saved is None or not saved.recipe:
            raise error if folder.is_run() else _no_run(folder) from None
        write_atomically(folder.recipe, saved.recipe.encode())
        say(f"{folder.recipe}: missing or damaged; taken from the checkpoint of step {saved.state['step']}")
        return source_of(folder.recipe.resolve(), None, registry)


def _no_run(folder: Folder) -> RunError:
    return RunError(f"{folder.path}: no run to resume here (it has no recipe.toml and no checkpoint)")


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


def _steps(tables: Tree) -> int | None:
    train = tables.get("train")
    steps = train.get("steps") if isinstance(train, dict) else None
    return steps if isinstance(steps, int) else None


def _same_recipe(stored: Tree, given: Tree) -> None:
    def comparable(tables: Tree) -> Tree:
        train = {key: value for key, value in _table(tables, "train").items() if key != "steps"}
        return {**{key: value for key, value in tables.items() if key != "train"}, "train": train}

    mine, theirs = comparable(stored), comparable(given)
    differing = [key for key in sorted({*mine, *theirs}) if mine.get(key) != theirs.get(key)]
    if differing:
        raise RunError(
            f"the recipe differs from the run's own in {', '.join(f'[{key}]' for key in differing)}; "
            "a resumed run may change train.steps only"
        )


def _table(tables: Tree, key: str) -> Tree:
    found = tables.get(key, {})
    return found if isinstance(found, dict) else {}


def _same_versions(stored: abc.Mapping[str, str], now: abc.Mapping[str, str]) -> None:
    changed = [f"{name} {version} (now {now.get(name, 'not installed')})"
               for name, version in stored.items() if now.get(name) != version]  # fmt: skip
    if changed:
        raise RunError(f"the run was made with other versions: {', '.join(changed)}; install those to continue it")
