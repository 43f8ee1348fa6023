"""Whether images are read when they are wanted, or all before the first batch."""

from __future__ import annotations

import math
from typing import Literal

from latentkit._memory import machine_memory

Stream = Literal["auto", "always", "never"]
STREAM: tuple[Stream, ...] = ("auto", "always", "never")
_SHARE = 4


def streams(stream: Stream, shape: tuple[int, ...], most: int | None = None) -> bool:
    """``auto``: where uint8 images of this shape would take more than a quarter of the memory, or are very many."""
    if stream == "auto":
        return math.prod(shape) > machine_memory() // _SHARE or (most is not None and shape[0] > most)
    return stream == "always"
