"""What optimizers promise."""

from __future__ import annotations

import functools
from collections import abc
from typing import Any

import torch
from torch import Tensor

from latentkit.errors import LatentkitError
from latentkit.optimizers import Optimizer, Slots
from latentkit.testing.checks import Nonconforming, require, said
from latentkit.testing.refusals import option_checks
from latentkit.testing.subjects import Subject
from latentkit.testing.workplace import global_draws, seeded

SHAPES = ((5,), (3, 4), (2, 3, 3, 3), ())
STEPS, RATE = 200, 0.05


def optimizer_checks(subject: Subject) -> dict[str, abc.Callable[[], None]]:
    """The properties of one optimizer, ready to be looked at."""
    return {
        "follows gradients": functools.partial(follows_gradients, subject),
        "rates as numbers and tensors": functools.partial(takes_rates, subject),
        "float64": functools.partial(in_float64, subject),
        "keeps its state in its slots": functools.partial(keeps_its_state, subject),
        **option_checks(subject, _few_steps),
    }


class Descent:
    """Parameters on their way to random targets: the gradient of ``|p - t|^2 / 2`` is ``p - t``."""

    def __init__(self, optimizer: Optimizer, dtype: torch.dtype = torch.float32) -> None:
        self.optimizer = optimizer
        generator = torch.Generator().manual_seed(0)
        self.parameters = [torch.randn(shape, generator=generator).to(dtype) for shape in SHAPES]
        self.targets = [torch.randn(shape, generator=generator).to(dtype) for shape in SHAPES]
        self.slots: Slots = {name: [torch.zeros_like(p) for p in self.parameters] for name in optimizer.slots}
        self.step = 0

    def take(self, steps: int, rate: float | Tensor = RATE) -> None:
        """Some updates.

        Raises:
            Nonconforming: one raises something, or leaves what is not finite.
        """
        for _ in range(steps):
            self.step += 1
            gradients = [p - t for p, t in zip(self.parameters, self.targets, strict=True)]
            try:
                self.optimizer.update(self.parameters, gradients, self.slots, self.step, rate)
            except LatentkitError:
                raise
            except Exception as error:
                raise Nonconforming(f"update() raises {said(error)}") from error
        require(all(bool(p.isfinite().all()) for p in self.parameters), "parameters are not finite after updates")

    def distance(self) -> float:
        """The sum of squares that is left."""
        pairs = zip(self.parameters, self.targets, strict=True)
        return sum(float((p - t).square().sum()) for p, t in pairs)


def follows_gradients(subject: Subject) -> None:
    """The parameters change in place, come nearer to a minimum, and stay where the rate is 0."""
    descent = Descent(subject.made())
    before, same = descent.distance(), list(descent.parameters)
    still = [p.clone() for p in descent.parameters]
    descent.take(1, 0.0)
    moved = not all(map(torch.equal, still, descent.parameters))
    require(not moved, "a rate of 0 moves the parameters")
    descent.take(STEPS)
    require(
        all(p is q for p, q in zip(same, descent.parameters, strict=True)), "replaces parameters; change them in place"
    )
    fact = f"after {STEPS} updates at rate {RATE} a sum of squares went from {before:.3g} to {descent.distance():.3g}"
    require(descent.distance() < 0.5 * before, f"{fact}; expected less than half")


def takes_rates(subject: Subject) -> None:
    """A rate is a number or a tensor without axes."""
    one, other = Descent(subject.made()), Descent(subject.made())
    one.take(3, RATE)
    other.take(3, torch.tensor(RATE))
    near = all(
        torch.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in zip(one.parameters, other.parameters, strict=True)
    )
    require(near, "a rate that is a tensor gives other updates than the number")


def in_float64(subject: Subject) -> None:
    """Parameters in float64 stay so, and take the same way."""
    single, double = Descent(subject.made()), Descent(subject.made(), torch.float64)
    single.take(3)
    try:
        double.take(3)
    except Nonconforming as error:
        raise Nonconforming(f"in float64: {error}") from error
    pairs = list(zip(single.parameters, double.parameters, strict=True))
    require(all(b.dtype == torch.float64 for _, b in pairs), "parameters in float64 become others")
    near = all(torch.allclose(a.double(), b, rtol=1e-3, atol=1e-4) for a, b in pairs)
    require(near, "in float64 the updates are far from those in float32")


def keeps_its_state(subject: Subject) -> None:
    """Slots and count are all that is carried: a copy of them goes on in the same way, beside other parameters."""
    whole, first = Descent(subject.made()), Descent(subject.made())
    whole.take(6)
    first.take(3)
    second, other = Descent(subject.made()), Descent(subject.made())
    second.parameters = [p.clone() for p in first.parameters]
    second.slots = {name: [tensor.clone() for tensor in tensors] for name, tensors in first.slots.items()}
    second.step = first.step
    other.optimizer = second.optimizer
    for _ in range(3):
        other.take(1, 0.5)
        with seeded():
            before = global_draws()
            second.take(1)
            require(global_draws() == before, "draws random numbers, whose state no checkpoint has")
    same = all(map(torch.equal, whole.parameters, second.parameters))
    require(same, "it carries something from update to update that is not in its slots; a continued run would differ")


def _few_steps(optimizer: Any) -> None:
    descent = Descent(optimizer)
    descent.targets[0] = descent.parameters[0].clone()  # a gradient of 0, as behind a dead ReLU
    descent.take(3)
