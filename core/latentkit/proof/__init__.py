"""What is proved before training: on the graph, on the meta device, and by one tiny numeric step.

The three are kept apart: what the graph shows holds always, what meta shows holds for the shapes, and what a probe did
not see is reported as not seen. No data is opened: synthetic values of the declared spaces and ranges stand in.
"""

from __future__ import annotations

import torch

from latentkit.proof.fitting import too_large
from latentkit.proof.probing import probe
from latentkit.proof.report import Report
from latentkit.proof.shapes import on_meta
from latentkit.proof.static import static_problems
from latentkit.registry.manager import Registry
from latentkit.wiring.wiring import Wiring

GRAPH = (
    "names, spaces, sizes and value ranges agree along every edge",
    "every loss term reaches a part that its phase trains, every trained part is reached by a term",
    "gradients are taken for the parts in 'train' and for no other; every part is trained somewhere, or frozen",
    "every value that is needed from data is offered by its source",
)


def prove(wiring: Wiring, registry: Registry, thorough: bool = False) -> Report:
    """Check a wired recipe. Never opens data: synthetic values of the declared shape and range stand in.

    Args:
        wiring: the recipe.
        registry: where optimizers are found.
        thorough: probe large systems too, which takes seconds.
    """
    name, warnings = wiring.recipe.name, tuple(wiring.warnings)
    problems = too_large(wiring) or static_problems(wiring)
    if problems:
        return Report(name, tuple(dict.fromkeys(problems)), warnings)
    with torch.random.fork_rng(devices=[]):  # dropout would move the user's generator on
        meta = on_meta(wiring, registry)
        warnings += tuple(meta.warnings)
        if meta.problems:
            return Report(name, tuple(dict.fromkeys(meta.problems)), warnings)
        found = probe(wiring, registry, meta.flops, thorough)
    if found.problems:
        return Report(name, tuple(dict.fromkeys(found.problems)), warnings)
    return Report(name, (), warnings, GRAPH, tuple(meta.proved), tuple(found.seen), tuple(found.not_seen))


__all__ = ["Report", "prove"]
