"""Which of several processes says what: a failure that all of them meet is told once, by the first one."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections import abc
from pathlib import Path

from latentkit.engine.joining import Unmet, board
from latentkit.engine.launching import launched, rank, size
from latentkit.engine.world import ADVICE, OtherEnded

_LISTENING = 2.0
"""Seconds in which all meet a failure that all of them meet."""
_SAYING = 0.5
"""Seconds for the one that says it: ``torchrun`` ends all as soon as one has ended."""
_OWN, _LEFT = "failed", "left"
"""Whether a process has met a failure itself, or was left by another one."""


def own_words(failure: BaseException, text: str) -> str:
    """What this process is to say of a failure; empty where another one says it.

    Args:
        failure: ends this process.
        text: what one process alone would say of it.
    """
    if not launched():
        return text
    named = f"process {rank()}: {text}" if rank() else text
    words = named
    if not isinstance(failure, Unmet):  # otherwise nobody can be asked
        with contextlib.suppress(Unmet, RuntimeError):  # where they meet is gone, too
            words = _left(text) if isinstance(failure, OtherEnded) else _failed(text, named)
    if words:
        _for_torchrun(words)
    else:
        time.sleep(_SAYING)
    return words


def _failed(text: str, named: str) -> str:
    board().set(f"{_OWN} {rank()}", text)
    if rank() == 0:
        return text
    first = _first_of([f"{_OWN} 0"])
    return "" if first is not None and board().get(first).decode() == text else named


def _left(text: str) -> str:
    board().set(f"{_LEFT} {rank()}", "")
    if rank() == 0:
        guilty = [other for other in range(1, size()) if board().check([f"{_OWN} {other}"])]
        return f"process {guilty[0]} of this run has ended, and its own message says why; {ADVICE}" if guilty else text
    # The first one says either what it has met itself, or that another one has ended. It may be the one.
    lower = [f"{kind} {other}" for other in range(rank()) for kind in (_OWN, _LEFT)]
    return "" if _first_of(lower) is not None else text


def _first_of(keys: abc.Sequence[str]) -> str | None:
    """The first of these to be on the board, within a time."""
    until = time.monotonic() + _LISTENING
    while time.monotonic() < until:
        for key in keys:
            if board().check([key]):
                return key
        time.sleep(0.02)
    return None


def _for_torchrun(text: str) -> None:
    """Leave the message where ``torchrun`` looks for it; its summary ends with that."""
    file = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if file:
        known = {"message": text, "extraInfo": {"timestamp": str(int(time.time()))}}
        with contextlib.suppress(OSError):
            Path(file).write_text(json.dumps({"message": known}), encoding="utf-8")
