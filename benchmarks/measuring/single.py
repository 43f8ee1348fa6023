"""One contender in a process of its own: how long its start takes and on what, and the memory that a step adds.

Nothing here imports torch before its import is timed.
"""

from __future__ import annotations

import functools
import time
from collections import abc
from typing import Any

PARTS = ("python", "torch", "import", "read", "prove", "data", "build", "first step")
"""Of a start, in their order."""
STEPS, LONG = 5, 10.0
"""How many further steps are timed, where the first one does not take so many seconds."""


class Clock:
    """Seconds of one thing after the other, from when the process was asked for."""

    def __init__(self, asked: float) -> None:
        self.parts: dict[str, float] = {}
        self.last = asked

    def lap(self, name: str) -> None:
        """What has been done since the last one."""
        now = time.monotonic()
        self.parts[name] = self.parts.get(name, 0.0) + now - self.last
        self.last = now


def started(asked: float, system: str, setting: str, device: str, threads: int | None) -> dict[str, Any]:
    """Seconds by part of the start, milliseconds of further steps, and MiB that such a step adds.

    The memory is that of a later step, as in the first one some loops make what their optimizer keeps.
    """
    clock = Clock(asked)
    clock.lap("python")
    import torch

    clock.lap("torch")
    from measuring.contenders import noted, settle
    from measuring.resident import added
    from measuring.systems import LOOPS, SYSTEMS

    clock.lap("import")
    begin = _loop if setting in LOOPS else _library
    step, settings, period = begin(SYSTEMS[system], setting, device, threads, clock)
    with settings.matrix_products(), noted() as notes:
        step()
        settle(device)
        clock.lap("first step")
        for _ in range(period - 1):
            step()
        steps = STEPS if clock.parts["first step"] < LONG else 1
        times = [_milliseconds(functools.partial(_steps, step, period, device)) / period for _ in range(steps)]
        memory = added(functools.partial(_steps, step, period, device), device)
    return {"parts": clock.parts, "ms": times, "MiB": memory, "threads": torch.get_num_threads(), "notes": notes}


def _steps(step: abc.Callable[[], object], count: int, device: str) -> None:
    from measuring.contenders import settle

    for _ in range(count):
        step()
    settle(device)


def _milliseconds(work: abc.Callable[[], object]) -> float:
    start = time.monotonic()
    work()
    return (time.monotonic() - start) * 1e3


def _loop(system: Any, setting: str, device: str, threads: int | None, clock: Clock) -> Any:
    """The loop's sizes are read off the recipe, with its images."""
    from latentkit.settings import Settings
    from measuring.contenders import built

    settings = Settings(device=device, threads=threads)
    settings.take_threads()
    maker = system.maker(setting)
    clock.lap("data")
    loop = built(maker, device)
    clock.lap("build")
    return loop.step, settings, 1


def _library(system: Any, setting: str, device: str, threads: int | None, clock: Clock) -> Any:
    """As ``latentkit compose`` begins."""
    import attrs

    from latentkit._building import wired
    from latentkit.engine.training import Training
    from latentkit.proof import prove
    from latentkit.registry.manager import default_registry
    from measuring.loops import opened

    variant = system.variants[setting]
    settings = attrs.evolve(variant.settings, device=device, threads=threads)
    settings.take_threads()
    wiring = wired(system.recipe, system.overrides_of(setting))
    clock.lap("read")
    prove(wiring, default_registry(), thorough=True).raise_for_problems()
    clock.lap("prove")
    samples = opened(wiring)
    clock.lap("data")
    training = Training(wiring, default_registry(), samples, settings)
    clock.lap("build")
    return training.step, settings, variant.period
