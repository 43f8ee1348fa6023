"""What lifecycle hooks are told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from latentkit.engine.training import Training


@attrs.frozen
class Event:
    """Where a run stands. ``training`` gives access to everything; reading from the device waits for it."""

    path: Path
    name: str
    step: int
    steps: int
    images: int
    training: Training
