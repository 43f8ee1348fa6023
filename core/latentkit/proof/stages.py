"""The proof of a recipe with stages: each on paper, the smallest by a step, and all of one set of weights."""

from __future__ import annotations

import math
from collections import abc

import attrs

from latentkit.errors import Problem
from latentkit.proof.proving import on_paper, probed, prove
from latentkit.proof.report import Report
from latentkit.proof.shapes import Meta, unreached
from latentkit.registry.manager import Registry
from latentkit.wiring.wiring import Wiring


def prove_stages(wirings: abc.Sequence[Wiring], registry: Registry, thorough: bool = False) -> Report:
    """Check the stages of a recipe; one of a single stage as :func:`latentkit.proof.prove` does.

    Args:
        wirings: of the stages, in their order.
        registry: where optimizers are found.
        thorough: probe large systems too, which takes seconds.
    """
    if len(wirings) == 1:
        return prove(wirings[0], registry, thorough)
    metas: list[Meta] = []
    warnings: dict[str, None] = {}
    report = Report(wirings[0].recipe.name)
    for number, wiring in enumerate(wirings, 1):
        report, meta = on_paper(wiring, registry)
        if not report.ok:
            named = (attrs.evolve(item, fact=f"in stage {number}: {item.fact}") for item in report.problems)
            return attrs.evolve(report, problems=tuple(named))
        metas.append(meta)
        warnings |= dict.fromkeys(report.warnings)
    problems = _other_weights(wirings, metas)
    if problems:
        return Report(report.name, tuple(problems), tuple(warnings))
    # A weight of a later level gets its gradient in a later stage.
    lost = {part: set.intersection(*(set(meta.lost.get(part, ())) for meta in metas)) for part in metas[0].lost}
    notes = unreached({part: [name for name in metas[0].lost[part] if name in names] for part, names in lost.items()})
    smallest = min(range(len(wirings)), key=lambda at: (_numbers(wirings[at]), at))
    together = f"all {len(wirings)} stages do, with one set of weights"
    report = attrs.evolve(report, warnings=(*warnings, *notes), shapes=(*report.shapes, together))
    report = probed(report, wirings[smallest], registry, metas[smallest], thorough)
    if report.ok:
        report = attrs.evolve(report, not_seen=(*report.not_seen, f"only stage {smallest + 1} was probed by a step"))
    return report


def _numbers(wiring: Wiring) -> int:
    """How large the data are."""
    return sum(math.prod(size for size in space.dims if isinstance(size, int)) for space in wiring.data_spaces.values())


def _other_weights(wirings: abc.Sequence[Wiring], metas: abc.Sequence[Meta]) -> list[Problem]:
    found = []
    for number, (wiring, meta) in enumerate(zip(wirings, metas, strict=True), 1):
        for part, shapes in meta.weights.items():
            first = metas[0].weights[part]
            names = [name for name in {**first, **shapes} if first.get(name) != shapes.get(name)]
            if names:
                was, now = (list(given[names[0]]) if names[0] in given else "not there" for given in (first, shapes))
                fact = f"in stage {number} its weight {names[0]} is {now}, in stage 1 {was}; stages share their weights"
                use = wiring.recipe.parts[part].use
                hint = f"{use} cannot grow: let the stages leave its sizes alone, or use parts that have all levels"
                found.append(Problem(wiring.source.where(("parts", part)), fact, hint))
        if found:
            return found
    return found
