"""One training loop for every system, and what it writes."""

from __future__ import annotations

import contextlib
import math
import time
from collections import abc
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor

from latentkit.engine.batches import Samples, open_samples
from latentkit.engine.monitoring import monitored
from latentkit.engine.streams import key_seed, restore_generators
from latentkit.engine.training import Training
from latentkit.errors import NotFiniteError
from latentkit.events import Event
from latentkit.model import Model
from latentkit.proof import prove
from latentkit.recipe.source import Source
from latentkit.registry.manager import Registry
from latentkit.runs import checkpoint
from latentkit.runs.card import write_card
from latentkit.runs.folder import Folder
from latentkit.runs.loading import load, save_model
from latentkit.runs.observing import MetricsFile, Pictures
from latentkit.settings import Settings
from latentkit.wiring.assemble import assemble
from latentkit.wiring.wiring import Wiring

Say = abc.Callable[[str], None]


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


def _figures(terms: abc.Mapping[tuple[str, str], Tensor]) -> dict[str, float]:
    return {f"{phase}.{name}": float(value) for (phase, name), value in terms.items()}


def training_lines(folder: Folder) -> list[dict[str, Any]]:
    """The lines of ``metrics.jsonl`` that training wrote, without those of evaluations."""
    return [record for record in folder.records() if "evaluation" not in record]


@attrs.define
class Job:
    """A run being trained: everything it needs, checked before a file is written."""

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
    def prepare(cls, source: Source, folder: Folder, settings: Settings, registry: Registry, say: Say) -> Job:
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
        """In all."""
        return self.wiring.recipe.train.steps

    def write_recipe(self) -> None:
        """Write the resolved recipe."""
        self.recipe_text = self.folder.write_recipe(self.source.tables, self.versions)

    def begin(self) -> None:
        """Write what a run has from its start."""
        self.write_recipe()
        self.folder.cut_metrics(-1, 1)

    def run(self, observers: abc.Sequence[object]) -> Run:
        """Train to the end.

        Raises:
            NotFiniteError: a loss became infinite or not a number.
        """
        start = time.perf_counter()
        mine = [MetricsFile(), Pictures(self.samples, self.wiring.recipe.train.sample_every), *observers]
        with self._registered(mine), self.training.settings.matrix_products(), self._own_randomness():
            self._loop()
        seconds = time.perf_counter() - start
        write_card(self.folder, self.wiring, self.training, self.versions, seconds)
        model = load(self.folder.path, registry=self.registry)
        return Run(self.folder.path, model, training_lines(self.folder), seconds)

    def _loop(self) -> None:
        hook, training, plan = self.registry.manager.hook, self.training, self.wiring.recipe.train
        hook.latentkit_run_started(event=self.event())
        per_step, per_phase = hook.latentkit_step_done, hook.latentkit_phase_done
        if per_phase.get_hookimpls():
            training.phase_done = lambda phase: per_phase(event=self.event(), phase=phase)
        while training.step_count < self.steps:
            terms = training.step()
            if terms:
                self.flags.append(torch.stack([value.float() for value in terms.values()]).sum())
            step = training.step_count
            if step % plan.log_every == 0 or step == self.steps:
                self._read(terms)
            if step % plan.checkpoint_every == 0 or step == self.steps:
                self._check_finite(terms)
                self._checkpoint(plan.keep_checkpoints)
            if per_step.get_hookimpls():
                per_step(event=self.event())
        save_model(self.folder.model, training, self.recipe_text)
        hook.latentkit_run_finished(event=self.event())

    def _read(self, terms: abc.Mapping[tuple[str, str], Tensor]) -> None:
        self._check_finite(terms)
        figures = _figures(terms) | monitored(self.training)
        self.registry.manager.hook.latentkit_evaluated(event=self.event(), figures=figures)

    def _check_finite(self, terms: abc.Mapping[tuple[str, str], Tensor]) -> None:
        """Look at the losses of the steps since the last look; the device is asked once."""
        finite = torch.stack(self.flags).isfinite() if self.flags else torch.ones(1, dtype=torch.bool)
        first = self.training.step_count - len(self.flags) + 1
        self.flags.clear()
        if not bool(finite.all()):
            step = first + int((~finite).nonzero()[0])
            bad = [key for key, value in _figures(terms).items() if not math.isfinite(value)]
            where = f", in {', '.join(bad)}" if bad else ""
            raise NotFiniteError(
                f"step {step}: a loss is not finite{where}; the last checkpoint is intact. "
                "Try a lower learning rate, or look at what divides by zero"
            )

    def _checkpoint(self, keep: int) -> None:
        checkpoint.save(self.folder.path, self.training, self.versions, self.recipe_text, keep)
        save_model(self.folder.model, self.training, self.recipe_text)
        self.training.system.train()
        self.registry.manager.hook.latentkit_checkpointed(event=self.event(), path=self.folder.path)

    def event(self) -> Event:
        """Where the run stands."""
        training = self.training
        return Event(
            self.folder.path, self.wiring.recipe.name, training.step_count, self.steps, training.images, training
        )

    @contextlib.contextmanager
    def _own_randomness(self) -> abc.Iterator[None]:
        """Parts with dropout draw from torch's default generators: theirs for the run, then as they were before."""
        if not self.training.stochastic:
            yield
            return
        devices = [self.training.device] if self.training.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            if self.training.generators:
                restore_generators(self.training.generators)
            else:
                torch.manual_seed(key_seed(self.training.seed, "default"))
            yield

    @contextlib.contextmanager
    def _registered(self, observers: abc.Sequence[object]) -> abc.Iterator[None]:
        manager = self.registry.manager
        for observer in observers:
            manager.register(observer)
        try:
            manager.check_pending()  # a misspelt hook would never be called
            yield
        finally:
            for observer in observers:
                manager.unregister(observer)
