"""Processes that train one system together: each has an equal share of every batch, and all have the same weights.

The collectives here can be differentiated as often as wanted. What they compute is one program over all ranks, whose
objective is the sum of the ranks' objectives; the way back through each is its exact adjoint.
"""

from __future__ import annotations

from collections import abc
from typing import Any

import attrs
import torch
import torch.distributed as dist
from torch import Tensor


@attrs.frozen(kw_only=True)
class World:
    """Ranks that were joined by ``torch.distributed``, or one process alone.

    Attributes:
        rank: of this process, from 0.
        size: number of processes.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def joined(cls) -> World:
        """The default process group, where there is one."""
        if not (dist.is_available() and dist.is_initialized()):
            return cls()
        return cls(rank=dist.get_rank(), size=dist.get_world_size())

    @property
    def alone(self) -> bool:
        """Whether there is nobody to talk to."""
        return self.size == 1

    def own(self, value: Any) -> Any:
        """This rank's share of a value of the whole batch: ``n ... -> n/size ...``; of a posterior, of each field."""
        if isinstance(value, tuple):
            return type(value)(*(self.own(field) for field in value))
        count = len(value) // self.size
        return value[self.rank * count : (self.rank + 1) * count]

    def whole(self, value: Any) -> Any:
        """The value of the whole batch, from every rank's share, in the order of ranks: ``n ... -> size n ...``."""
        if isinstance(value, tuple):
            return type(value)(*(self.whole(field) for field in value))
        gathered: Tensor = _Gathered.apply(value, self)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return gathered

    def total(self, value: Tensor) -> Tensor:
        """The sum over ranks."""
        total: Tensor = _Total.apply(value)  # type: ignore[no-untyped-call]
        return total

    def mean_(self, tensors: abc.Sequence[Tensor]) -> None:
        """Replace tensors by their means over ranks, in one exchange per type."""
        for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
            alike = [tensor for tensor in tensors if tensor.dtype == dtype]
            flat = torch.cat([tensor.reshape(-1) for tensor in alike])
            dist.all_reduce(flat)
            flat /= self.size
            for tensor, mean in zip(alike, flat.split([tensor.numel() for tensor in alike]), strict=True):
                tensor.copy_(mean.view(tensor.shape))


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return _Total.apply(gradients[0])  # type: ignore[no-untyped-call]


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, world: World) -> Tensor:
        ctx.world = world
        mine = value.contiguous()
        pieces = [torch.empty_like(mine) for _ in range(world.size)]
        dist.all_gather(pieces, mine)
        return torch.cat(pieces)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return ctx.world.own(_Total.apply(gradients[0])), None  # type: ignore[no-untyped-call]
