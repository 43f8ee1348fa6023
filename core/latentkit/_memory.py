"""How much memory there is, so that what cannot fit is refused before it is tried."""

from __future__ import annotations

import functools
import os
from pathlib import Path

_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@functools.cache
def machine_memory() -> int:
    """Bytes of main memory that this process may have: the machine's, or its container's. A large number if unknown."""
    try:
        found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    except (AttributeError, ValueError, OSError):
        found = [1 << 40]
    for file in _LIMITS:
        try:
            text = Path(file).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            continue
        found += [int(text)] if text.isdecimal() else []
    return min(found)


def in_units(size: float) -> str:
    """Bytes as a person reads them: ``"4.0 TB"``."""
    for unit in ("B", "kB", "MB", "GB", "TB", "PB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.3g} EB"
