"""What runs in a process that reads data: it answers requests for rows until there are no more.

The other end is :mod:`latentkit.data.workers`. Nothing here imports torch.
"""

from __future__ import annotations

import os
import pickle
import signal
import struct
import sys
import traceback
import warnings
from typing import BinaryIO

import numpy as np

from latentkit.errors import DataError, LatentkitError
from latentkit.interfaces.rows import Pixels, Rows

HEAD = struct.Struct("<BQ")
"""Before each message: what it is, and its length in bytes."""
ROWS, NOTE, REFUSED, FAILED = range(4)
"""Rows as bytes; a warning, more follows; the text of a DataError; that of anything else."""


def send(pipe: BinaryIO, kind: int, content: bytes | memoryview) -> None:
    """Write a message."""
    pipe.write(HEAD.pack(kind, len(content)))
    pipe.write(content)
    pipe.flush()


def received(pipe: BinaryIO) -> bytes | None:
    """The next message, or nothing where the other end is closed."""
    head = pipe.read(HEAD.size)
    if len(head) < HEAD.size:
        return None
    length = HEAD.unpack(head)[1]
    content = pipe.read(length)
    return content if len(content) == length else None


def main() -> None:
    """Read rows for the process at the other end of standard input and output; end when that does, however it does."""
    # A signal to the whole group asks that process to save and stop, for which it may need more rows.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a reader prints is no answer
    try:
        _serve(sys.stdin.buffer, answers)
    except BrokenPipeError:
        pass
    finally:
        os._exit(0)  # without flushing to a process that is gone


def _serve(requests: BinaryIO, answers: BinaryIO) -> None:
    content = received(requests)
    try:
        rows: Rows = pickle.loads(content or b"")  # from the process that has started this one
    except Exception as error:
        send(answers, FAILED, f"{type(error).__name__}: {error}".encode())
        return
    while (request := received(requests)) is not None:
        with warnings.catch_warnings(record=True) as noted:
            warnings.simplefilter("always")
            kind, answer = _answer(rows, np.frombuffer(request, np.int64))
        for note in noted:
            send(answers, NOTE, str(note.message).encode())
        send(answers, kind, answer)


def _answer(rows: Rows, indices: np.ndarray) -> tuple[int, bytes | memoryview]:
    try:
        return ROWS, checked(rows, indices).data.cast("B")
    except LatentkitError as error:
        return REFUSED, str(error).encode()
    except Exception:
        return FAILED, traceback.format_exc().encode()


def checked(rows: Rows, indices: np.ndarray) -> Pixels:
    """Some rows, contiguous and not empty.

    Raises:
        DataError: they are not of the type and shape that was promised.
    """
    found = rows.rows(indices)
    wanted = (len(indices), *rows.shape[1:])
    if found.dtype != np.uint8 or found.shape != wanted:
        what = f"expected uint8 {list(wanted)}, found {found.dtype} {list(found.shape)}"
        raise DataError(f"{type(rows).__name__}.rows(): {what}")
    return np.ascontiguousarray(found)
