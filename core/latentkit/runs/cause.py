"""Where numbers that are not finite came from: the steps since the last checkpoint, taken once more and looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from latentkit.engine.default_generators import seed_default_generators
from latentkit.errors import NotFiniteError
from latentkit.runs.finiteness import ADVICE, OFFENDING, Watcher
from latentkit.runs.sharing import shared_checkpoint
from latentkit.runs.state import restore

if TYPE_CHECKING:
    from latentkit.runs.job import Job


def find_cause(job: Job) -> NoReturn:
    """Take the steps since the last checkpoint once more, looking at every loss and gradient.

    Raises:
        NotFiniteError: always.
    """
    last, kept = job.training.step_count, job.saved or 0
    job.say(f"numbers are not finite at step {last}; repeating the steps from {kept} to find where it began")
    _back_to_checkpoint(job)
    watcher = job.training.watch = Watcher(job.training)
    elsewhere = False
    while not elsewhere and job.training.step_count < last:
        job.move_on(lambda _: None)
        job.training.step()
        elsewhere = bool(job.world.most(int(watcher.found is not None)))
    if watcher.found is None and elsewhere:
        raise NotFiniteError("numbers are not finite in another process of this run, whose message says where")
    intact = "no checkpoint had been written yet" if job.saved is None else f"the checkpoint of step {kept} is intact"
    if watcher.found is None:
        raise NotFiniteError(
            f"between step {kept + 1} and {last}: weights or losses are not finite, but not when the steps are "
            f"repeated; {intact}. {ADVICE}"
        )
    found = watcher.found
    file = found.write(job.folder.path, job.recipe_text) if job.world.leads else job.folder.path / OFFENDING
    raise NotFiniteError(
        f"step {found.step}, phase '{found.phase}': {found.fact}\n  {intact}; the batch and draws of this step are "
        f"in {file}\n  {ADVICE}"
    )


def _back_to_checkpoint(job: Job) -> None:
    saved = shared_checkpoint(job.world, job.folder.path)
    usable = saved is not None and saved.state["step"] == job.saved
    stage = saved.state.get("stage", 0) if saved is not None and usable else 0
    job.training.close()
    job.training = job.course.training(stage, job.training.settings)
    if saved is not None and usable:
        restore(job.training, saved.tensors, saved.state)
    seed_default_generators(job.training)
