"""The proof of one wired recipe."""

from __future__ import annotations

import attrs
import torch

from latentkit.proof.fitting import too_large
from latentkit.proof.probing import probe
from latentkit.proof.remembering import Remembering
from latentkit.proof.report import Report
from latentkit.proof.shapes import Meta, on_meta, unreached
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
    report, meta = on_paper(wiring, registry)
    if not report.ok:
        return report
    report = attrs.evolve(report, warnings=(*report.warnings, *unreached(meta.lost)))
    return probed(report, wiring, registry, meta, thorough)


def on_paper(wiring: Wiring, registry: Registry) -> tuple[Report, Meta]:
    """What holds on the graph and on shapes."""
    with Remembering():
        return _on_paper(wiring, registry)


def _on_paper(wiring: Wiring, registry: Registry) -> tuple[Report, Meta]:
    name, warnings = wiring.recipe.name, tuple(wiring.warnings)
    problems = too_large(wiring) or static_problems(wiring)
    if problems:
        return Report(name, tuple(dict.fromkeys(problems)), warnings), Meta()
    with torch.enable_grad(), torch.random.fork_rng(devices=[]):  # whatever the caller has set; dropout moves it on
        meta = on_meta(wiring, registry)
    if meta.problems:
        return Report(name, tuple(dict.fromkeys(meta.problems)), warnings), meta
    return Report(name, (), warnings, GRAPH, tuple(meta.proved)), meta


def probed(report: Report, wiring: Wiring, registry: Registry, meta: Meta, thorough: bool) -> Report:
    """The report with what one numeric step showed."""
    with torch.enable_grad(), torch.random.fork_rng(devices=[]):
        found = probe(wiring, registry, meta.flops, thorough)
    if found.problems:
        return Report(report.name, tuple(dict.fromkeys(found.problems)), report.warnings)
    return attrs.evolve(report, probe=tuple(found.seen), not_seen=tuple(found.not_seen))
