"""Processes that read rows, each behind a thread that waits for it; or one thread without a process.

A process is started as a plain one and not by ``multiprocessing``, so that it does not import the user's script, and
torch with it. It ends when its standard input does, and so with this process, even where that is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import warnings
import weakref
from collections import abc
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO, Protocol

import attrs
import numpy as np

from latentkit.data.worker import FAILED, HEAD, NOTE, REFUSED, checked, send
from latentkit.errors import DataError, LatentkitWarning
from latentkit.interfaces.rows import Pixels, Rows

_MOST_NOTES = 8
_START = (
    "import sys, json; sys.path[:] = json.loads(sys.stdin.buffer.readline()); "
    "from latentkit.data.worker import main; main()"
)
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def not_negative(who: str) -> abc.Callable[[object, attrs.Attribute[int | None], int | None], None]:
    """A validator of the number of processes of a source."""

    def validate(_: object, field: attrs.Attribute[int | None], value: int | None) -> None:
        if value is not None and value < 0:
            raise DataError(f"{who}: {field.name} must be 0 (decode in this process) or more, found {value}")

    return validate


class _Reader(Protocol):
    """What a lane's thread asks."""

    def read(self, indices: np.ndarray, out: Pixels) -> None:
        """Write these rows."""

    def end(self) -> None:
        """Stop at once, whatever is being read."""

    def tidy(self) -> None:
        """Close what is open, once nothing is being read."""


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
        lanes: list[_Reader] = [_Process(packed, self.notes) for _ in range(count)] or [_Here(rows)]
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


def _into(reader: _Reader, indices: np.ndarray, places: slice | np.ndarray, out: Pixels) -> None:
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


def _close(lanes: abc.Sequence[tuple[_Reader, ThreadPoolExecutor]]) -> None:
    for reader, thread in lanes:
        reader.end()
        try:
            thread.submit(reader.tidy)
            thread.shutdown(wait=False)  # not joined: this may be called by any thread, that one too
        except RuntimeError:  # Python is about to end, and has joined it
            reader.tidy()


class _Here:
    """Reads in this process."""

    def __init__(self, rows: Rows) -> None:
        self.rows, self.ended = rows, False

    def read(self, indices: np.ndarray, out: Pixels) -> None:
        if not self.ended:
            out[:] = checked(self.rows, indices)

    def end(self) -> None:
        self.ended = True

    def tidy(self) -> None:
        pass


class _Process:
    """Has another process read."""

    def __init__(self, packed: bytes, notes: list[str]) -> None:
        self.packed: bytes | None = packed
        self.notes = notes
        environment = {**os.environ, **_ONE_THREAD}
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-c", _START], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
            )
        except OSError as error:
            raise DataError(f"data: a process that reads data cannot be started: {error.strerror}{_HERE}") from error

    @property
    def pipes(self) -> tuple[BinaryIO, BinaryIO]:
        """To the process and from it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        return self.process.stdin, self.process.stdout  # type: ignore[return-value]

    def read(self, indices: np.ndarray, out: Pixels) -> None:
        requests, answers = self.pipes
        try:
            if self.packed is not None:
                requests.write(json.dumps(sys.path).encode() + b"\n")
                send(requests, 0, self.packed)
                self.packed = None
            send(requests, 0, indices.data.cast("B"))
        except (OSError, ValueError):  # it is gone; what it has said before may tell why
            pass
        while (head := answers.read(HEAD.size)) and len(head) == HEAD.size:
            kind, length = HEAD.unpack(head)
            if kind not in (NOTE, REFUSED, FAILED):
                if _filled(answers, out):
                    return
                break
            text = answers.read(length).decode(errors="replace")
            if kind != NOTE:
                raise DataError(text if kind == REFUSED else f"data: reading failed in another process\n{text}")
            self.notes.append(text)
        raise DataError(self._ended())

    def _ended(self) -> str:
        try:
            code = self.process.wait(1)
        except subprocess.TimeoutExpired:
            code = 0
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit status {code}"
        return f"data: a process that reads data was ended ({how}): by somebody, or for want of memory{_HERE}"

    def end(self) -> None:
        self.process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(1)

    def tidy(self) -> None:
        for pipe in self.pipes:
            with contextlib.suppress(OSError):
                pipe.close()


_HERE = "\n  --resume continues the run; where the source has the option workers, 0 reads in this process"


def _filled(pipe: BinaryIO, out: Pixels) -> bool:
    """Whether as many bytes came as fit in."""
    view, done = out.data.cast("B"), 0
    while done < len(view):
        count = pipe.readinto(view[done:])  # type: ignore[attr-defined]
        if not count:
            return False
        done += count
    return True
