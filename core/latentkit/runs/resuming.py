"""Continuing a run: its own recipe, settings and state."""

from __future__ import annotations

from collections import abc
from pathlib import Path
from typing import Any

import attrs

from latentkit._building import source_of
from latentkit.engine.joining import own_device
from latentkit.engine.world import World
from latentkit.errors import RecipeError, RunError
from latentkit.recipe.merging import Tree, merge
from latentkit.recipe.source import Source
from latentkit.registry.manager import Registry
from latentkit.runs import checkpoint
from latentkit.runs.files import write_atomically
from latentkit.runs.folder import Folder
from latentkit.runs.job import Job
from latentkit.runs.lifecycle import Say
from latentkit.runs.loading import is_complete
from latentkit.runs.loop import train_to_end
from latentkit.runs.run import Run
from latentkit.runs.sharing import shared_checkpoint
from latentkit.runs.state import changed_data, restore
from latentkit.settings import Settings


def resumed(
    stored: Source, given: Source | None, folder: Folder, steps: int | None, chosen: dict[str, Any],
    observers: abc.Sequence[object], registry: Registry, say: Say, world: World,
) -> Run:  # fmt: skip
    """Continue a run to its end.

    Args:
        stored: its own recipe.
        given: a recipe that was named beside it, which has to be the same but for the number of steps.
        folder: of the run.
        steps: in all; as many as it had, if none.
        chosen: settings that were asked for; the others are the run's own.
        observers: of this call.
        registry: where components are found.
        say: told what happens.
        world: ranks that train.

    Raises:
        RunError: the recipe is another one, or the run was made with other versions.
    """
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
    job = Job.prepare(source, folder, on_own_device(settings), registry, say, world)
    if found is None:
        say("no checkpoint yet; starting at step 0")
        job.begin()
        return train_to_end(job, observers)
    _restore(job, found)
    step = job.training.step_count
    if world.told(step >= job.steps and is_complete(folder, step)):
        say(f"already finished: {step} steps; ask for more with --steps")
        return job.result(0.0)
    if world.leads:
        checkpoint.settle(folder.path, job.wiring.recipe.train.keep_checkpoints)
        folder.cut_metrics(step, job.wiring.recipe.train.log_every)
    job.write_recipe()
    say(f"continuing at step {step}")
    return train_to_end(job, observers)


def _restore(job: Job, found: checkpoint.Saved) -> None:
    for warning in found.said:
        job.say(warning)
    _same_versions(found.state["versions"], job.versions)
    job.enter(int(found.state.get("stage", 0)))
    restore(job.training, found.tensors, found.state)
    job.saved = job.training.step_count
    for warning in changed_data(job.training, found.state):
        job.say(warning)


def stored_recipe(out: str | Path | None, registry: Registry, say: Say) -> Source:
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


def on_own_device(settings: Settings) -> Settings:
    """Settings with the device of this process, where several of a machine have one each."""
    return attrs.evolve(settings, device=own_device(settings.device))


def _shown(value: object) -> str:
    return ("on" if value else "off") if isinstance(value, bool) else "as torch has it" if value is None else str(value)


def _no_run(folder: Folder) -> RunError:
    return RunError(f"{folder.path}: no run to resume here (it has no recipe.toml and no checkpoint)")


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
