"""Collectives that yield new tensors, as operations of torch's: a graph can hold them, and its compiler leaves them as
they are. Those of ``torch.distributed`` fill tensors that they are given.

Each is over when it returns. What follows needs its result at once, so nothing could be computed meanwhile.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

_LIBRARY: Any = torch.library.Library("latentkit", "DEF")  # type: ignore[no-untyped-call]  # torch leaves it untyped
_LIBRARY.define("total(Tensor value) -> Tensor")
_LIBRARY.define("gathered(Tensor value, int size) -> Tensor")


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


def _total(value: Tensor) -> Tensor:
    found = value.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(found)
    return found


def _gathered(value: Tensor, size: int) -> Tensor:
    mine = value.contiguous()
    found = _space_for_all(mine, size)
    dist.all_gather(list(found.chunk(size)), mine)
    return found


def _space_for_all(value: Tensor, size: int) -> Tensor:
    return value.new_empty((size * value.shape[0], *value.shape[1:]))


_LIBRARY.impl("total", _total, "CompositeExplicitAutograd")
_LIBRARY.impl("gathered", _gathered, "CompositeExplicitAutograd")
torch.library.register_fake("latentkit::total", lambda value: value.new_empty(value.shape), lib=_LIBRARY)
torch.library.register_fake("latentkit::gathered", _space_for_all, lib=_LIBRARY)
