"""Collectives that yield new tensors, as operations of torch's: a graph can hold them, and its compiler leaves them as
they are. Those of ``torch.distributed`` fill tensors that they are given.

Each is over when it returns. What follows needs its result at once, so nothing could be computed meanwhile.
"""

from __future__ import annotations

import sys
import time
from collections import abc
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

_LIBRARY: Any = torch.library.Library("latentkit", "DEF")  # type: ignore[no-untyped-call]  # torch leaves it untyped
_LIBRARY.define("total(Tensor value) -> Tensor")
_LIBRARY.define("gathered(Tensor value, int size) -> Tensor")
_PATIENCE = 1.0
"""Seconds. Should one of torch's releases hold tensors for longer, training only becomes slow."""


def total(value: Tensor) -> Tensor:
    """The sum over ranks: ``... -> ...``, in memory without gaps.

    Raises:
        RuntimeError: another rank is gone.
    """
    found: Tensor = torch.ops.latentkit.total(value)
    return found


def gathered(value: Tensor, size: int) -> Tensor:
    """All of ``size`` ranks' values, in the order of ranks: ``n ... -> size n ...``.

    Raises:
        RuntimeError: another rank is gone.
    """
    found: Tensor = torch.ops.latentkit.gathered(value, size)
    return found


def exchange(collective: abc.Callable[[], object], tensors: abc.Sequence[Tensor]) -> None:
    """Run a collective of ``torch.distributed``, and wait until nobody else holds its tensors.

    Gloo's threads let go of them a little after they have told that they are done. For that they need the interpreter,
    and where it ends by then they abort the process.

    Args:
        collective: exchanges the tensors.
        tensors: all that it is given; nothing else may come to hold them meanwhile.
    """
    before = _holders(tensors)
    collective()
    until = time.monotonic() + _PATIENCE
    while _holders(tensors) > before and time.monotonic() < until:
        time.sleep(0)


def _holders(tensors: abc.Sequence[Tensor]) -> int:
    # Torch holds a tensor's object in Python as long as anything holds the tensor outside of Python.
    # Those on a GPU are NCCL's, whose watchdog may hold them for a second.
    return sum(sys.getrefcount(tensor) for tensor in tensors if tensor.is_cpu)


def _total(value: Tensor) -> Tensor:
    found = value.clone(memory_format=torch.contiguous_format)
    exchange(lambda: dist.all_reduce(found), [found])
    return found


def _gathered(value: Tensor, size: int) -> Tensor:
    mine = value.clone(memory_format=torch.contiguous_format)
    found = _space_for_all(mine, size)
    pieces = list(found.chunk(size))
    exchange(lambda: dist.all_gather(pieces, mine), [mine, *pieces])
    return found


def _space_for_all(value: Tensor, size: int) -> Tensor:
    return value.new_empty((size * value.shape[0], *value.shape[1:]))


_LIBRARY.impl("total", _total, "CompositeExplicitAutograd")
_LIBRARY.impl("gathered", _gathered, "CompositeExplicitAutograd")
torch.library.register_fake("latentkit::total", lambda value: value.new_empty(value.shape), lib=_LIBRARY)
torch.library.register_fake("latentkit::gathered", _space_for_all, lib=_LIBRARY)
