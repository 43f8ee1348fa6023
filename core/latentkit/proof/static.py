"""What the expression graph alone shows: who can get a gradient from what, and who owns which parameter."""

from __future__ import annotations

from collections import abc

import torch

from latentkit.errors import LatentkitError, Problem
from latentkit.interfaces import Part
from latentkit.wiring.graph import ancestors, differentiable_ancestors
from latentkit.wiring.wiring import Phase, Term, Wiring, parts_called


def has_weights(part: Part) -> bool | None:
    """Whether a part has parameters; ``None`` where it cannot be built, as its sizes are illegal."""
    try:
        with torch.device("meta"):
            return any(True for _ in part.build().parameters())
    except LatentkitError:
        return None  # building again reports it, with its place


def static_problems(wiring: Wiring, weighted: abc.Callable[[Part], bool | None] = has_weights) -> list[Problem]:
    """Terms that reach no trained part, trained parts that no term reaches, parts nobody trains.

    Args:
        wiring: the recipe.
        weighted: whether a part has parameters. Who checks many recipes of the same parts remembers the answers.
    """
    problems = []
    for phase in wiring.phases:
        trained = set(phase.spec.train)
        reached: set[str] = set()
        for term in phase.terms:
            mine = trained_by(term, trained)
            if not mine:
                problems.append(_phantom(wiring, phase, term))
            reached |= mine
        for part in sorted(trained - reached):
            if part in wiring.parts:
                fact = f"'{part}' is trained here, but no term's gradient reaches it"
                hint = f"add a term that depends on {part}, or take it out of 'train'"
                problems.append(Problem(wiring.source.where(("phase", phase.name, "train")), fact, hint))
    return [*problems, *_twice(wiring), *_ownership(wiring, weighted)]


def _twice(wiring: Wiring) -> list[Problem]:
    """With ``together``, all updates follow one forward: a part that two phases train needs two optimizers."""
    problems = []
    owners: dict[tuple[str, str], str] = {}
    for phase in wiring.phases if wiring.recipe.together else ():
        owner = phase.name if phase.spec.optimizer else ""
        for part in phase.spec.train:
            other = owners.setdefault((owner, part), phase.name)
            if other != phase.name:
                fact = (
                    f"'{part}' is trained by '{other}' too, with the same optimizer in the same step (together = true)"
                )
                hint = f"put the terms of {part} into one phase, or give this phase its own optimizer = {{ use = ... }}"
                problems.append(Problem(wiring.source.where(("phase", phase.name, "train")), fact, hint))
    return problems


def _phantom(wiring: Wiring, phase: Phase, term: Term) -> Problem:
    parts = sorted(parts_called(ancestors([term.node])))
    fact = f"this term reaches no part that the phase trains ({', '.join(phase.spec.train)}): it has no gradient"
    cut = any(node.op in ("detach", "sign") for node in ancestors([term.node]))
    hint = f"it depends on {', '.join(parts) or 'no part at all'}"
    hint += "; a detach() or sign() cuts the way" if cut else "; let it depend on a trained part, or take it out"
    return Problem(wiring.source.where(term.path), fact, hint)


def trained_by(term: Term, trained: abc.Collection[str]) -> set[str]:
    """The parts, of those trained, that a term's gradient can reach."""
    live = differentiable_ancestors([term.node])
    return parts_called(live) & set(trained)


def _ownership(wiring: Wiring, weighted: abc.Callable[[Part], bool | None]) -> list[Problem]:
    problems = []
    known = {name: weighted(part) for name, part in wiring.parts.items()}
    somewhere = {part for phase in wiring.phases for part in phase.spec.train}
    for name in wiring.parts:
        spec = wiring.recipe.parts[name]
        if spec.frozen and name in somewhere:
            problems.append(Problem(wiring.source.where(("parts", name)), "is frozen, but a phase trains it"))
        if not spec.frozen and known[name] and name not in somewhere:
            fact = f"'{name}' has weights, but no phase trains it"
            hint = "name it in a phase's 'train', or write frozen = true"
            problems.append(Problem(wiring.source.where(("parts", name)), fact, hint))
        acting = {"spectral_norm": spec.spectral_norm, "init": spec.init, "constraint": spec.constraint}
        for key in [key for key, given in acting.items() if given and known[name] is False]:
            fact = f"'{name}' has no parameters that it could act on"
            problems.append(Problem(wiring.source.where(("parts", name, key)), fact, f"take {key} out"))
    for phase in wiring.phases:
        for name in phase.spec.train:
            if known.get(name) is False:
                fact = f"'{name}' has no parameters, so it cannot be trained"
                where = wiring.source.where(("phase", phase.name, "train"))
                problems.append(Problem(where, fact, f"take {name} out of 'train'"))
    return problems
