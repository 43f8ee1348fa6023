"""Something that takes training steps: a loop, or the library under a variant, on a device."""

from __future__ import annotations

import contextlib
import sys
import time
import types
import warnings
from collections import abc
from typing import Any

import attrs
import torch

from latentkit.errors import LatentkitWarning
from latentkit.settings import Settings
from measuring.loops import Loop, Maker, training
from measuring.systems import LOOPS, System
from measuring.variants import Variant


@attrs.define(kw_only=True)
class Contender:
    """What is timed."""

    name: str
    step: abc.Callable[[], object]
    settings: Settings = attrs.field(factory=Settings)
    period: int = 1
    notes: tuple[str, ...] = ()
    """What it has told while it took its first steps."""

    def block(self, steps: int) -> float:
        """Milliseconds a step, over a block of so many steps, which is taken as whole."""
        with self.settings.matrix_products():
            start = time.perf_counter()
            for _ in range(steps):
                self.step()
            settle(self.settings.device)
            return (time.perf_counter() - start) / steps * 1e3

    def warm(self) -> float:
        """Take every kind of step twice, and return milliseconds a step of the second time."""
        with noted() as notes:
            self.block(self.period)
        self.notes = tuple(notes)
        return self.block(self.period)


@contextlib.contextmanager
def noted() -> abc.Iterator[list[str]]:
    """What the library warns of meanwhile, a phase that is not compiled, say."""
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", LatentkitWarning)
        yield notes
    notes += [str(item.message) for item in told if issubclass(item.category, LatentkitWarning)]


def settle(device: str) -> None:
    """Wait until the device has done what it was asked for."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


def contender(system: System, name: str, device: str = "cpu", threads: int | None = None) -> Contender:
    """One of a system's by its name, built and not warm."""
    if name in LOOPS:
        return looping(name, built(system.maker(name), device), device)
    return of_library(system, name, system.variants[name], device, threads)


def looping(name: str, loop: Loop, device: str) -> Contender:
    """A loop written by hand."""
    return Contender(name=name, step=loop.step, settings=Settings(device=device))


def of_library(
    system: System, name: str, variant: Variant, device: str, threads: int | None = None
) -> Contender:  # fmt: skip
    """The library under a variant."""
    settings = attrs.evolve(variant.settings, device=device, threads=threads)
    mine = training(system.recipe, settings, {**system.overrides, **variant.overrides})
    return Contender(name=name, step=mine.step, settings=settings, period=variant.period)


def built(maker: Maker, device: str) -> Loop:
    """The loop on a device. It names none itself, so its module makes tensors there."""
    if torch.device(device).type == "cpu":
        return maker()
    kind: Any = maker
    while not isinstance(kind, type):
        kind = kind.func
    sys.modules[kind.__module__].__dict__["torch"] = _OnDevice(device)
    with torch.device(device):
        loop: Any = maker()
    loop.images = loop.images.to(device)
    return loop  # type: ignore[no-any-return]


class _OnDevice(types.ModuleType):
    """Torch, with some functions that make tensors on a device.

    Torch's own context for that looks at each call of any function, which would cost the loop time.
    """

    MAKERS = ("randn", "rand", "randperm", "arange", "zeros", "ones", "tensor")

    def __init__(self, device: str) -> None:
        super().__init__("torch")
        for name in self.MAKERS:
            setattr(self, name, _made_on(getattr(torch, name), device))

    def __getattr__(self, name: str) -> Any:
        found = getattr(torch, name)
        setattr(self, name, found)
        return found


def _made_on(make: abc.Callable[..., torch.Tensor], device: str) -> abc.Callable[..., torch.Tensor]:
    def made(*sizes: Any, **options: Any) -> torch.Tensor:
        return make(*sizes, device=device, **options)

    return made
