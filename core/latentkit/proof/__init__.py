"""What is proved before training: on the graph, on the meta device, and by one tiny numeric batch.

The three are kept apart: what the graph shows holds always, what meta shows holds for the shapes, and what a probe did
not see is reported as not seen.
"""

from __future__ import annotations

import torch

from latentkit.proof.probing import on_meta, probe
from latentkit.proof.report import Report
from latentkit.proof.static import static_problems
from latentkit.registry.manager import Registry
from latentkit.wiring.wiring import Wiring


def prove(wiring: Wiring, registry: Registry) -> Report:
    """Check a wired recipe. Never opens data: synthetic values of the declared shape and range stand in."""
    problems = static_problems(wiring)
    warnings = list(wiring.warnings)
    proved = ["every edge agrees in space and size; every loss term reaches a part that its phase trains"]
    if not problems:
        problems += on_meta(wiring, registry)
        proved.append("all phases and roles run on the meta device, at two batch sizes")
    if not problems:
        with torch.random.fork_rng(devices=[]):  # dropout would move the user's generator on
            seen_problems, not_seen = probe(wiring, registry)
        problems += seen_problems
        warnings += not_seen
        proved.append("one step on a few synthetic samples: gradients are finite and go where the plan says")
    shown = tuple(proved) if not problems else ()
    return Report(wiring.recipe.name, tuple(dict.fromkeys(problems)), tuple(warnings), shown)


__all__ = ["Report", "prove"]
