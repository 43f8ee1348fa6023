"""Toy components in a registry of their own, and trainings of the toy systems."""

from __future__ import annotations

import importlib.util
import sys
from collections import abc
from pathlib import Path
from types import ModuleType

import pytest
import torch

from latentkit._building import RecipeLike, wired
from latentkit.engine.batches import open_samples
from latentkit.engine.training import Training
from latentkit.recipe.source import read
from latentkit.registry.catalogue import read_catalogue, shipped_catalogue
from latentkit.registry.manager import Registry
from latentkit.settings import Settings

HERE = Path(__file__).parent
SYSTEMS = HERE / "systems"
Start = abc.Callable[..., Training]


@pytest.fixture(scope="session")
def toys() -> ModuleType:
    """The module of the toy components, which no test can import by name."""
    spec = importlib.util.spec_from_file_location("latentkit_toys", HERE / "toys.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where attrs looks types up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def registry(toys: ModuleType) -> Registry:
    """What ships, and the toys."""
    registry = Registry(read_catalogue(shipped_catalogue()), ())
    registry.add("toy", toys.Plugin(), "tests", "0")
    assert not registry.plugins["toy"].fault
    return registry


@pytest.fixture
def start(registry: Registry) -> Start:
    """Begins the training of a toy system (by name, or by tables)."""

    def begin(
        recipe: RecipeLike, overrides: abc.Mapping[str, object] | None = None, precision: str = "float32"
    ) -> Training:
        known = isinstance(recipe, str) and not recipe.endswith(".toml")
        wiring = wired(SYSTEMS / f"{recipe}.toml" if known else recipe, overrides, registry)
        samples = {name: open_samples(name, wiring.recipe.data[name], source) for name, source in wiring.data.items()}
        return Training(wiring, registry, samples, Settings(precision=precision))  # type: ignore[arg-type]

    return begin


@pytest.fixture
def tables() -> abc.Callable[[str], dict[str, object]]:
    """The merged tables of a toy system."""
    return lambda name: read(SYSTEMS / f"{name}.toml").tables


@pytest.fixture
def transplant() -> abc.Callable[[Training, Training], None]:
    """Moves all that is carried from step to step into a fresh training."""

    def move(source: Training, target: Training) -> None:
        target.system.load_state_dict(source.system.state_dict())
        for key, slot in source.slots.items():
            target.slots[key].load(slot.tensors())
        for name, average in source.averages.items():
            target.averages[name].load(average.tensors())
        with torch.no_grad():
            for name, state in source.states.items():
                target.states[name].copy_(state)
        target.positions |= source.positions
        target.step_count, target.images = source.step_count, source.images

    return move
