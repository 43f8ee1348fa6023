"""What ``torchrun`` tells the processes that it starts. Nothing here imports torch."""

from __future__ import annotations

import os


def launched() -> bool:
    """Whether ``torchrun`` has started this process together with others."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


def rank() -> int:
    """Of this process, from 0."""
    return int(os.environ["RANK"]) if launched() else 0


def size() -> int:
    """Number of processes."""
    return int(os.environ["WORLD_SIZE"]) if launched() else 1


def follows() -> bool:
    """Whether another process than this one writes and talks."""
    return rank() > 0


def restarted() -> bool:
    """Whether ``torchrun`` has started the processes again, after one of them had ended."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


def several_machines() -> bool:
    """Whether not all processes are on this one."""
    return launched() and int(os.environ.get("LOCAL_WORLD_SIZE", size())) != size()


def echoes() -> bool:
    """Whether another process on this machine was given the same command line, and says what is wrong with it."""
    return launched() and os.environ.get("LOCAL_RANK", "0") != "0"
