"""Where the checks of one plugin happen: its registry, its examples, and a folder for files."""

from __future__ import annotations

import contextlib
import functools
import random
import shutil
import tempfile
import weakref
from collections import abc
from pathlib import Path

import numpy as np
import torch

from latentkit.registry.manager import Registry
from latentkit.testing.examples import Example, examples_of
from latentkit.testing.stand_ins import with_stand_ins


class Workplace:
    """What the checks of one plugin share.

    Attributes:
        registry: of what is installed, with stand-ins for data and networks.
        plugin: the plugin's name.
    """

    def __init__(self, registry: Registry, plugin: str) -> None:
        self.registry, self.plugin = with_stand_ins(registry), plugin

    @functools.cached_property
    def folder(self) -> Path:
        """For files; gone when the workplace is."""
        path = Path(tempfile.mkdtemp(prefix="latentkit-testing-"))
        weakref.finalize(self, shutil.rmtree, path, ignore_errors=True)
        return path

    @functools.cached_property
    def examples(self) -> dict[str, Example]:
        """What the plugin's authors give.

        Raises:
            Nonconforming: the plugin fails when it is asked.
        """
        return examples_of(self.registry, self.plugin, self.folder)

    def example(self, bare: str) -> Example:
        """Of one component or recipe; an empty one where there is none."""
        return self.examples.get(bare, Example())


@contextlib.contextmanager
def seeded(seed: int = 0) -> abc.Iterator[None]:
    """All global generators at a seed, and afterwards as they were."""
    numbers, legacy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed)
            yield
    finally:
        random.setstate(numbers)
        np.random.set_state(legacy)


def global_draws() -> tuple[object, ...]:
    """Where the global generators of torch, numpy and Python stand, to be compared with ``==``."""
    words = np.random.get_state(legacy=True)
    legacy = (words[1].tobytes(), words[2]) if isinstance(words, tuple) else ()
    return torch.get_rng_state().numpy().tobytes(), *legacy, random.getstate()
