"""Toy components in a registry of their own, and trainings of the toy systems."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections import abc
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from latentkit._building import RecipeLike, wired
from latentkit.api import compose
from latentkit.engine.samples import open_samples
from latentkit.engine.training import Training
from latentkit.model import Model
from latentkit.recipe.source import read
from latentkit.registry.catalogue import read_catalogue, shipped_catalogue
from latentkit.registry.manager import Registry
from latentkit.runs.checkpoint import newest
from latentkit.settings import Settings
from latentkit.wiring.graph import Node

HERE = Path(__file__).parent
SYSTEMS = HERE / "systems"
Start = abc.Callable[..., Training]
Component = abc.Callable[..., abc.Callable[..., Tensor]]
Valued = abc.Callable[..., dict[str, Tensor]]


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
def blobs(registry: Registry) -> abc.Callable[..., Model]:
    """A model that draws a blob where its code says: coordinates 0, 1, 2 are x, y and size, two more are nothing."""

    def make(side: int = 16, **overrides: object) -> Model:
        tables = {
            "title": "blobs", "data": {"use": "toy.images", "resolution": side, "range": [0.0, 1.0]},
            "draw": {"z": {"use": "normal", "dim": 5}}, "parts": {"G": {"use": "toy.blobs"}},
            "phase": {"draw": {"train": ["G"], "loss": {"it": {"use": "core.l2", "of": "G(z)", "to": "x"}}}},
            "inference": {"sample": "G(z)", "code": "z", "decode": "G(z)"}, "train": {"batch": 4, "steps": 1},
        }  # fmt: skip
        return compose(tables, overrides, registry=registry)

    return make


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


@pytest.fixture
def component(registry: Registry) -> Component:
    """A registered loss, regularizer or function with its options, as a function of its ports."""

    def find(use: str, **options: object) -> abc.Callable[..., Tensor]:
        part = registry.load(use)(**options)
        names = [port.name for port in part.signatures()[""].inputs]
        module = part.build()

        def call(*args: object, **named: object) -> Tensor:
            left_over = named.keys() - set(names[len(args) :])
            assert not left_over, f"{use} has no port {left_over}"
            return module(*args, *[named.get(name) for name in names[len(args) :]])

        return call

    return find


@pytest.fixture
def valued(registry: Registry) -> Valued:
    """Evaluates expressions and objectives as the library does in a training step, in float64, on given values.

    ``wanted`` has expressions, whose values are returned as they are, and tables of terms, whose weighted sum of means
    is. Given numbers are scalars of the recipe, other given values are draws: of scores, or latents, or of the
    sizes at hand, unless ``tables`` say what they are. ``load`` may change the parts.
    """

    def evaluate(
        wanted: abc.Mapping[str, str | dict[str, Any]], given: abc.Mapping[str, Tensor],
        load: abc.Callable[[Training], None] | None = None, **tables: dict[str, Any],
    ) -> dict[str, Tensor]:  # fmt: skip
        draws = {name: value for name, value in given.items() if value.ndim}
        recipe = {
            "data": {"use": "toy.images", "gives": {"unused": "image"}},
            "scalars": {name: float(value) for name, value in given.items() if not value.ndim},
            "draw": {name: drawn_like(value) for name, value in draws.items()} | tables.get("draw", {}),
            "parts": {"nothing": {"use": "parameter", "shape": [1]}} | tables.get("parts", {}),
            "flow": tables.get("flow", {}),
            "inference": {"nothing": "nothing()"},
            "phase": {
                name: {"train": ["nothing"], "loss": {"it": f"sum({what})"} if isinstance(what, str) else what}
                for name, what in wanted.items()
            },
        }
        training = Training(wired(recipe, None, registry), registry, None, Settings(precision="float64"))
        if load is not None:
            load(training)
        values: dict[str, Tensor] = {}

        def watch(program: Any, slots: abc.Sequence[Any], _: object) -> None:
            def at(node: Node) -> Any:
                return slots[program.slots[node]]

            (phase,) = program.plan.phases
            if isinstance(wanted[phase.name], str):
                (value,) = (at(term.node.args[0]) for term in phase.terms)
            else:
                value = sum(at(term.weight) * at(term.node).mean() for term in phase.terms)
            values[phase.name] = value.detach()

        training.watch = watch
        training.step(dict.fromkeys(wanted, draws))
        return values

    return evaluate


def drawn_like(value: Tensor) -> dict[str, object]:
    sizes = [*value.shape[1:]]
    how = {0: {"row": True}, 1: {"dim": sizes[0] if sizes else 0}}.get(len(sizes), {"shape": sizes})
    return {"use": "normal", **how}


class Ranks:
    """Trains in processes that are forked from one which has imported everything."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "ranks.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    def __call__(self, processes: int, out: Path, status: int = 0, **job: object) -> list[str]:
        """What each process has printed."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"processes": processes, "out": str(out), **job}) + "\n")
        self.process.stdin.flush()
        found = json.loads(self.process.stdout.readline())
        printed = [(out / f"{rank}.txt").read_text() for rank in range(processes)]
        assert found == [status] * processes, printed
        return printed

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


@pytest.fixture(scope="session")
def ranks() -> abc.Iterator[Ranks]:
    """Runs jobs in several processes that train together; see ranks.py. Tests with it belong to one group."""
    made = Ranks()
    yield made
    made.close()


@pytest.fixture(scope="session")
def small(narrow: abc.Callable[..., dict[str, object]]) -> dict[str, object]:
    """Overrides for O-GAN over several processes."""
    return {**narrow("ogan"), "train.batch": 8, "train.checkpoint_every": 5}


@pytest.fixture(scope="session")
def far() -> abc.Callable[[Path, Path], float]:
    """The largest difference of the last checkpoints of two runs, which are of the same step."""

    def measure(one: Path, other: Path) -> float:
        mine, theirs = (saved for saved in map(newest, (one, other)) if saved is not None)
        assert mine.state["step"] == theirs.state["step"]
        assert mine.tensors.keys() == theirs.tensors.keys()
        pairs = [(value.double(), theirs.tensors[key].double()) for key, value in mine.tensors.items() if value.numel()]
        return max(float((value - other).abs().max()) for value, other in pairs)

    return measure
