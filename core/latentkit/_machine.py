"""What this machine computes with: how exact, how many cores. Measured when it is asked for, and then remembered."""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections import abc
from pathlib import Path

import torch

_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_PROBED = 0.1
"""Seconds; several of the time slices that processes take turns in."""


@functools.cache
def medium_error() -> float:
    """Relative error of torch's medium float32 matrix products on this CPU."""
    numbers = torch.Generator().manual_seed(0)
    a, b = torch.randn(256, 1024, generator=numbers), torch.randn(1024, 256, generator=numbers)
    exact = a.double() @ b.double()
    with products("medium"):
        return float((a @ b - exact).norm() / exact.norm())


@contextlib.contextmanager
def products(precision: str) -> abc.Iterator[None]:
    """Torch's global precision of float32 matrix products, for a while."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def cores() -> int:
    """Cores that this process may use: of the machine, of its container, and of those that it is bound to."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        quota, period = _QUOTA.read_text(encoding="ascii").split()
        found = min(found, max(1, int(quota) // int(period)))
    return found


def own_cores() -> int:
    """This process's share of the cores, where ``torchrun`` has started several on this machine; at least 1."""
    return max(1, cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


@functools.cache
def free_cores() -> int:
    """This process's share of the cores, less those that others are using; at least 1.

    Two threads that wait for each other beside another busy process can be slower by far than one.
    """
    share = own_cores()
    return share if share == 1 else max(1, min(share, round(_obtained(share))))


def _obtained(threads: int) -> float:
    """Seconds of processor time a second that so many busy threads get."""
    before, matrix = torch.get_num_threads(), torch.ones(512, 512)
    torch.set_num_threads(threads)
    try:
        matrix @ matrix
        used, start = time.process_time(), time.perf_counter()
        while time.perf_counter() - start < _PROBED:
            matrix @ matrix
        return (time.process_time() - used) / (time.perf_counter() - start)
    finally:
        torch.set_num_threads(before)


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 by itself."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type != "cpu" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
