"""Forks processes that train together, with the environment that torchrun gives them, but none of its imports.

Standard input has a job per line, as JSON; the answer to each is the exit statuses of its processes. A job trains a run
(``train``: the arguments of ``lk.train``), runs a command line (``command``), lets each process fail with a message of
its own (``fail``), compares trainings over all processes with trainings of one alone (``compare``), or with the same as
graphs (``graphs``). What processes print is in the folder ``out``, ``0.txt`` and so on.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import traceback
import warnings
from collections import abc
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

import latentkit as lk
from latentkit._building import source_of
from latentkit.engine.compiling import Compiler, as_traced
from latentkit.engine.joining import join
from latentkit.engine.outcome import Outcome
from latentkit.engine.program import Program
from latentkit.engine.training import Training
from latentkit.engine.world import OtherEnded
from latentkit.errors import LatentkitError, LatentkitWarning
from latentkit.registry.manager import default_registry
from latentkit.runs.course import Course
from latentkit.settings import Settings
from latentkit_cli import main as main_of_command
from latentkit_cli.output import fail

NIL = 1e-12
"""A derivative that is so much smaller than the largest of its part is rounding of one that is zero."""


class Nothing:
    """Makes derivatives that are nothing but rounding zero, and notes whose they are (as ``Training.watch``).

    A bias before a normalisation has no gradient, but for rounding, which depends on the order of sums. Adam divides
    it by its own size.
    """

    def __init__(self) -> None:
        self.names: set[str] = set()

    def __call__(self, program: Program, _: abc.Sequence[Any], outcome: Outcome) -> None:
        for phase in program.plan.running:
            found = outcome.gradients[phase.name]
            largest: dict[str, float] = {}
            for part, _name, gradient in program.named(phase, found):
                largest[part] = max(largest.get(part, 0.0), _size(gradient))
            for index, (part, name, gradient) in enumerate(list(program.named(phase, found))):
                if gradient is not None:
                    nothing = gradient.abs() <= NIL * largest[part]
                    self.names |= {f"{part}.{name}"} if bool((gradient[nothing] != 0).any()) else set()
                    found[index] = gradient.masked_fill(nothing, 0.0)


def _size(gradient: Tensor | None) -> float:
    return 0.0 if gradient is None or not gradient.numel() else float(gradient.abs().max())


def in_general_position(training: Training) -> None:
    """Weights moved a little: a constant image, as styles begin with, has no variance that it could be divided by."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for part in training.modules.values():
            for parameter in part.parameters():
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)


def weights(training: Training) -> dict[str, Tensor]:
    """Weights, buffers, averages and ``[state]`` values."""
    parts = dict(training.modules)
    for name, average in training.averages.items():
        parts |= {f"{name}.{part}": module for part, module in average.averaged.items()}
    found = {f"{name}.{key}": value for name, part in parts.items() for key, value in part.state_dict().items()}
    return {**found, **training.states}


def trained(course: Course, steps: int) -> tuple[dict[str, Tensor], list[float], set[str]]:
    """Weights, terms, and the names of weights without gradient, after some steps through all stages."""
    training = course.training(0, Settings(precision="float64"))
    in_general_position(training)
    nothing = training.watch = Nothing()
    terms = []
    for _ in range(steps):
        stage = course.follows(training)
        if stage is not None:
            training = course.moved(training, stage)
            training.watch = nothing
        terms += [float(value) for value in training.step().values()]
    assert training.stage == len(course.stages) - 1
    return weights(training), terms, nothing.names


def compare(out: Path, recipes: dict[str, dict[str, object]], steps: int) -> None:
    """Train each recipe over all processes, and on the first one alone; write how far the two end from each other."""
    world = join("cpu")
    registry = default_registry()
    for name, overrides in recipes.items():
        source = source_of(name, overrides, registry)
        course = Course.of(source, registry, world)
        registry.activate(course.components)
        ours, shared, nil = trained(course, steps)
        line: dict[str, object] = {"content": digest(ours.values()), "nil": sorted(nil)}
        if world.leads:
            mine, terms, names = trained(Course.of(source, registry), steps)
            far = {key: _apart(mine[key], ours[key]) for key in mine if mine[key].numel()}
            worst = max(far, key=far.__getitem__)
            apart = [abs(one - two) / max(1.0, abs(one)) for one, two in zip(terms, shared, strict=True)]
            line |= {"weights": far[worst], "worst": worst, "terms": max(apart), "alone": sorted(names)}
        (out / f"{name}-{world.rank}.json").write_text(json.dumps(line))
        world.wait()


def graphs(out: Path, recipes: dict[str, dict[str, object]], steps: int, fails: int | None = None) -> None:
    """Train each recipe over all processes, as it is and as graphs; write digests of what comes out.

    On the rank ``fails`` nothing can be compiled.
    """
    world = join("cpu")
    registry = default_registry()

    def refused(graph: torch.fx.GraphModule, inputs: list[Any]) -> Any:
        raise LatentkitError("no compiler")

    for name, overrides in recipes.items():
        source = source_of(name, overrides, registry)
        course = Course.of(source, registry, world)
        registry.activate(course.components)
        line: dict[str, object] = {}
        for backend in (None, refused if fails == world.rank else as_traced):
            training = course.training(0, Settings(precision="float64"))
            compiler = None if backend is None else Compiler(training.settings.autocast, world, backend, lambda _: None)
            training.executor.compiler = compiler
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                terms = [value for _ in range(steps) for value in training.step().values()]
            known = {} if compiler is None else compiler.known
            line["plain" if compiler is None else "graph"] = digest([*weights(training).values(), *terms])
            line["told"] = [str(warning.message) for warning in told if warning.category is LatentkitWarning]
            line["talking"] = [found is not None for program, found in known.items() if program.talks]
        (out / f"{name}-{world.rank}.json").write_text(json.dumps(line))
        world.wait()


def digest(tensors: abc.Iterable[Tensor]) -> str:
    return hashlib.sha256(b"".join(value.contiguous().numpy().tobytes() for value in tensors)).hexdigest()


def _apart(one: Tensor, other: Tensor) -> float:
    difference = (one.double() - other.double()).abs() / one.double().abs().clamp(min=1.0)
    return float(difference.max())


def done(job: dict[str, Any], rank: int) -> int:
    """The exit status of one process of a job."""
    if "command" in job:
        return main_of_command(job["command"])
    if "fail" in job:
        message = job["fail"][rank]
        return fail(OtherEnded() if message is None else LatentkitError(message))
    if "train" in job:
        run = lk.train(**job["train"], out=Path(job["out"]) / (f"run-{rank}" if job.get("apart") else "run"))
        parts = {name: part.state_dict() for name, part in run.model.parts.items()}
        print(run.model.step, len(run.metrics), digest([value for part in parts.values() for value in part.values()]))
    elif "graphs" in job:
        graphs(Path(job["out"]), **job["graphs"])
    else:
        compare(Path(job["out"]), **job["compare"])
    return 0


def forked(job: dict[str, Any], rank: int, size: int, port: int) -> int:
    """A process of a job."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        if size > 1:
            where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_USE_AGENT_STORE": True}
            which = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size}
            os.environ |= {key: str(value) for key, value in {**where, **which}.items()}
        printed = os.open(Path(job["out"]) / f"{rank}.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(printed, 1)
        os.dup2(printed, 2)
        status = done(job, rank)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def main() -> None:
    """Answer jobs."""
    torch.set_num_threads(1)
    lk.check("alae-mlp")  # imports everything that a training needs
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # kept for all jobs, as by torchrun
    for line in sys.stdin:
        job = json.loads(line)
        if "recipe" in job.get("train", {}):
            lk.check(
                job["train"]["recipe"], job["train"]["overrides"], thorough=True
            )  # remembered by all that are forked
        processes = [forked(job, rank, job["processes"], store.port) for rank in range(job["processes"])]
        print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in processes]), flush=True)


if __name__ == "__main__":
    main()
