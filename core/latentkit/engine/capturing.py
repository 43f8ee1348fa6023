"""Executions as graphs of launches: forward, gradients, reduction over ranks and update, launched as one.

On a GPU most of a small system's step is spent in launching its operations one by one. A captured execution launches
them all at once; what changes from step to step is written into memory that it reads: values from outside, and how
often each parameter has been updated.
"""

from __future__ import annotations

from collections import abc

import attrs
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from latentkit.engine.outcome import Outcome
from latentkit.engine.program import Program, Values
from latentkit.engine.tracing import Untraceable, leaves_of, looks, runs_as_it_is, tensors_of
from latentkit.engine.updates import Buckets, Kinds, count

Steps = abc.Mapping[str, Tensor]
"""Per phase, how often the parameters of each bucket will have been updated, float32 [buckets]."""
Body = abc.Callable[[], Outcome]
Record = abc.Callable[[Body], Body]
WARM = 2
"""Executions before one is captured: the first ones compile, choose algorithms and make what is kept."""


def on_gpu(body: Body) -> Body:
    """Capture what a function launches, without doing it.

    Returns:
        What launches all of it again; it returns the tensors that the function did, with new numbers in them.
    """
    graph = torch.cuda.CUDAGraph()
    torch.cuda.synchronize()
    with torch.cuda.graph(graph):
        found = body()

    def replay() -> Outcome:
        graph.replay()
        return found

    return replay


@attrs.frozen(eq=False)
class _Captured:
    values: list[Tensor]
    """Where it reads its values."""
    inputs: tuple[object, ...]
    steps: Steps
    shape: object
    replay: Body


class Capturer:
    """Captures each program when it has run a few times; what cannot be captured runs as it is, and is told once.

    Args:
        buckets: how a program's parameters are updated next, given the kinds of their gradients.
        perform: computes a program on values and updates, given the counts of the buckets per phase.
        record: what captures.
    """

    def __init__(
        self,
        buckets: abc.Callable[[Program, Kinds], Buckets],
        perform: abc.Callable[[Program, Values, Buckets, Steps], Outcome],
        record: Record = on_gpu,
    ) -> None:
        self.buckets, self.perform, self.record = buckets, perform, record
        self.seen: dict[Program, list[Kinds]] = {}
        self.known: dict[Program, _Captured | None] = {}

    def saw(self, program: Program, kinds: Kinds) -> None:
        """Note an execution that ran as it is."""
        if program not in self.known:
            self.seen.setdefault(program, []).append(kinds)

    def __call__(self, program: Program, values: Values) -> Outcome | None:
        """Execute and update; ``None`` where that is still to be done, as this one runs as it is."""
        seen = self.seen.get(program, [])
        if program not in self.known:
            if len(seen) < WARM:
                return None
            self.known[program] = self._captured(program, values, seen[-1])
        captured, leaves = self.known[program], leaves_of(values)
        if captured is None or captured.inputs != looks(leaves):
            return None
        now = self.buckets(program, seen[-1])
        if _shape(now) != captured.shape:  # parameters that had one count have two, or the other way round
            del self.known[program]
            self.seen[program].clear()
            return None
        for mine, value in zip(captured.values, tensors_of(leaves), strict=True):
            mine.copy_(value)
        _write(captured.steps, now)
        found = captured.replay()
        for updated in now.values():
            count(updated)
        # The next replay overwrites what it returned.
        return attrs.evolve(found, terms={key: value.clone() for key, value in found.terms.items()})

    def _captured(self, program: Program, values: Values, kinds: Kinds) -> _Captured | None:
        now = self.buckets(program, kinds)
        try:
            late = [
                bucket.optimizer for updated in now.values() for bucket in updated if not bucket.optimizer.capturable
            ]
            if late:
                raise Untraceable(f"optimizer {type(late[0]).__name__} counts its steps in Python")
            mine = pytree.tree_map(lambda value: value.clone() if isinstance(value, Tensor) else value, dict(values))
            device = next(weight.device for found in program.parameters.values() for weight in found)
            steps = {phase: torch.zeros(len(updated), device=device) for phase, updated in now.items()}
            replay = self.record(lambda: self.perform(program, mine, now, steps))
        except Exception as error:  # parts are anybody's code, and CUDA refuses much while it captures
            runs_as_it_is(program, "captured", error)
            return None
        return _Captured(tensors_of(leaves_of(mine)), looks(leaves_of(values)), steps, _shape(now), replay)


def _shape(now: Buckets) -> object:
    return {phase: [bucket.shape for bucket in updated] for phase, updated in now.items()}


def _write(steps: Steps, now: Buckets) -> None:
    for phase, mine in steps.items():
        mine.copy_(torch.tensor([float(bucket.step) for bucket in now[phase]]), non_blocking=True)
