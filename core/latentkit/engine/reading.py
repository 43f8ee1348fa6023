"""Batches that are read ahead of the step that wants them."""

from __future__ import annotations

import itertools
import time
from collections import abc, deque
from concurrent.futures import Future

import numpy as np
import torch
from torch import Tensor

from latentkit._machine import own_cores
from latentkit.data.workers import Workers
from latentkit.interfaces.rows import Rows

DEPTH = 4
"""Batches that are read ahead."""
_HISTORY = 33
_MOST_WORKERS = 8

Wanted = abc.Callable[[int], tuple[np.ndarray, np.ndarray | None]]
"""By position: the samples of a batch, and which of them are read by the same process."""


class Reader:
    """Reads batches of rows in the background, those that will probably be asked for next.

    What is asked for otherwise is read then. The batch that was taken last and ``DEPTH`` more are in memory, and what
    the processes are reading.

    Args:
        rows: what is read.
        wanted: the samples of a position.
        device: where batches go; for a GPU they are in memory that it can read by itself.
    """

    def __init__(self, rows: Rows, wanted: Wanted, device: torch.device) -> None:
        self.rows, self.wanted, self.device = rows, wanted, device
        self.workers: Workers | None = None
        self.ahead: dict[int, tuple[Tensor, list[Future[None]]]] = {}
        self.seen: deque[int] = deque(maxlen=_HISTORY)
        self.last: Tensor | None = None
        self.waited = 0.0
        """Seconds that batches were waited for."""

    def take(self, position: int) -> Tensor:
        """The images of a batch, uint8 [b, c, h, w], in main memory.

        Raises:
            DataError: one cannot be read; a process that reads has ended.
        """
        if self.last is not None and self.seen[-1] == position:
            return self.last
        start = time.perf_counter()
        self.seen.append(position)
        coming = following(self.seen, DEPTH)
        for old in self.ahead.keys() - {position, *coming}:
            for task in self.ahead.pop(old)[1]:
                task.cancel()
        for at in (position, *coming):
            if at not in self.ahead:
                self.ahead[at] = self._begun(at)
        images, tasks = self.ahead.pop(position)
        try:
            for task in tasks:
                task.result()
        except BaseException:
            self.close()
            raise
        if self.workers is not None:
            self.workers.tell()
        self.waited += time.perf_counter() - start
        self.last = images
        return images

    def close(self) -> None:
        """End the processes. What is asked for later starts new ones."""
        if self.workers is not None:
            self.workers.close()
        self.workers = None
        self.ahead.clear()
        self.last = None

    def _begun(self, position: int) -> tuple[Tensor, list[Future[None]]]:
        if self.workers is None:
            count = self.rows.workers
            self.workers = Workers(self.rows, sensible_workers() if count is None else count, self)
        indices, runs = self.wanted(position)
        images = self._room(len(indices))
        shares = enumerate(_pieces(indices, runs, len(self.workers)))
        return images, [
            self.workers.read(lane, indices, places, images.numpy()) for lane, places in shares if places is not None
        ]

    def _room(self, count: int) -> Tensor:
        shape = (count, *self.rows.shape[1:])
        if self.device.type != "cuda":
            return torch.empty(shape, dtype=torch.uint8)
        with torch.cuda.device(self.device):  # or else a context would be made on the first of several GPUs too
            return torch.empty(shape, dtype=torch.uint8, pin_memory=True)


def _pieces(indices: np.ndarray, runs: np.ndarray | None, count: int) -> list[slice | np.ndarray | None]:
    """The places of a batch by process, equally many, or so that a shard is read by one of them."""
    if runs is None:
        ends = np.linspace(0, len(indices), count + 1).astype(int).tolist()
        return [slice(start, end) if end > start else None for start, end in itertools.pairwise(ends)]
    found = [np.flatnonzero(runs % count == lane) for lane in range(count)]
    return [places if len(places) else None for places in found]


def following(seen: abc.Sequence[int], count: int) -> list[int]:
    """Positions that probably come next: differences as they have come so far, in turns, else one after the other."""
    steps = [after - before for before, after in itertools.pairwise(seen)]
    period = next((p for p in range(1, len(steps) // 2 + 1) if steps[p:] == steps[:-p]), 0)
    found: list[int] = []
    position = seen[-1]
    for turn in range(4 * count):
        position += steps[len(steps) - period + turn % period] if period else 1
        if position >= 0 and position not in found and position != seen[-1]:
            found.append(position)
        if len(found) == count:
            break
    return found


def sensible_workers() -> int:
    """Half of this process's share of the cores, at least 1: training wants some too."""
    return max(1, min(_MOST_WORKERS, own_cores() // 2))
