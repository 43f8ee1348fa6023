"""How the processes that ``torchrun`` has started meet, on one machine or several, also when it starts them again."""

from __future__ import annotations

import functools
import os
import time
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist

from latentkit.engine.launching import launched, rank, several_machines, size
from latentkit.engine.reaching import choose_interface, reach_all
from latentkit.engine.world import World
from latentkit.errors import LatentkitError

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

PATIENCE = timedelta(minutes=3)
"""For meeting. Once they have met, one may wait longer for what another reads or writes."""


class Unmet(LatentkitError):
    """The processes cannot reach each other."""


def own_device(device: str) -> str:
    """The device of this process: of several GPUs on a machine each has its own."""
    if not launched() or torch.device(device).type != "cuda":
        return device
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"


def join(device: str) -> World:
    """The processes that ``torchrun`` has started, this one among them; one alone where it has not.

    Args:
        device: where this process computes; decides how they talk, over NCCL between GPUs, else over Gloo.

    Raises:
        LatentkitError: the others cannot be reached.
    """
    if launched() and not dist.is_initialized():
        store = board()
        backend = "nccl" if torch.device(device).type == "cuda" else "gloo"
        try:
            address = choose_interface() if several_machines() else ""
            if address:
                reach_all(store, address)
            dist.init_process_group(backend, store=_part(store, "group"), rank=rank(), world_size=size())
        except (RuntimeError, ValueError) as error:
            raise _unreachable(error) from None
    return World.joined()


@functools.cache
def board() -> Store:
    """What the processes tell each other without a collective; empty for each attempt of ``torchrun``.

    ``torchrun`` keeps the store when it starts processes again, with all that they had written, and each machine counts
    attempts by itself. So the first process of an attempt names it, and answers those that ask now.

    Raises:
        Unmet: the others cannot be reached.
    """
    try:
        store, *_ = next(dist.rendezvous("env://", timeout=PATIENCE))  # type: ignore[attr-defined]  # documented, not in __all__
        store.set_timeout(PATIENCE)
        attempt = _answered(store) if rank() else _answering(store)
    except (RuntimeError, ValueError) as error:
        raise _unreachable(error) from None
    return _part(store, attempt)


def _part(store: Store, name: str) -> Store:
    part: Store = dist.PrefixStore(name, store)  # type: ignore[attr-defined]  # documented, not in __all__
    return part


def _answered(store: Store) -> str:
    token = uuid.uuid4().hex
    store.set(f"asks {rank()}", token)
    attempt = str(store.get(f"answer {token}"), "ascii")
    store.set(f"in {attempt} {rank()}", "")
    return attempt


def _answering(store: Store) -> str:
    attempt, absent = uuid.uuid4().hex, set(range(1, size()))
    until = time.monotonic() + PATIENCE.total_seconds()
    while absent:
        for other in sorted(absent):
            if store.check([f"in {attempt} {other}"]):
                absent.discard(other)
            elif store.check([f"asks {other}"]):  # perhaps one that has ended: then another one asks soon
                store.set(f"answer {store.get(f'asks {other}').decode()}", attempt)
        if time.monotonic() > until:
            missing = ", ".join(map(str, sorted(absent)))
            raise Unmet(f"of {size()} processes {missing} did not come within {PATIENCE.total_seconds():.0f} s")
        time.sleep(0.02)
    return attempt


def _unreachable(error: Exception) -> Unmet:
    fact = str(error).partition("\n")[0]
    place = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
    return Unmet(f"the processes that torchrun started cannot reach each other: {fact}\n  They meet at {place}")
