"""Executions captured as CUDA graphs, to measure what launching operations costs; for benchmarks alone.

Numbers that a schedule gives as plain Python ones stay those of the capture.
"""

from __future__ import annotations

import contextlib
from collections import abc
from typing import Any

import attrs
import torch
from torch import Tensor

from latentkit.engine.program import Outcome, Program, Values
from latentkit.engine.training import Training

WARM = 3
"""Executions before the capture, in which libraries choose their algorithms."""


@attrs.frozen(eq=False)
class _Captured:
    graph: Any
    given: dict[tuple[str, Any], Any]
    outcome: Outcome

    def __call__(self, values: Values) -> Outcome:
        """Every number into its place, and all operations at once."""
        for source, place in self.given.items():
            if isinstance(place, Tensor):
                place.copy_(values[source])
        self.graph.replay()
        return self.outcome


class Capturer:
    """Stands where a training has its compiler: captures each program at its first execution."""

    def __init__(self, context: abc.Callable[[], contextlib.AbstractContextManager[object]]) -> None:
        self.context = context
        self.known: dict[Program, _Captured] = {}

    def __call__(self, program: Program, values: Values) -> Outcome:
        """What the execution yields; its tensors hold until the next one."""
        if program not in self.known:
            self.known[program] = self._captured(program, values)
        return self.known[program](values)

    def _captured(self, program: Program, values: Values) -> _Captured:
        given = {source: value.clone() if isinstance(value, Tensor) else value for source, value in values.items()}

        def execute() -> Outcome:
            with self.context():
                slots = program.forward(given)
            return program.outcome(slots)

        beside: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(WARM):
                execute()
        torch.cuda.current_stream().wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            outcome = execute()
        return _Captured(graph, given, outcome)


def capture(training: Training) -> Training:
    """The same training, whose executions are captured.

    Raises:
        RuntimeError: there is no CUDA.
    """
    if training.device.type != "cuda":
        raise RuntimeError("CUDA graphs need a CUDA device")
    training.compiler = Capturer(training.settings.autocast)  # type: ignore[assignment]
    return training
