"""Trains a toy with a real compiler, and without one, in a process that nothing else has changed.

Prints as JSON, per training, the terms of its steps, weights and states of optimizers after each, whether its programs
were compiled, updates with them, and how many of them were found in the compiler's cache.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
import toys
from torch._dynamo.utils import counters
from torch._inductor import config

from latentkit._building import wired
from latentkit.engine.samples import open_samples
from latentkit.engine.training import Training
from latentkit.registry.catalogue import read_catalogue, shipped_catalogue
from latentkit.registry.manager import Registry
from latentkit.settings import Settings

BLOB = {
    "data": {"use": "toy.images"}, "draw": {"z": {"use": "normal", "dim": 3}}, "parts": {"G": {"use": "toy.blobs"}},
    "phase": {"draw": {"train": ["G"], "loss": {"it": {"use": "core.l2", "of": "G(z)", "to": "x"}}}},
    "train": {"batch": 4, "steps": 1},
}  # fmt: skip
"""One parameter and a few operations: code that is soon made."""


def trained(registry: Registry, compiled: bool) -> dict[str, Any]:
    """What two steps in float64 have measured."""
    wiring = wired(BLOB, None, registry)
    samples = {name: open_samples(name, wiring.recipe.data[name], source) for name, source in wiring.data.items()}
    training = Training(wiring, registry, samples, Settings(precision="float64", compile=compiled))
    steps: list[dict[str, Any]] = []
    for _ in range(2):
        terms = {"/".join(key): value.tolist() for key, value in training.step().items()}
        states = {f"{slot}.{name}": value.tolist() for slot, found in training.slots.items()
                  for name, value in found.tensors().items()}  # fmt: skip
        steps.append(terms | states | {name: value.tolist() for name, value in training.system.state_dict().items()})
    compiler = training.executor.compiler
    known = compiler is not None and all(found and found.traced.update for found in compiler.known.values())
    return {"steps": steps, "compiled": known, "found": counters["inductor"]["fxgraph_cache_hit"]}


def main() -> None:
    """Without a compiler, with one, and with one again."""
    torch.set_num_threads(1)
    config.cpp_cache_precompile_headers = False  # pays for large graphs
    config.cpp.vec_isa_ok = True
    config.compile_threads = 1
    registry = Registry(read_catalogue(shipped_catalogue()), ())
    registry.add("toy", toys.Plugin(), "tests", Path(toys.__file__).name)
    print(json.dumps([trained(registry, compiled) for compiled in (False, True, True)]))


if __name__ == "__main__":
    sys.exit(main())
