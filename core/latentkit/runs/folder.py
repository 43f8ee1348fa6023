"""The run folder: what is in it and where."""

from __future__ import annotations

import json
from collections import abc
from pathlib import Path
from typing import Any

import attrs

from latentkit.errors import RunError
from latentkit.recipe.writing import to_toml
from latentkit.runs.checkpoint import STATE, TENSORS
from latentkit.runs.files import remove_leftovers, write_atomically

RECIPE, MODEL, METRICS, CARD = "recipe.toml", "model.safetensors", "metrics.jsonl", "card.md"


@attrs.frozen
class Folder:
    """Paths of a run."""

    path: Path

    @property
    def recipe(self) -> Path:
        """The resolved recipe."""
        return self.path / RECIPE

    @property
    def model(self) -> Path:
        """Weights that inference uses."""
        return self.path / MODEL

    @property
    def metrics(self) -> Path:
        """One JSON object per line: step, images, terms."""
        return self.path / METRICS

    def picture(self, kind: str, step: int) -> Path:
        """``samples/00001000.png``."""
        folder = self.path / kind
        folder.mkdir(exist_ok=True)
        return folder / f"{step:08d}.png"

    def create(self) -> None:
        """Make the folder.

        Raises:
            RunError: it exists and is not empty, or cannot be made.
        """
        if self.path.is_dir():
            remove_leftovers(self.path)  # of a run that was killed before it had written anything
        if self.path.is_dir() and any(self.path.iterdir()):
            raise RunError(
                f"{self.path}: the folder is not empty; continue the run in it with --resume, or choose another --out"
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"{self.path}: cannot be made ({error.strerror})") from None

    def write_recipe(self, tables: abc.Mapping[str, object], versions: abc.Mapping[str, str]) -> str:
        """Write the resolved recipe; returns its text."""
        header = ", ".join(f"{name} {version}" for name, version in versions.items())
        text = f"# Resolved recipe. Made with {header}.\n\n{to_toml(tables)}"
        write_atomically(self.recipe, text.encode())
        return text

    def records(self) -> list[dict[str, Any]]:
        """The lines of ``metrics.jsonl``; a half-written last line is left out."""
        if not self.metrics.is_file():
            return []
        found = []
        for line in self.metrics.read_text(encoding="utf-8").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                break
        return found

    def cut_metrics(self, step: int, log_every: int) -> None:
        """Drop the lines after a step, which a continued run writes again, and the extra line of the run's old end."""
        kept = [
            record
            for record in self.records()
            if record.get("step", 0) <= step and ("evaluation" in record or record["step"] % log_every == 0)
        ]
        write_atomically(self.metrics, "".join(json.dumps(record) + "\n" for record in kept).encode())

    def is_run(self) -> bool:
        """Whether this looks like a run folder."""
        return self.recipe.is_file()

    def has_checkpoint(self) -> bool:
        """Whether there is anything to continue from."""
        return (self.path / TENSORS).is_file() or (self.path / STATE).is_file() or (self.path / "checkpoints").is_dir()


def default_folder(name: str, root: Path | None = None) -> Path:
    """``runs/RECIPE-NN``, the first number that is free."""
    base = (root or Path.cwd()) / "runs"
    number = 1
    while (base / f"{name}-{number:02d}").exists():
        number += 1
    return base / f"{name}-{number:02d}"
