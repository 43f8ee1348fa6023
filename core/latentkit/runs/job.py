"""A run being trained: what it needs, what it writes, and the one loop for every system."""

from __future__ import annotations

import contextlib
import functools
import time
from collections import abc
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor

from latentkit.engine.monitoring import monitored
from latentkit.engine.streams import key_seed, restore_generators
from latentkit.engine.training import Training
from latentkit.engine.world import World
from latentkit.events import Event
from latentkit.model import Model
from latentkit.proof import prove_stages
from latentkit.recipe.source import Source
from latentkit.registry.manager import Registry
from latentkit.runs import checkpoint
from latentkit.runs.card import write_card
from latentkit.runs.cause import find_cause
from latentkit.runs.course import Course
from latentkit.runs.files import remove_leftovers
from latentkit.runs.finiteness import Flags, weights_are_finite
from latentkit.runs.folder import Folder
from latentkit.runs.lifecycle import Lifecycle, Say
from latentkit.runs.loading import as_saved, load, save_model
from latentkit.runs.observing import MetricsFile, Pictures
from latentkit.runs.stopping import Interrupted, Stopping
from latentkit.runs.waiting import DataWait
from latentkit.settings import Settings
from latentkit.wiring.wiring import Wiring


@attrs.frozen
class Run:
    """A finished run.

    Attributes:
        path: its folder.
        model: on the averaged weights where the recipe averages.
        metrics: the lines of ``metrics.jsonl`` that training wrote.
        seconds: this call trained for.
    """

    path: Path
    model: Model
    metrics: list[dict[str, Any]]
    seconds: float


def training_lines(folder: Folder) -> list[dict[str, Any]]:
    """The lines of ``metrics.jsonl`` that training wrote, without those of evaluations."""
    return [record for record in folder.records() if "evaluation" not in record]


@attrs.define
class Job:
    """A run being trained: everything it needs, checked before a file is written."""

    folder: Folder
    source: Source
    course: Course
    training: Training
    registry: Registry
    versions: dict[str, str]
    say: Say
    recipe_text: str = ""
    flags: Flags = attrs.field(factory=Flags)
    stopping: Stopping = attrs.field(factory=Stopping)
    waits: DataWait = attrs.field(factory=DataWait)
    saved: int | None = None
    """The step of the newest checkpoint."""

    @classmethod
    def prepare(
        cls,
        source: Source,
        folder: Folder,
        settings: Settings,
        registry: Registry,
        say: Say,
        world: World | None = None,
    ) -> Job:
        """Everything that can fail before a file is written."""
        settings.torch_device()
        settings = settings.settled()
        settings.take_threads()
        course = Course.of(source, registry, world)
        report = prove_stages(course.wirings, registry, thorough=True)
        report.raise_for_problems()
        for warning in (*report.warnings, *report.not_seen):
            say(warning)
        training = course.training(0, settings)
        owners = {name.partition(".")[0] for name in course.components} | {"core"}
        versions = {"latentkit": registry.plugins["core"].version}
        versions |= {f"plugin {owner}": registry.plugins[owner].version for owner in sorted(owners - {"core"})}
        registry.activate(course.components)
        return cls(folder, source, course, training, registry, versions, say)

    @property
    def wiring(self) -> Wiring:
        """Of the stage that is trained."""
        return self.training.wiring

    @property
    def world(self) -> World:
        """Of the processes that train; the first one writes."""
        return self.course.world

    def enter(self, stage: int) -> None:
        """Begin anew in this stage, before a state is restored."""
        if stage != self.training.stage:
            self.training = self.course.training(stage, self.training.settings)

    @property
    def steps(self) -> int:
        """In all."""
        return self.wiring.recipe.train.steps

    def write_recipe(self) -> None:
        """Write the resolved recipe."""
        if self.world.leads:
            self.recipe_text = self.folder.write_recipe(self.source.tables, self.versions)

    def begin(self) -> None:
        """Write what a run has from its start."""
        if self.world.leads:
            remove_leftovers(self.folder.path)  # of a run that was killed before its first checkpoint
        self.write_recipe()
        if self.world.leads:
            self.folder.cut_metrics(-1, 1)

    def run(self, observers: abc.Sequence[object]) -> Run:
        """Train to the end.

        Raises:
            Interrupted: a signal asked to stop; the last step is saved.
            NotFiniteError: a loss or a gradient became infinite or not a number.
            DataError: images that are read on the way cannot be read.
        """
        try:
            return self._run(observers)
        finally:
            self.training.close()

    def _run(self, observers: abc.Sequence[object]) -> Run:
        if self.training.settings.compile:
            self.say("phases are compiled when they first run; that takes a while, and less in the next run")
        start = time.perf_counter()
        mine = [MetricsFile(), Pictures(self.wiring.recipe.train.sample_every)]
        if not self.world.leads:
            mine, observers = [], ()
        lifecycle = Lifecycle(
            self.registry.manager, mine, observers, self.say, self.stopping, mute=not self.world.leads
        )
        with lifecycle, self.training.settings.matrix_products(), self._own_randomness():
            with self.stopping:
                self._loop(lifecycle)
            lifecycle.tell("run_finished", self.event())
        seconds = time.perf_counter() - start
        if self.world.leads:
            write_card(self.folder, self.wiring, self.training, self.versions, seconds)
        self.world.wait()
        return self.result(seconds)

    def result(self, seconds: float) -> Run:
        """What is in the folder, for all processes; only the first one needs to see it."""
        if self.world.leads:
            model, lines = load(self.folder.path, registry=self.registry), training_lines(self.folder)
        else:
            model, lines = as_saved(self.training, self.registry), []
        return Run(self.folder.path, model, self.world.told(lines), seconds)

    def _loop(self, lifecycle: Lifecycle) -> None:
        plan = self.wiring.recipe.train
        lifecycle.tell("run_started", self.event())
        done = self.training.step_count >= self.steps
        if done and self.world.leads:  # only the end is missing: every other way ends with a checkpoint
            save_model(self.folder.model, self.training, self.recipe_text)
        told = functools.partial(self._phase_done, lifecycle) if lifecycle.listens("phase_done") else None
        while self.training.step_count < self.steps and not self._stops():
            self.move_on(self.say)
            self.training.phase_done = told
            terms = self.training.step()
            self.flags.add(terms)
            step = self.training.step_count
            if step % plan.log_every == 0 or step == self.steps:
                self._read(lifecycle, terms)
            if step % plan.checkpoint_every == 0 or step == self.steps:
                self._checkpoint(lifecycle)
            lifecycle.tell("step_done", self.event())
        step = self.training.step_count
        if self.stopping.wanted and self.saved != step:
            self._checkpoint(lifecycle)
        if self.stopping.signal is not None and step < self.steps:
            raise Interrupted(self.folder.path, step, self.steps, self.stopping.signal.name)

    def _stops(self) -> bool:
        """Whether to end here; all processes do as soon as one of them is to."""
        found = self.world.most(self.stopping.asked())
        self.stopping.follow(found)
        return self.stopping.wanted

    def move_on(self, say: Say) -> None:
        """Go to the stage whose turn it is."""
        stage = self.course.follows(self.training)
        if stage is not None:
            before = self.training
            self.training = self.course.moved(before, stage)
            self.training.watch = before.watch
            before.close()
            say(f"step {self.training.step_count}, {self.course.told(stage)}")

    def _phase_done(self, lifecycle: Lifecycle, phase: str) -> None:
        lifecycle.tell("phase_done", self.event(), phase=phase)

    def _read(self, lifecycle: Lifecycle, terms: abc.Mapping[tuple[str, str], Tensor]) -> None:
        if not self.flags.finite():
            find_cause(self)
        if self.world.leads:
            more = monitored(self.training) | self.waits.figures(self.training)
            figures = {f"{phase}.{name}": float(value) for (phase, name), value in terms.items()}
            lifecycle.tell("evaluated", self.event(), figures=figures | more)

    def _checkpoint(self, lifecycle: Lifecycle) -> None:
        if not self.flags.finite() or not weights_are_finite(self.training):
            find_cause(self)
        keep = self.wiring.recipe.train.keep_checkpoints
        if self.world.leads:
            checkpoint.save(self.folder.path, self.training, self.versions, self.recipe_text, keep)
            save_model(self.folder.model, self.training, self.recipe_text)
        self.saved = self.training.step_count
        self.training.system.train()
        lifecycle.tell("checkpointed", self.event(), path=self.folder.path)

    def event(self) -> Event:
        """Where the run stands."""
        training = self.training
        return Event(
            self.folder.path, self.wiring.recipe.name, training.step_count, self.steps, training.images, training
        )

    def seed_default_generators(self) -> None:
        """Put torch's default generators where the training needs them, if it has parts that draw by themselves."""
        if self.training.stochastic and self.training.generators:
            restore_generators(self.training.generators)
        elif self.training.stochastic:
            torch.manual_seed(key_seed(self.training.seed, "default"))

    @contextlib.contextmanager
    def _own_randomness(self) -> abc.Iterator[None]:
        """Parts with dropout draw from torch's default generators: theirs for the run, then as they were before."""
        if not self.training.stochastic:
            yield
            return
        devices = [self.training.device] if self.training.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            self.seed_default_generators()
            yield
