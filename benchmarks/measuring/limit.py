"""How fast this machine could take a step: its operations, over the rate at which the machine multiplies."""

from __future__ import annotations

import time
from collections import abc

import torch

from latentkit.proof.counting import Counting
from latentkit.settings import Settings
from measuring.contenders import Contender, settle

SIDE = {"cpu": 1536, "cuda": 8192}
"""Of the matrices."""
Compute = abc.Callable[[], object]


def operations(contender: Contender) -> float:
    """Multiplications and additions of matrix products and convolutions a step, forward and backward."""
    with contender.settings.matrix_products(), Counting() as counting:
        for _ in range(contender.period):
            contender.step()
    return counting.flops / contender.period


class Rates:
    """Operations a second of the best matrix product of each precision, or of a convolution where that is faster.

    They are measured once in every round, as the rate of a machine that others use too changes as step times do.

    Args:
        settings: of the contenders, of which precision and device count.
        seconds: of one measurement.
        side: of the matrices.
    """

    def __init__(self, settings: abc.Iterable[Settings], seconds: float, side: int | None = None) -> None:
        self.seconds, self.settings = seconds, {each.precision: each for each in settings}
        self.work = {
            name: [_product(each, side), _convolution(each, side)] for name, each in self.settings.items()
        }  # fmt: skip
        self.found: dict[str, list[float]] = {name: [] for name in self.settings}

    def measure(self) -> None:
        """Add a round."""
        for name, settings in self.settings.items():
            rates = [count / _least(compute, settings, self.seconds) for count, compute in self.work[name]]
            self.found[name].append(max(rates))


def _product(settings: Settings, side: int | None) -> tuple[int, Compute]:
    side = side or SIDE[torch.device(settings.device).type]
    a, b = (torch.randn(side, side, device=settings.device, dtype=dtype_of(settings)) for _ in range(2))
    return 2 * side**3, lambda: a @ b


def _convolution(settings: Settings, side: int | None) -> tuple[int, Compute]:
    width, pixels = (32, 8) if side else (256, 32)
    sizes = (8, width, pixels, pixels), (width, width, 3, 3)
    x, w = (
        torch.randn(size, device=settings.device, dtype=dtype_of(settings)).to(memory_format=torch.channels_last)
        for size in sizes
    )
    return 2 * x.numel() * width * 9, lambda: torch.nn.functional.conv2d(x, w, padding=1)


def dtype_of(settings: Settings) -> torch.dtype:
    """Of what is multiplied."""
    return torch.bfloat16 if settings.precision == "bfloat16" else settings.dtype


def _least(compute: Compute, settings: Settings, seconds: float) -> float:
    """The shortest time of one call among those of so many seconds, the first one left out."""
    taken = []
    with torch.no_grad(), settings.matrix_products():
        compute()
        settle(settings.device)
        end = time.perf_counter() + seconds
        while not taken or time.perf_counter() < end:
            start = time.perf_counter()
            compute()
            settle(settings.device)
            taken.append(time.perf_counter() - start)
    return min(taken)
