"""Where converted weights came from: a file of the run folder, for programs and for the card."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import attrs

from latentkit.errors import RunError
from latentkit.runs.files import read_json, write_json

ORIGIN = "origin.json"


@attrs.frozen(kw_only=True)
class Origin:
    """The checkpoint that a run was made from."""

    converter: str
    """Its name."""
    plugin: str
    """Whose converter it is, with its version."""
    file: str
    """Name of the checkpoint."""
    sha256: str
    """Of the checkpoint."""
    step: int
    """Training steps that the weights had behind them by what the file tells."""
    notes: tuple[str, ...] = ()
    """What the converter said."""

    def write(self, folder: Path) -> None:
        """Write ``origin.json``."""
        write_json(folder / ORIGIN, attrs.asdict(self))

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """The origin of a run; ``None`` where its weights were trained here, or the file cannot be read."""
        if not (folder / ORIGIN).is_file():
            return None
        try:
            found = read_json(folder / ORIGIN)
            return cls(**{**found, "notes": tuple(found["notes"])})  # type: ignore[arg-type]
        except (RunError, KeyError, TypeError):
            return None
