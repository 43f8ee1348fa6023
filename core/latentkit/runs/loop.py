"""The one loop for every system, around the step."""

from __future__ import annotations

import functools
import time
from collections import abc

from torch import Tensor

from latentkit.engine.default_generators import own_randomness
from latentkit.engine.monitoring import monitored
from latentkit.runs import checkpoint
from latentkit.runs.card import write_card
from latentkit.runs.cause import find_cause
from latentkit.runs.finiteness import weights_are_finite
from latentkit.runs.job import Job
from latentkit.runs.lifecycle import Lifecycle
from latentkit.runs.loading import save_model
from latentkit.runs.observing import MetricsFile, Pictures
from latentkit.runs.run import Run
from latentkit.runs.stopping import Interrupted


def train_to_end(job: Job, observers: abc.Sequence[object]) -> Run:
    """Train to the end.

    Raises:
        Interrupted: a signal asked to stop; the last step is saved.
        NotFiniteError: a loss or a gradient became infinite or not a number.
        DataError: images that are read on the way cannot be read.
    """
    try:
        return _run(job, observers)
    finally:
        job.training.close()


def _run(job: Job, observers: abc.Sequence[object]) -> Run:
    if job.training.settings.compile:
        job.say("phases are compiled when they first run; that takes a while, and less in the next run")
    start = time.perf_counter()
    mine = [MetricsFile(), Pictures(job.wiring.recipe.train.sample_every)]
    if not job.world.leads:
        mine, observers = [], ()
    lifecycle = Lifecycle(job.registry.manager, mine, observers, job.say, job.stopping, mute=not job.world.leads)
    with lifecycle, job.training.settings.matrix_products(), own_randomness(job.training):
        with job.stopping:
            _loop(job, lifecycle)
        lifecycle.tell("run_finished", job.event())
    seconds = time.perf_counter() - start
    if job.world.leads:
        write_card(job.folder, job.wiring, job.training, job.versions, seconds)
    job.world.wait()
    return job.result(seconds)


def _loop(job: Job, lifecycle: Lifecycle) -> None:
    plan = job.wiring.recipe.train
    lifecycle.tell("run_started", job.event())
    done = job.training.step_count >= job.steps
    if done and job.world.leads:  # only the end is missing: every other way ends with a checkpoint
        save_model(job.folder.model, job.training, job.recipe_text)
    told = functools.partial(_phase_done, job, lifecycle) if lifecycle.listens("phase_done") else None
    while job.training.step_count < job.steps and not _stops(job):
        job.move_on(job.say)
        job.training.phase_done = told
        terms = job.training.step()
        job.flags.add(terms)
        step = job.training.step_count
        if step % plan.log_every == 0 or step == job.steps:
            _read(job, lifecycle, terms)
        if step % plan.checkpoint_every == 0 or step == job.steps:
            _checkpoint(job, lifecycle)
        lifecycle.tell("step_done", job.event())
    step = job.training.step_count
    if job.stopping.wanted and job.saved != step:
        _checkpoint(job, lifecycle)
    if job.stopping.signal is not None and step < job.steps:
        raise Interrupted(job.folder.path, step, job.steps, job.stopping.signal.name)


def _stops(job: Job) -> bool:
    """Whether to end here; all processes do as soon as one of them is to."""
    found = job.world.most(job.stopping.asked())
    job.stopping.follow(found)
    return job.stopping.wanted


def _phase_done(job: Job, lifecycle: Lifecycle, phase: str) -> None:
    lifecycle.tell("phase_done", job.event(), phase=phase)


def _read(job: Job, lifecycle: Lifecycle, terms: abc.Mapping[tuple[str, str], Tensor]) -> None:
    if not job.flags.finite():
        find_cause(job)
    if job.world.leads:
        more = monitored(job.training) | job.waits.figures(job.training)
        figures = {f"{phase}.{name}": float(value) for (phase, name), value in terms.items()}
        lifecycle.tell("evaluated", job.event(), figures=figures | more)


def _checkpoint(job: Job, lifecycle: Lifecycle) -> None:
    if not job.flags.finite() or not weights_are_finite(job.training):
        find_cause(job)
    keep = job.wiring.recipe.train.keep_checkpoints
    if job.world.leads:
        checkpoint.save(job.folder.path, job.training, job.versions, job.recipe_text, keep)
        save_model(job.folder.model, job.training, job.recipe_text)
    job.saved = job.training.step_count
    job.training.system.train()
    lifecycle.tell("checkpointed", job.event(), path=job.folder.path)
