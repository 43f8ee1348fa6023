"""Processes that train one system together: each has an equal share of every batch, and all have the same weights.

The collectives here can be differentiated as often as wanted. What they compute is one program over all ranks, whose
objective is the sum of the ranks' objectives; the way back through each is its exact adjoint.
"""

from __future__ import annotations

import functools
import json
from collections import abc
from typing import Any, TypeVar

import attrs
import torch
import torch.distributed as dist
from torch import Tensor

from latentkit.engine import collectives
from latentkit.errors import LatentkitError

T = TypeVar("T")
ADVICE = "the last checkpoint is intact: start the same command with --resume to continue"


class OtherEnded(LatentkitError):
    """Another process of this run has ended."""

    def __init__(self) -> None:
        super().__init__(f"another process of this run has ended, or cannot be reached; {ADVICE}")


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

    @property
    def leads(self) -> bool:
        """Whether this rank writes and talks."""
        return self.rank == 0

    def most(self, number: int) -> int:
        """The largest of the ranks' numbers."""
        if self.alone:
            return number
        found = torch.tensor(number, device=_device())
        _exchange(lambda: dist.all_reduce(found, dist.ReduceOp.MAX), found)
        return int(found)

    def wait(self) -> None:
        """Until all ranks are here."""
        self.most(0)

    def sent(self, content: bytes) -> bytes:
        """What the first rank gives."""
        if self.alone:
            return content
        size = self.most(len(content) if self.leads else 0)
        found = torch.zeros(size, dtype=torch.uint8, device=_device())
        if self.leads and content:
            found.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
        _exchange(lambda: dist.broadcast(found, 0), found)
        return found.cpu().numpy().tobytes()

    def told(self, value: T) -> T:
        """The first rank's text, number, or other value that JSON can hold."""
        if self.alone:
            return value
        told: T = json.loads(self.sent(json.dumps(value).encode()))
        return told

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

    def means(self, tensors: abc.Sequence[Tensor]) -> list[Tensor]:
        """The means over ranks, in one exchange per type."""
        found: dict[int, Tensor] = {}
        for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
            alike = {at: tensor for at, tensor in enumerate(tensors) if tensor.dtype == dtype}
            flat = torch.cat([tensor.reshape(-1) for tensor in alike.values()])
            _exchange(functools.partial(dist.all_reduce, flat), flat)
            pieces = torch.split(flat / self.size, [tensor.numel() for tensor in alike.values()])
            found |= {at: piece.view(tensors[at].shape) for at, piece in zip(alike, pieces, strict=True)}
        return [found[at] for at in range(len(tensors))]


def exchanged(exchange: abc.Callable[[], T]) -> T:
    """What an exchange between ranks yields.

    Raises:
        OtherEnded: it failed.
    """
    try:
        return exchange()
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise OtherEnded from error


def _exchange(collective: abc.Callable[[], object], tensor: Tensor) -> None:
    exchanged(lambda: collectives.exchange(collective, [tensor]))


def _device() -> torch.device:
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return exchanged(lambda: collectives.total(value))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return _Total.apply(gradients[0])  # type: ignore[no-untyped-call]


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, world: World) -> Tensor:
        ctx.world = world
        return exchanged(lambda: collectives.gathered(value, world.size))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return ctx.world.own(_Total.apply(gradients[0])), None  # type: ignore[no-untyped-call]
