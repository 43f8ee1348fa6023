"""Curves and samples for TensorBoard (extra ``tensorboard``)."""

from __future__ import annotations

import math
from collections import abc
from typing import TYPE_CHECKING

import attrs
import numpy as np

from latentkit import pictures
from latentkit.errors import RunError
from latentkit.events import Event
from latentkit.hooks import hookimpl
from latentkit.interfaces.observers import Observer
from latentkit.runs.folder import Folder
from latentkit.runs.loading import model_of
from latentkit.runs.observing import SAMPLES, as_array, can_sample, value_range

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FOLDER = "tensorboard"


@attrs.define(slots=False, eq=False)
class TensorBoard(Observer):
    """Writes losses, monitored values, the recipe and samples for TensorBoard, into the run's folder ``tensorboard``.

    Raises:
        RunError: the package tensorboard is not installed.
    """

    def __attrs_post_init__(self) -> None:
        _writer_type()  # says that it is missing before a run begins
        self.writer: SummaryWriter | None = None

    @hookimpl
    def latentkit_run_started(self, event: Event) -> None:
        """Opens the event file; of a continued run, what came after its checkpoint is hidden."""
        folder = event.path / FOLDER
        again = event.step + 1 if event.step else None
        self.writer = _writer_type()(str(folder), purge_step=again)
        if again is None:
            text = Folder(event.path).recipe.read_text(encoding="utf-8")
            self.writer.add_text("recipe", f"```toml\n{text}\n```", 0)

    @hookimpl
    def latentkit_evaluated(self, event: Event, figures: abc.Mapping[str, float]) -> None:
        """One point per curve; ``phase.term`` becomes ``phase/term``, so that phases are groups."""
        for name, value in figures.items():
            if self.writer is not None and math.isfinite(value):
                self.writer.add_scalar(name.replace(".", "/"), value, event.step)

    @hookimpl
    def latentkit_checkpointed(self, event: Event) -> None:
        """What was logged is on disk as far as the run is."""
        if self.writer is not None:
            self.writer.flush()

    @hookimpl
    def latentkit_run_finished(self, event: Event) -> None:
        """A grid of samples, and the end of the file."""
        if self.writer is None:
            return
        model = model_of(event.training)
        if can_sample(model):
            image = pictures.grid(as_array(model.sample(SAMPLES, seed=0)), value_range(model))
            self.writer.add_image("samples", np.asarray(image.convert("RGB")), event.step, dataformats="HWC")
        self.writer.close()


def _writer_type() -> type[SummaryWriter]:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise RunError(
            f"observer 'core.tensorboard' needs the package tensorboard ({error}); "
            "install it with: pip install 'latentkit[tensorboard]'"
        ) from None
    return SummaryWriter
