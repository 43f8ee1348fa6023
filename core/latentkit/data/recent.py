"""What was read last, kept for the next call."""

from __future__ import annotations

import threading
from collections import abc
from typing import Generic, TypeVar

TOGETHER = 8
"""Runs of samples that an epoch goes through at a time."""
_MOST = TOGETHER + 2  # one more is begun before another has ended; and one to spare
_PATIENCE = 100
"""Calls after which what was not wanted again is let go."""
T = TypeVar("T")


class Recent(Generic[T]):
    """Shards by number: of those that an epoch goes through at a time, each is read once. A copy starts empty."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.kept: dict[int, tuple[int, T]] = {}
        self.calls = 0

    def __reduce__(self) -> tuple[type[Recent[T]], tuple[()]]:
        return Recent, ()

    def get(self, number: int, read: abc.Callable[[int], T]) -> T:
        """A shard, read where it is not there."""
        with self.lock:
            found = self.kept[number][1] if number in self.kept else None
        if found is None:
            found = read(number)
        with self.lock:
            self.calls += 1
            self.kept.pop(number, None)
            self.kept[number] = (self.calls, found)  # the newest is the last
            for old, (when, _) in list(self.kept.items()):
                if len(self.kept) > _MOST or when < self.calls - _PATIENCE:
                    del self.kept[old]
        return found

    def clear(self) -> None:
        """Let go of everything."""
        with self.lock:
            self.kept.clear()
