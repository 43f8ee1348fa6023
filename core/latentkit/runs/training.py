"""One training loop for every system."""

from __future__ import annotations

import contextlib
import time
from collections import abc
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor

from latentkit._building import RecipeLike, source_of
from latentkit.engine.batches import Samples, open_samples
from latentkit.engine.training import Training
from latentkit.errors import NotFiniteError, RunError
from latentkit.events import Event
from latentkit.model import Model
from latentkit.proof import prove
from latentkit.recipe.source import Source, Tree, merge
from latentkit.registry.manager import Registry, default_registry
from latentkit.runs import checkpoint
from latentkit.runs.card import write_card
from latentkit.runs.folder import Folder, default_folder
from latentkit.runs.loading import load, save_model
from latentkit.runs.observing import MetricsFile, Pictures
from latentkit.settings import Precision, Settings
from latentkit.wiring.assemble import assemble
from latentkit.wiring.wiring import Wiring

Say = abc.Callable[[str], None]


@attrs.frozen
class Run:
    """A finished run.

    Attributes:
        path: its folder.
        model: on the averaged weights where the recipe averages.
        metrics: the lines of ``metrics.jsonl``.
        seconds: this call trained for.
    """

    path: Path
    model: Model
    metrics: list[dict[str, Any]]
    seconds: float


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
    job = _Job.prepare(given, folder, Settings(**chosen), registry, say)
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
    job = _Job.prepare(source, folder, settings, registry, say)
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
            return Run(folder.path, load(folder.path, registry=registry), _training_lines(folder), 0.0)
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


def _training_lines(folder: Folder) -> list[dict[str, Any]]:
    return [record for record in folder.records() if "evaluation" not in record]


@attrs.define
class _Job:
    folder: Folder
    source: Source
    wiring: Wiring
    training: Training
    samples: dict[str, Samples]
    registry: Registry
    versions: dict[str, str]
    say: Say
    recipe_text: str = ""
    flags: list[Tensor] = attrs.field(factory=list)

    @classmethod
    def prepare(cls, source: Source, folder: Folder, settings: Settings, registry: Registry, say: Say) -> _Job:
        """Everything that can fail before a file is written."""
        settings.torch_device()
        wiring = assemble(source, registry)
        report = prove(wiring, registry)
        report.raise_for_problems()
        for warning in report.warnings:
            say(warning)
        samples = {name: open_samples(name, wiring.recipe.data[name], found) for name, found in wiring.data.items()}
        training = Training(wiring, registry, samples, settings)
        owners = {name.partition(".")[0] for name in wiring.components} | {"core"}
        versions = {"latentkit": registry.plugins["core"].version}
        versions |= {f"plugin {owner}": registry.plugins[owner].version for owner in sorted(owners - {"core"})}
        registry.activate(wiring.components)
        return cls(folder, source, wiring, training, samples, registry, versions, say)

    @property
    def steps(self) -> int:
        return self.wiring.recipe.train.steps

    def write_recipe(self) -> None:
        self.recipe_text = self.folder.write_recipe(self.source.tables, self.versions)

    def begin(self) -> None:
        self.write_recipe()
        self.folder.cut_metrics(-1, 1)

    def run(self, observers: abc.Sequence[object]) -> Run:
        start = time.perf_counter()
        mine = [MetricsFile(), Pictures(self.samples, self.wiring.recipe.train.sample_every), *observers]
        with self._registered(mine), self.training.settings.matrix_products():
            self._loop()
        seconds = time.perf_counter() - start
        write_card(self.folder, self.wiring, self.training, self.versions, seconds)
        model = load(self.folder.path, registry=self.registry)
        return Run(self.folder.path, model, _training_lines(self.folder), seconds)

    def _loop(self) -> None:
        hook, training, plan = self.registry.manager.hook, self.training, self.wiring.recipe.train
        hook.latentkit_run_started(event=self.event())
        per_step, per_phase = hook.latentkit_step_done, hook.latentkit_phase_done
        while training.step_count < self.steps:
            terms = training.step()
            for phase in self.wiring.phases if per_phase.get_hookimpls() else ():
                per_phase(event=self.event(), phase=phase.name)
            self.flags.append(torch.stack([value.float() for value in terms.values()]).sum() if terms else torch.zeros(()))
            step = training.step_count
            if step % plan.log_every == 0 or step == self.steps:
                self._read(terms)
            if step % plan.checkpoint_every == 0 or step == self.steps:
                self._checkpoint(plan.keep_checkpoints)
            if per_step.get_hookimpls():
                per_step(event=self.event())
        save_model(self.folder.model, training, self.recipe_text)
        hook.latentkit_run_finished(event=self.event())

    def _read(self, terms: abc.Mapping[tuple[str, str], Tensor]) -> None:
        figures = {f"{phase}.{name}": float(value) for (phase, name), value in terms.items()}
        sums = torch.stack(self.flags).isfinite()
        first = self.training.step_count - len(self.flags) + 1
        self.flags.clear()
        if not bool(sums.all()):
            step = first + int((~sums).nonzero()[0])
            bad = [key for key, value in figures.items() if value != value or abs(value) == float("inf")]
            where = f", in {', '.join(bad)}" if bad else ""
            raise NotFiniteError(
                f"step {step}: a loss is not finite{where}; the last checkpoint is intact. "
                "Try a lower learning rate, or look at what divides by zero"
            )
        figures |= self.training.monitored()
        self.registry.manager.hook.latentkit_evaluated(event=self.event(), figures=figures)

    def _checkpoint(self, keep: int) -> None:
        checkpoint.save(self.folder.path, self.training, self.versions, self.recipe_text, keep)
        save_model(self.folder.model, self.training, self.recipe_text)
        self.training.system.train()
        self.registry.manager.hook.latentkit_checkpointed(event=self.event(), path=self.folder.path)

    def event(self) -> Event:
        training = self.training
        return Event(
            self.folder.path, self.wiring.recipe.name, training.step_count, self.steps, training.images, training
        )

    @contextlib.contextmanager
    def _registered(self, observers: abc.Sequence[object]) -> abc.Iterator[None]:
        manager = self.registry.manager
        for observer in observers:
            manager.register(observer)
        try:
            yield
        finally:
            for observer in observers:
                manager.unregister(observer)
