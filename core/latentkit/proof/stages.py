"""The proof of a recipe with stages: each on paper, the smallest by a step, and all of one set of weights."""

from __future__ import annotations

import json
import math
from collections import abc

import attrs
from torch import Tensor

from latentkit.engine.system import System
from latentkit.errors import Problem, RecipeError
from latentkit.proof.fitting import too_large
from latentkit.proof.proving import on_paper, probed, prove
from latentkit.proof.remembering import Remembering
from latentkit.proof.report import Report
from latentkit.proof.shapes import Meta, unreached
from latentkit.registry.manager import Registry
from latentkit.wiring.wiring import Wiring

_REMEMBERED = 32
"""Proofs, by a registry."""
_ENDS = 2
"""Of the last stages, those that are always run: the highest resolution while it fades in, and afterwards."""


def prove_stages(wirings: abc.Sequence[Wiring], registry: Registry, thorough: bool = False) -> Report:
    """Check the stages of a recipe; one of a single stage as :func:`latentkit.proof.prove` does.

    What was found sound is remembered by the registry: the next run of the same recipe, with another number of steps
    or continued, starts at once.

    Args:
        wirings: of the stages, in their order.
        registry: where optimizers are found.
        thorough: probe large systems too, which takes seconds.
    """
    key = _key(wirings, registry, thorough)
    if key in registry.proofs:
        return attrs.evolve(registry.proofs[key], name=wirings[0].recipe.name)
    report = _proved(wirings, registry, thorough)
    if report.ok and not report.warnings:  # a warning may name the place in one file
        registry.proofs[key] = report
        while len(registry.proofs) > _REMEMBERED:
            del registry.proofs[next(iter(registry.proofs))]
    return report


def _key(wirings: abc.Sequence[Wiring], registry: Registry, thorough: bool) -> tuple[object, ...]:
    """All that a proof depends on: the tables without the number of steps, and the classes behind their names."""
    tables = []
    for wiring in wirings:
        train = wiring.source.tables.get("train")
        others = {key: value for key, value in train.items() if key != "steps"} if isinstance(train, dict) else train
        tables.append(json.dumps({**wiring.source.tables, "train": others}, sort_keys=True, default=repr))
    names = dict.fromkeys(name for wiring in wirings for name in wiring.components)
    return (thorough, *tables, *(registry.load(name) for name in names))


def _proved(wirings: abc.Sequence[Wiring], registry: Registry, thorough: bool) -> Report:
    if len(wirings) == 1:
        return prove(wirings[0], registry, thorough)
    name, count = wirings[0].recipe.name, len(wirings)
    with Remembering():
        problems = [problem for wiring in wirings for problem in too_large(wiring)]
        problems = problems or _other_images(wirings) or _other_weights(wirings, registry)
    if problems:
        return Report(name, tuple(dict.fromkeys(problems)))
    smallest = min(range(count), key=lambda at: (_numbers(wirings[at]), at))
    chosen = range(count) if thorough else sorted({smallest, *range(max(count - _ENDS, 0), count)})
    metas: dict[int, Meta] = {}
    warnings: dict[str, None] = {}
    report = Report(name)
    for at in chosen:
        report, metas[at] = on_paper(wirings[at], registry)
        if not report.ok:
            named = (attrs.evolve(item, fact=f"in stage {at + 1}: {item.fact}") for item in report.problems)
            return attrs.evolve(report, problems=tuple(named))
        warnings |= dict.fromkeys(report.warnings)
    all_run = len(metas) == count
    if all_run:
        warnings |= dict.fromkeys(unreached(_lost(list(metas.values()))))
    run = f"all {count} stages do" if all_run else f"so do stages {_listed(chosen)} of {count}"
    report = attrs.evolve(
        report, warnings=tuple(warnings), shapes=(*report.shapes, f"{run}; all have the same weights")
    )
    report = probed(report, wirings[smallest], registry, metas[smallest], thorough)
    if not report.ok:
        return report
    not_seen = [f"a numeric step was taken in stage {smallest + 1} only"]
    if not all_run:
        not_seen.append("the other stages were not run, so not whether each weight is trained in one; see --thorough")
    return attrs.evolve(report, not_seen=(*report.not_seen, *not_seen))


def largest_stage(wirings: abc.Sequence[Wiring], name: str) -> int:
    """The first stage in which images of this source are largest."""
    return max(range(len(wirings)), key=lambda at: (math.prod(_sides(wirings[at], name)), -at))


def _sides(wiring: Wiring, name: str) -> tuple[int, int]:
    """Height and width of a source's images."""
    return wiring.recipe.data[name].image_size(wiring.data[name])[1:]


def _other_images(wirings: abc.Sequence[Wiring]) -> list[Problem]:
    """Stages whose images are no means of whole blocks of the largest stage's."""
    found = []
    for name in wirings[0].data:
        most = largest_stage(wirings, name)
        tall, wide = _sides(wirings[most], name)
        for number, wiring in enumerate(wirings, 1):
            height, width = _sides(wiring, name)
            if tall % height or wide % width or tall * width != wide * height:
                fact = f"in stage {number} images are {height} x {width}, in stage {most + 1} {tall} x {wide}"
                hint = "choose sizes of which the largest is a whole multiple, with the same proportions"
                path = ("data",) if name == "data" else ("data", name)
                found.append(Problem(wiring.source.where((*path, "resolution")), fact, hint))
    return found


def _listed(stages: abc.Iterable[int]) -> str:
    *most, last = [str(at + 1) for at in stages]
    return f"{', '.join(most)} and {last}" if most else last


def _lost(metas: abc.Sequence[Meta]) -> dict[str, list[str]]:
    """Weights at which no gradient arrives in any stage; those of a later level get theirs in a later stage."""
    return {
        part: [name for name in names if all(name in meta.lost.get(part, ()) for meta in metas)]
        for part, names in metas[0].lost.items()
    }


def _numbers(wiring: Wiring) -> int:
    """How large the data are."""
    return sum(math.prod(size for size in space.dims if isinstance(size, int)) for space in wiring.data_spaces.values())


def _other_weights(wirings: abc.Sequence[Wiring], registry: Registry) -> list[Problem]:
    """Parts whose weights are others in a later stage than in the first."""
    first: dict[str, dict[str, tuple[int, ...]]] = {}
    for number, wiring in enumerate(wirings, 1):
        try:
            modules = System(wiring, registry, device="meta").parts
        except RecipeError as error:
            return [attrs.evolve(problem, fact=f"in stage {number}: {problem.fact}") for problem in error.problems]
        found = []
        for part, module in modules.items():
            shapes = {
                key: tuple(value.shape) for key, value in module.state_dict().items() if isinstance(value, Tensor)
            }
            known = first.setdefault(part, shapes)
            names = [name for name in {**known, **shapes} if known.get(name) != shapes.get(name)]
            if names:
                was, now = (list(given[names[0]]) if names[0] in given else "not there" for given in (known, shapes))
                fact = f"in stage {number} its weight {names[0]} is {now}, in stage 1 {was}; stages share their weights"
                use = wiring.recipe.parts[part].use
                hint = f"{use} cannot grow: let the stages leave its sizes alone, or use parts that have all levels"
                found.append(Problem(wiring.source.where(("parts", part)), fact, hint))
        if found:
            return found
    return []
