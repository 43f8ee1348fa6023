"""Observers that every run has: the metrics file and the pictures. They use the same hooks as anyone's."""

from __future__ import annotations

import json
import math
from collections import abc
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from latentkit import pictures
from latentkit.engine.batches import Samples
from latentkit.errors import DataError
from latentkit.events import Event
from latentkit.hooks import hookimpl
from latentkit.model import Model
from latentkit.runs.files import append_line
from latentkit.runs.folder import Folder
from latentkit.runs.loading import model_of
from latentkit.wiring.graph import ancestors

SAMPLES, RECONSTRUCTIONS = 64, 16


class MetricsFile:
    """Appends what has been read from the device to ``metrics.jsonl``."""

    @hookimpl
    def latentkit_evaluated(self, event: Event, figures: abc.Mapping[str, float]) -> None:
        """One line per reading."""
        known = {name: value if math.isfinite(value) else None for name, value in figures.items()}  # JSON has no nan
        line = json.dumps({"step": event.step, "images": event.images, **known})
        append_line(Folder(event.path).metrics, line)


class Pictures:
    """Samples and reconstructions as PNG, every ``train.sample_every`` steps and at the end."""

    def __init__(self, samples: abc.Mapping[str, Samples], every: int) -> None:
        self.samples, self.every = samples, every

    @hookimpl
    def latentkit_step_done(self, event: Event) -> None:
        """Pictures in between."""
        if self.every and event.step % self.every == 0 and event.step < event.steps:
            self.draw(event)

    @hookimpl
    def latentkit_run_finished(self, event: Event) -> None:
        """Pictures at the end."""
        self.draw(event)

    def draw(self, event: Event) -> None:
        """Write what the model can show."""
        training = event.training
        try:
            write_pictures(model_of(training), Folder(event.path), self.held_out())
        except DataError as error:
            raise error.__cause__ or error from None  # a full disk ends the run as it does for every other file
        finally:
            training.system.train()

    def held_out(self) -> Tensor | None:
        """A few images that were not trained on (the first ones where nothing is held out)."""
        for samples in self.samples.values():
            for value, field in samples.spec.gives.items():
                if field == "image":
                    rest = samples.held_out if len(samples.held_out) else samples.training
                    return samples.field(value, rest[:RECONSTRUCTIONS], torch.float32)
        return None


def write_pictures(model: Model, folder: Folder, images: Tensor | None) -> list[Path]:
    """Write a grid of samples and pairs of originals and reconstructions; returns the files."""
    written = []
    if can_sample(model):
        path = folder.picture("samples", model.step)
        image = pictures.grid(as_array(model.sample(SAMPLES, seed=0)), value_range(model))
        pictures.save_png(image, path)
        written.append(path)
    if "reconstruct" in model.roles and images is not None:
        path = folder.picture("reconstructions", model.step)
        rebuilt = model.reconstruct(images.to(model.device, model.dtype))
        pair = pictures.pairs(as_array(images), as_array(rebuilt), value_range(model))
        pictures.save_png(pair, path)
        written.append(path)
    return written


def can_sample(model: Model) -> bool:
    """Whether the model makes images from draws alone."""
    role = model.wiring.inference.get("sample")
    return role is not None and not any(node.is_source("data") for node in ancestors([role]))


def as_array(images: Tensor) -> np.ndarray:
    """Images as float32 [n, c, h, w] on the CPU."""
    return images.detach().float().cpu().contiguous().numpy()


def value_range(model: Model) -> tuple[float, float]:
    """The value range of the model's images."""
    found = model.image_space.range
    return found if isinstance(found, tuple) else (-1.0, 1.0)
