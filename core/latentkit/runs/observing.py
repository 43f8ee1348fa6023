"""Observers that every run has: the metrics file and the pictures. They use the same hooks as anyone's."""

from __future__ import annotations

import json
import math
from collections import abc
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from latentkit import pictures
from latentkit.engine.training import Training
from latentkit.errors import DataError
from latentkit.evaluation.subjects import data_needed
from latentkit.events import Event
from latentkit.hooks import hookimpl
from latentkit.model import Model
from latentkit.runs.files import append_line
from latentkit.runs.folder import Folder
from latentkit.runs.loading import model_of

SAMPLES, RECONSTRUCTIONS = 64, 16
ROLES = ("sample", "encode", "code", "decode", "reconstruct", "features")
"""Roles that have a use of their own."""


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

    def __init__(self, every: int) -> None:
        self.every = every

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
            write_pictures(model_of(training), Folder(event.path), held_out(training))
        except DataError as error:
            raise error.__cause__ or error from None  # a full disk ends the run as it does for every other file
        finally:
            training.system.train()


def held_out(training: Training) -> dict[str, Tensor]:
    """By value, a few images that are not trained on (the first ones where nothing is held out)."""
    found = {}
    for batches in training.data.values():
        samples = batches.samples
        rest = samples.held_out if len(samples.held_out) else samples.training
        for value, field in samples.spec.gives.items():
            if field == "image":
                found[value] = samples.field(value, rest[:RECONSTRUCTIONS], torch.float32)
    return found


def write_pictures(model: Model, folder: Folder, images: abc.Mapping[str, Tensor]) -> list[Path]:
    """Write a grid of samples, and pairs of originals and what the roles make of them; returns the files.

    Args:
        model: what draws.
        folder: the run, in which each kind of picture has a folder.
        images: by value of the data, [n, c, h, w].
    """
    drawn: dict[str, Image.Image] = {}
    if can_sample(model):
        drawn["samples"] = pictures.grid(as_array(model.sample(SAMPLES, seed=0)), value_range(model))
    if "reconstruct" in model.roles and images:
        original = next(iter(images.values()))
        rebuilt = model.reconstruct(original.to(model.device, model.dtype))
        drawn["reconstructions"] = pictures.pairs(as_array(original), as_array(rebuilt), value_range(model))
    for role, value in translations(model).items():
        if value in images:
            original = images[value]
            given = {value: original.to(model.device, model.dtype)}
            made = model.values([model.wiring.inference[role]], len(original), given=given)[0]
            drawn[role] = pictures.pairs(as_array(original), as_array(made), value_range(model))
    written = []
    for kind, picture in drawn.items():
        written.append(folder.picture(kind, model.step))
        pictures.save_png(picture, written[-1])
    return written


def translations(model: Model) -> dict[str, str]:
    """Roles of the recipe's own that make an image of an image of the same size, and the value that each reads."""
    spaces, found = model.wiring.spaces, {}
    for role, node in model.wiring.inference.items():
        needed = data_needed([node])
        if role in ROLES or len(needed) != 1 or spaces[node].kind != "image":
            continue
        (value,) = needed
        if spaces[node].dims == model.wiring.data_spaces[value].dims:
            found[role] = value
    return found


def can_sample(model: Model) -> bool:
    """Whether the model makes images from draws alone."""
    role = model.wiring.inference.get("sample")
    return role is not None and not data_needed([role])


def as_array(images: Tensor) -> np.ndarray:
    """Images as float32 [n, c, h, w] on the CPU."""
    return images.detach().float().cpu().contiguous().numpy()


def value_range(model: Model) -> tuple[float, float]:
    """The value range of the model's images."""
    found = model.image_space.range
    return found if isinstance(found, tuple) else (-1.0, 1.0)
