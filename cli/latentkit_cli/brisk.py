"""For commands that import much, compute little and end: no garbage collection, which takes a third of their time."""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
from collections import abc


@contextlib.contextmanager
def brisk() -> abc.Iterator[None]:
    """No garbage collection meanwhile; nor at the end of the process, for what is there by then."""
    enabled = gc.isenabled()
    gc.disable()
    _at_exit()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@functools.cache
def _at_exit() -> None:
    atexit.register(gc.freeze)
