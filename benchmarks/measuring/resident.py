"""Memory that is taken while something is done."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import resource
from collections import abc
from pathlib import Path

import torch

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def given_back() -> None:
    """Return to the system what nothing holds."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def added(work: abc.Callable[[], object], device: str = "cpu") -> float:
    """MiB that are taken at most while it runs, beyond those before."""
    given_back()
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    with contextlib.suppress(OSError):  # without it the most of the whole process so far, which may be more
        RESET.write_text("5", encoding="ascii")
    before_resident = _status("VmRSS")
    work()
    return _status("VmHWM") - before_resident


def _status(key: str) -> float:
    """MiB of a line of the process's status."""
    if not STATUS.is_file():  # not Linux: the most so far, for want of more
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    (line,) = (line for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith(key))
    return int(line.split()[1]) / 2**10
