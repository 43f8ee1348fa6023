"""What reads rows for one thread: this process, or another one.

A process is started as a plain one and not by ``multiprocessing``, so that it does not import the user's script, and
torch with it. It ends when its standard input does, and so with this process, even where that is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from typing import BinaryIO, Protocol

import numpy as np

from latentkit.data.worker import FAILED, HEAD, NOTE, REFUSED, checked, send
from latentkit.errors import DataError
from latentkit.interfaces.rows import Pixels, Rows

_START = (
    "import sys, json; sys.path[:] = json.loads(sys.stdin.buffer.readline()); "
    "from latentkit.data.worker import main; main()"
)
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_HERE = "\n  --resume continues the run; where the source has the option workers, 0 reads in this process"


class Lane(Protocol):
    """What a lane's thread asks."""

    def read(self, indices: np.ndarray, out: Pixels) -> None:
        """Write these rows."""

    def end(self) -> None:
        """Stop at once, whatever is being read."""

    def tidy(self) -> None:
        """Close what is open, once nothing is being read."""


class Here:
    """Reads in this process."""

    def __init__(self, rows: Rows) -> None:
        self.rows, self.ended = rows, False

    def read(self, indices: np.ndarray, out: Pixels) -> None:
        """Write these rows."""
        if not self.ended:
            out[:] = checked(self.rows, indices)

    def end(self) -> None:
        """Stop at once."""
        self.ended = True

    def tidy(self) -> None:
        """Nothing is open."""


class Process:
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
        """Have these rows written.

        Raises:
            DataError: one cannot be read, or the process has ended.
        """
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
        """Stop at once."""
        self.process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(1)

    def tidy(self) -> None:
        """Close what it was talked to by."""
        for pipe in self.pipes:
            with contextlib.suppress(OSError):
                pipe.close()


def _filled(pipe: BinaryIO, out: Pixels) -> bool:
    """Whether as many bytes came as fit in."""
    view, done = out.data.cast("B"), 0
    while done < len(view):
        count = pipe.readinto(view[done:])  # type: ignore[attr-defined]
        if not count:
            return False
        done += count
    return True
