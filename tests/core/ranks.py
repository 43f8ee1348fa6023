"""One of several processes that train recipes together; prints how far they end from one process alone.

``python ranks.py RANK SIZE STORE`` with recipes, overrides and steps as JSON on standard input.
"""

from __future__ import annotations

import json
import sys

import torch
import torch.distributed as dist
from torch import Tensor

from latentkit._building import source_of
from latentkit.engine.training import Training
from latentkit.engine.world import World
from latentkit.registry.manager import default_registry
from latentkit.runs.course import Course
from latentkit.settings import Settings


def weights(training: Training) -> dict[str, Tensor]:
    """Weights, buffers and ``[state]`` values."""
    found = {
        f"{name}.{key}": value for name, part in training.modules.items() for key, value in part.state_dict().items()
    }
    return {**found, **training.states}


def trained(course: Course, world: World, steps: int) -> tuple[dict[str, Tensor], list[float]]:
    """Weights and terms after some steps of the last stage, which has everything."""
    index = len(course.wirings) - 1
    training = Training(
        course.wirings[index], course.registry, course.samples(index), Settings(precision="float64"), world=world
    )
    terms = [float(value) for _ in range(steps) for value in training.step().values()]
    return weights(training), terms


def main() -> None:
    """Train alone, then together."""
    rank, size, store = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    asked = json.load(sys.stdin)
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=size)
    registry = default_registry()
    for name, overrides in asked["recipes"].items():
        course = Course.of(source_of(name, overrides, registry), registry)
        registry.activate(course.components)
        (mine, terms), (ours, shared) = (trained(course, world, asked["steps"]) for world in (World(), World.joined()))
        far = {key: float((mine[key].double() - ours[key].double()).abs().max()) for key in mine if mine[key].numel()}
        worst = max(far, key=far.__getitem__)
        apart = max(abs(one - other) for one, other in zip(terms, shared, strict=True))
        print(
            json.dumps({"name": name, "rank": rank, "weights": far[worst], "worst": worst, "terms": apart}), flush=True
        )
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
