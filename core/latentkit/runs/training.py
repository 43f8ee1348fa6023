"""Starting and continuing a run."""

from __future__ import annotations

from collections import abc
from pathlib import Path
from typing import Any

import attrs

from latentkit._building import RecipeLike, source_of
from latentkit.errors import RunError
from latentkit.recipe.merging import Tree, merge
from latentkit.recipe.source import Source
from latentkit.registry.manager import Registry, default_registry
from latentkit.runs import checkpoint
from latentkit.runs.folder import Folder, default_folder
from latentkit.runs.job import Job, Run, Say, training_lines
from latentkit.runs.loading import load
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
    observers: abc.Sequence[object] = (),
    registry: Registry | None = None,
    say: Say | None = None,
) -> Run:
    """Assemble, prove, train, and write the run folder.

    Args:
        recipe: a shipped name, a path ending in .toml, or tables. May be left out with ``resume``.
        out: the run folder; ``runs/RECIPE-NN`` by default.
        steps: training steps in all; the recipe's by default.
        overrides: dotted keys to values, as ``--set`` gives them.
        seed: the run's seed; the recipe's by default.
        resume: continue the run in ``out``, with its own recipe and settings.
        device: ``cpu``, ``cuda``, ...; ``cpu`` by default.
        precision: ``float32`` (default), ``medium``, ``bfloat16`` or ``float64``.
        channels_last: keep images and convolutions in channels-last layout.
        observers: objects with lifecycle hooks, for this run.
        registry: where components are found.
        say: told in one sentence what happens that a user should know.

    Raises:
        RecipeError: the recipe has problems; all of them.
        DataError: data is missing or does not fit.
        RunError: the folder cannot be used.
        NotFiniteError: a loss became infinite or not a number.
    """
    registry, say = registry or default_registry(), say or (lambda _: None)
    if recipe is None and resume and out is not None and Folder(Path(out)).is_run():
        recipe = Folder(Path(out)).recipe.resolve()  # overrides are compared with the run's own recipe
    given = _given(recipe, overrides, steps, seed, registry)
    asked = {"device": device, "precision": precision, "channels_last": channels_last}
    chosen: dict[str, Any] = {key: value for key, value in asked.items() if value is not None}
    if resume:
        return _resumed(given, out, steps, chosen, observers, registry, say)
    if given is None:
        raise RunError("a recipe is needed: a shipped name (see `latentkit recipes`), or a path ending in .toml")
    folder = Folder(Path(out) if out is not None else default_folder(given.name))
    if folder.path.is_dir() and any(folder.path.iterdir()):
        folder.create()  # says what is wrong with it
    job = Job.prepare(given, folder, Settings(**chosen), registry, say)
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
    given: Source | None, out: str | Path | None, steps: int | None, chosen: dict[str, Any],
    observers: abc.Sequence[object], registry: Registry, say: Say,
) -> Run:  # fmt: skip
    if out is None:
        raise RunError("--resume needs --out: the folder of the run to continue")
    folder = Folder(Path(out))
    if not folder.is_run():
        raise RunError(f"{folder.path}: no run to resume here (it has no recipe.toml)")
    stored = source_of(folder.recipe.resolve(), None, registry)
    if given is not None:
        _same_recipe(stored.tables, given.tables)
        steps = steps or _steps(given.tables)
    tables = merge(stored.tables, {"train": {"steps": steps}}) if steps else stored.tables
    found = checkpoint.newest(folder.path)
    name = str(found[1].get("recipe", folder.path.name)) if found else folder.path.name
    source = attrs.evolve(stored, tables=tables, name=name)
    settings = Settings(**{**(found[1]["settings"] if found else {}), **chosen})
    job = Job.prepare(source, folder, settings, registry, say)
    if found is None:
        say("no checkpoint yet; starting at step 0")
        job.begin()
    else:
        tensors, state, warnings = found
        for warning in warnings:
            say(warning)
        _same_versions(state["versions"], job.versions)
        checkpoint.restore(job.training, tensors, state)
        if job.training.step_count >= job.steps and folder.model.is_file():
            say(f"already finished: {job.training.step_count} steps; ask for more with --steps")
            return Run(folder.path, load(folder.path, registry=registry), training_lines(folder), 0.0)
        folder.cut_metrics(job.training.step_count, job.wiring.recipe.train.log_every)
        job.write_recipe()
        say(f"continuing at step {job.training.step_count}")
    return job.run(observers)


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
