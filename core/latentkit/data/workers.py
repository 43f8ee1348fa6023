"""Processes that read rows, each behind a thread that waits for it; or one thread without a process."""

from __future__ import annotations

import pickle
import warnings
import weakref
from collections import abc
from concurrent.futures import Future, ThreadPoolExecutor

import attrs
import numpy as np

from latentkit.data.lanes import Here, Lane, Process
from latentkit.errors import DataError, LatentkitWarning
from latentkit.interfaces.rows import Pixels, Rows

_MOST_NOTES = 8


def not_negative(who: str) -> abc.Callable[[object, attrs.Attribute[int | None], int | None], None]:
    """A validator of the number of processes of a source."""

    def validate(_: object, field: attrs.Attribute[int | None], value: int | None) -> None:
        if value is not None and value < 0:
            raise DataError(f"{who}: {field.name} must be 0 (decode in this process) or more, found {value}")

    return validate


class Workers:
    """Reads rows in the background.

    Args:
        rows: what is read. Each process gets a copy.
        count: of processes; 0 for a thread of this one.
        owner: when it is gone, the processes end.

    Raises:
        DataError: the rows cannot be sent to another process, or none can be started.
    """

    def __init__(self, rows: Rows, count: int, owner: object) -> None:
        self.notes: list[str] = []
        self._told: set[str] = set()
        packed = _packed(rows) if count else b""
        lanes: list[Lane] = [Process(packed, self.notes) for _ in range(count)] or [Here(rows)]
        self.lanes = [(lane, ThreadPoolExecutor(1, "latentkit-data")) for lane in lanes]
        self.close = weakref.finalize(owner, _close, self.lanes)

    def __len__(self) -> int:
        return len(self.lanes)

    def read(self, lane: int, indices: np.ndarray, places: slice | np.ndarray, out: Pixels) -> Future[None]:
        """Have some of the rows of ``indices`` written to the same places of ``out``, after what was asked for before.

        Args:
            lane: which process does.
            indices: samples, [m].
            places: which of them, as a slice or as numbers.
            out: contiguous uint8 [m, c, h, w].

        Returns:
            what raises a DataError where one cannot be read, or where the process has ended.
        """
        reader, thread = self.lanes[lane]
        return thread.submit(_into, reader, np.ascontiguousarray(indices[places], np.int64), places, out)

    def tell(self) -> None:
        """Pass on warnings of the processes: each once, and of very many some."""
        while self.notes:
            text = self.notes.pop(0)
            if text in self._told or len(self._told) > _MOST_NOTES:
                continue
            full = len(self._told) == _MOST_NOTES
            self._told.add(text)
            text = "data: there are more samples of which this is true, and they are not named" if full else text
            warnings.warn(text, LatentkitWarning, stacklevel=4)


def _into(reader: Lane, indices: np.ndarray, places: slice | np.ndarray, out: Pixels) -> None:
    if isinstance(places, slice):
        reader.read(indices, out[places])
        return
    found = np.empty((len(indices), *out.shape[1:]), np.uint8)
    reader.read(indices, found)
    out[places] = found


def _packed(rows: Rows) -> bytes:
    try:
        return pickle.dumps(rows, pickle.HIGHEST_PROTOCOL)  # for our own processes; nothing is kept of it
    except Exception as error:
        raise DataError(
            f"{type(rows).__name__} cannot be sent to another process ({type(error).__name__}: {error})\n"
            "  keep plain values in it, or let its `workers` be 0"
        ) from error


def _close(lanes: abc.Sequence[tuple[Lane, ThreadPoolExecutor]]) -> None:
    for reader, thread in lanes:
        reader.end()
        try:
            thread.submit(reader.tidy)
            thread.shutdown(wait=False)  # not joined: this may be called by any thread, that one too
        except RuntimeError:  # Python is about to end, and has joined it
            reader.tidy()
