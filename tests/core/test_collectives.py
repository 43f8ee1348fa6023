"""An exchange between processes is over when torch's threads hold none of its tensors any more."""

from __future__ import annotations

import threading
import time
import weakref

import pytest
import torch
from torch import Tensor

from latentkit.engine import collectives


class Thread:
    """Holds a tensor outside of Python, as gloo's threads do, and lets go of it some time after the exchange."""

    def __init__(self, seconds: float) -> None:
        self.held: list[Tensor] = []
        self.timer = threading.Timer(seconds, self.held.clear)

    def exchange(self, tensor: Tensor) -> None:
        self.held.append(tensor * torch.ones(3, requires_grad=True))  # autograd keeps the tensor for the way back
        self.timer.start()


def test_an_exchange_ends_when_nobody_else_holds_its_tensors() -> None:
    thread, tensor = Thread(0.2), torch.ones(3)
    start = time.monotonic()
    collectives.exchange(lambda: thread.exchange(tensor), [torch.zeros(1), tensor])
    assert time.monotonic() - start >= 0.2
    assert thread.held == []


def test_an_exchange_whose_tensors_nobody_holds_ends_at_once() -> None:
    filled, start = torch.zeros(3), time.monotonic()
    collectives.exchange(lambda: filled.add_(1), [filled])
    assert time.monotonic() - start < 0.5
    assert filled.tolist() == [1, 1, 1]


def test_tensors_that_are_held_on_and_on_do_not_stop_a_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collectives, "_PATIENCE", 0.1)
    thread, tensor = Thread(20.0), torch.ones(3)
    start = time.monotonic()
    collectives.exchange(lambda: thread.exchange(tensor), [tensor])
    assert 0.1 <= time.monotonic() - start < 10
    assert len(thread.held) == 1
    thread.timer.cancel()


def test_a_failed_exchange_is_told_and_keeps_no_tensor() -> None:
    tensor = torch.ones(3)
    known = weakref.ref(tensor)

    def collective() -> None:
        raise RuntimeError("Connection closed by peer")

    with pytest.raises(RuntimeError, match="closed by peer"):
        collectives.exchange(collective, [tensor])
    del tensor
    assert known() is None
