"""Parts with dropout draw from torch's default generators: theirs while a run goes on, then as they were before."""

from __future__ import annotations

import contextlib
from collections import abc

import torch

from latentkit.engine.streams import key_seed, restore_generators
from latentkit.engine.training import Training


def seed_default_generators(training: Training) -> None:
    """Put torch's default generators where the training needs them, if it has parts that draw by themselves."""
    if training.stochastic and training.generators:
        restore_generators(training.generators)
    elif training.stochastic:
        torch.manual_seed(key_seed(training.seed, "default"))


@contextlib.contextmanager
def own_randomness(training: Training) -> abc.Iterator[None]:
    """Default generators are the training's own for a while."""
    if not training.stochastic:
        yield
        return
    devices = [training.device] if training.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        seed_default_generators(training)
        yield
