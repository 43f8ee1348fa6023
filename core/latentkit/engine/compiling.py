"""A whole execution as one compiled graph: forward, input gradients, and each phase's gradient for its own parts.

The execution is traced as it runs, down to the operations that autograd itself calls, so that the graph computes what
the execution computes and no part has to be written for it. TorchInductor turns the graph into code of this machine.
"""

from __future__ import annotations

import os
import warnings
from collections import abc
from typing import Any

import attrs
import torch

from latentkit.data.cache import default_folder
from latentkit.engine.outcome import Outcome
from latentkit.engine.program import Program, Values
from latentkit.engine.rewriting import simplified, write_out_adam
from latentkit.engine.tracing import (
    Context,
    Traced,
    Untraceable,
    leaves_of,
    looks,
    places_of,
    runs_as_it_is,
    tensors_of,
    unchanged,
)
from latentkit.engine.updating import InGraph
from latentkit.engine.world import World, exchanged

_CACHE = "TORCHINDUCTOR_CACHE_DIR"
Function = abc.Callable[..., abc.Sequence[Any]]
Backend = abc.Callable[[torch.fx.GraphModule, list[Any]], Function]


def inductor(graph: torch.fx.GraphModule, inputs: list[Any]) -> Function:
    """Code for this machine by TorchInductor, kept on disk from run to run."""
    graph = simplified(graph)
    write_out_adam(graph)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the compiler's own modules, about each other
        from torch import _inductor
        from torch._guards import TracingContext, tracing
        from torch._inductor.runtime.cache_dir_utils import default_cache_dir
        from torch._subclasses import FakeTensorMode
        from torch.fx.experimental.symbolic_shapes import ShapeEnv

        # Torch's own default, which it may have noted already, is a folder for temporary files: it does not survive a
        # restart of the machine. One that the user has chosen does stay.
        if os.environ.get(_CACHE, default_cache_dir()) == default_cache_dir():
            os.environ[_CACHE] = str(default_folder() / "compiled")
        # Parts with dropout are to draw what they would draw uncompiled (fallback_random).
        # Without a context of this kind the compiler's cache is passed over.
        sizes = FakeTensorMode(shape_env=ShapeEnv())
        fixed: list[Any] = [sizes.from_tensor(tensor, static_shapes=True) for tensor in inputs]
        with tracing(TracingContext(sizes)):
            compiled: Function = _inductor.compile(graph, fixed, options={"fallback_random": True})
    return compiled


def as_traced(graph: torch.fx.GraphModule, inputs: list[Any]) -> Function:
    """The graph's operations one by one, to the bit what is computed uncompiled; for tests."""
    return graph


class Compiler:
    """Compiles each program at its first execution; what cannot be compiled runs as it is, and is told once.

    Args:
        context: what an execution runs in (autocast).
        world: ranks that compile the same programs.
        backend: from a graph to a function.
        update_of: the update that follows a program, where it is to be compiled with it.
    """

    def __init__(
        self, context: Context, world: World, backend: Backend, update_of: abc.Callable[[Program], InGraph | None]
    ) -> None:
        self.context, self.world, self.backend, self.update_of = context, world, backend, update_of
        self.known: dict[Program, _Compiled | None] = {}

    def __call__(self, program: Program, values: Values) -> Outcome | None:
        """What the execution yields; ``None`` where this program, or values of these shapes, are not compiled."""
        if program not in self.known:
            self.known[program] = self._compiled(program, values)
        compiled, leaves = self.known[program], leaves_of(values)
        if compiled is None or compiled.looks != looks(leaves):
            return None
        return exchanged(lambda: compiled(leaves)) if program.talks else compiled(leaves)

    def _compiled(self, program: Program, values: Values) -> _Compiled | None:
        found = None
        try:
            found = _Compiled.of(program, values, self.context, self.backend, self.update_of(program))
        except Exception as error:  # parts are anybody's code, and so much can be missing for a compiler to work
            runs_as_it_is(program, "compiled", error)
        # Ranks that talk within an execution do so in its order, which may be another when it is compiled.
        if program.talks and self.world.most(int(found is None)) and found is not None:
            runs_as_it_is(program, "compiled", Untraceable("another process cannot compile it"))
            return None
        return found


@attrs.frozen(eq=False)
class _Compiled:
    function: Function
    traced: Traced
    looks: tuple[object, ...]
    """Of the values that it was made for."""

    @classmethod
    def of(
        cls, program: Program, values: Values, context: Context, backend: Backend, update: InGraph | None
    ) -> _Compiled:
        """Trace and compile.

        Raises:
            Untraceable: a part keeps tensors that are none of its buffers.
        """
        places = [place for module in program.modules.values() for place in places_of(module)]
        traced = Traced(program, places, values, context, update)
        inputs = [*traced.inputs(), *traced.given]
        with unchanged(program.modules):
            graph = traced.graph(inputs)
        with torch.no_grad():  # gradients are in the graph; none will be taken of it
            function = backend(graph, inputs)
        traced.given.clear()
        return cls(function, traced, looks(leaves_of(values)))

    def __call__(self, leaves: list[Any]) -> Outcome:
        with torch.no_grad():
            found = self.function(*self.traced.inputs(), *tensors_of(leaves))
        if self.traced.update is not None:
            self.traced.update.count()
        return self.traced.outcome(found)
