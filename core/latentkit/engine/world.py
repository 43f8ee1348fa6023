"""Processes that train one system together: each has an equal share of every batch, and all have the same weights.

The collectives here can be differentiated as often as wanted. What they compute is one program over all ranks, whose
objective is the sum of the ranks' objectives; the way back through each is its exact adjoint.
"""

from __future__ import annotations

import functools
import os
from collections import abc
from typing import Any

import attrs
import torch
import torch.distributed as dist
from torch import Tensor

from latentkit.errors import LatentkitError

_RESTARTS = "TORCHELASTIC_RESTART_COUNT"
ENDED = (
    "another process of this run has ended, or cannot be reached; the last checkpoint is intact. Its own message says "
    "why; start the same command with --resume to continue"
)


def launched() -> bool:
    """Whether ``torchrun`` has started this process together with others."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


def follows() -> bool:
    """Whether another process than this one writes and talks."""
    return launched() and os.environ["RANK"] != "0"


def restarted() -> bool:
    """Whether ``torchrun`` has started the processes again, after one of them had ended."""
    return int(os.environ.get(_RESTARTS, "0")) > 0


def join(device: str) -> World:
    """The processes that ``torchrun`` has started, this one among them; one alone where it has not.

    Args:
        device: where this process computes; decides how they talk, over NCCL between GPUs, else over Gloo.

    Raises:
        LatentkitError: the others cannot be reached.
    """
    if launched() and not dist.is_initialized():
        try:
            store, rank, size = next(dist.rendezvous("env://"))  # type: ignore[attr-defined]  # documented, not in __all__
            # Started again, processes would find the addresses of those that have ended.
            name = f"attempt {os.environ.get(_RESTARTS, '0')}"
            attempt = dist.PrefixStore(name, store)  # type: ignore[attr-defined]
            backend = "nccl" if torch.device(device).type == "cuda" else "gloo"
            dist.init_process_group(backend, store=attempt, rank=rank, world_size=size)
        except (RuntimeError, ValueError) as error:
            fact = str(error).partition("\n")[0]
            raise LatentkitError(f"the processes that torchrun started cannot reach each other: {fact}") from None
    return World.joined()


def own_device(device: str) -> str:
    """The device of this process: of several GPUs on a machine each has its own."""
    if not launched() or torch.device(device).type != "cuda":
        return device
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"


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
        _exchanged(lambda: dist.all_reduce(found, dist.ReduceOp.MAX))
        return int(found)

    def wait(self) -> None:
        """Until all ranks are here."""
        self.most(0)

    def told(self, text: str) -> str:
        """The first rank's text."""
        if self.alone:
            return text
        codes = torch.tensor(list(text.encode()), dtype=torch.uint8)
        found = torch.zeros(self.most(len(codes)), dtype=torch.uint8, device=_device())
        if self.leads:
            found[: len(codes)] = codes
        size = torch.tensor(len(codes), device=found.device)
        for value in (size, found):
            _exchanged(functools.partial(dist.broadcast, value, 0))
        return bytes(found[: int(size)].tolist()).decode()

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
            _exchanged(functools.partial(dist.all_reduce, flat))
            pieces = torch.split(flat / self.size, [tensor.numel() for tensor in alike.values()])
            found |= {at: piece.view(tensors[at].shape) for at, piece in zip(alike, pieces, strict=True)}
        return [found[at] for at in range(len(tensors))]


def _device() -> torch.device:
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")


def _exchanged(exchange: abc.Callable[[], object]) -> None:
    try:
        exchange()
    except RuntimeError as error:
        raise LatentkitError(f"{ENDED} ({str(error).partition(chr(10))[0]})") from None


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone(memory_format=torch.contiguous_format)
        _exchanged(lambda: dist.all_reduce(total))
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
        _exchanged(lambda: dist.all_gather(pieces, mine))
        return torch.cat(pieces)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return ctx.world.own(_Total.apply(gradients[0])), None  # type: ignore[no-untyped-call]
