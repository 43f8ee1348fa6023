"""A finished run, as it is returned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from latentkit.model import Model
from latentkit.runs.folder import Folder


@attrs.frozen
class Run:
    """A finished run.

    Attributes:
        path: its folder.
        model: on the averaged weights where the recipe averages.
        metrics: the lines of ``metrics.jsonl`` that training wrote.
        seconds: this call trained for.
    """

    path: Path
    model: Model
    metrics: list[dict[str, Any]]
    seconds: float


def training_lines(folder: Folder) -> list[dict[str, Any]]:
    """The lines of ``metrics.jsonl`` that training wrote, without those of evaluations."""
    return [record for record in folder.records() if "evaluation" not in record]
