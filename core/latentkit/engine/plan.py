"""The plan of one execution: what is computed, what needs a graph, and what is a leaf. No torch here.

Gradients are taken with respect to the trained parts and nothing else, so routing needs no flags on parameters:
values that no trained part reaches on the way to a loss are computed without a graph.
"""

from __future__ import annotations

from collections import abc

import attrs

from latentkit.engine.merging import Unit, units
from latentkit.recipe.quantities import Constant
from latentkit.wiring.graph import CUTS, Node, ancestors, differentiable_ancestors
from latentkit.wiring.wiring import Phase, Term, Wiring


@attrs.frozen(eq=False)
class Plan:
    """One execution: a single phase, or all of them where they share one forward."""

    phases: tuple[Phase, ...]
    running: tuple[Phase, ...]
    """Those with an active term."""
    terms: tuple[Term, ...]
    order: tuple[Node, ...]
    """Nodes in the order of evaluation."""
    graph: frozenset[Node]
    """Nodes that are computed with a graph."""
    leaves: frozenset[Node]
    """Nodes that ``grad`` differentiates at and that have no graph: they become leaves."""
    twice: frozenset[Node]
    """``grad`` nodes that must be differentiable again."""
    states: dict[str, Node]
    units: tuple[Unit, ...]
    """Nodes in the order of evaluation, calls that share one pass together."""

    def sources(self) -> list[Node]:
        """The values that come from outside: data, draws, scalars, states, kept values."""
        return [node for node in self.order if node.op == "source"]

    def terms_of(self, phase: Phase) -> list[Term]:
        """The active terms of a phase."""
        return [term for term in self.terms if term.phase == phase.name]


def groups(wiring: Wiring) -> list[tuple[Phase, ...]]:
    """Phases that share one forward: each alone, or all where the recipe says ``together``."""
    return [wiring.phases] if wiring.recipe.together else [(phase,) for phase in wiring.phases]


def active_terms(phases: abc.Iterable[Phase], step: int) -> tuple[Term, ...]:
    """The terms that are taken at a step (lazy ones every so often)."""
    return tuple(
        term for phase in phases if step % phase.spec.every == 0 for term in phase.terms if step % term.every == 0
    )


def plan(
    phases: tuple[Phase, ...], terms: tuple[Term, ...], states: abc.Mapping[str, Node],
    can_share: abc.Callable[[Node], bool] = lambda node: False,
) -> Plan:  # fmt: skip
    """Plan one execution of these phases with these terms active and these states updated.

    Calls of one part for which ``can_share`` says so are run as one pass.
    """
    running = tuple(phase for phase in phases if any(term.phase == phase.name for term in terms))
    losses = [term.node for term in terms]
    others = [term.weight for term in terms]
    for phase in running:
        others += [*phase.rates.values(), *phase.kept.values()]
    order = tuple(sorted(ancestors([*losses, *others, *states.values()])))
    trained = {part for phase in running for part in phase.spec.train}
    reached = reached_by(order, trained)
    live = differentiable_ancestors(losses)
    graph = {node for node in order if node in live and node in reached}
    leaves: set[Node] = set()
    twice: set[Node] = set()
    gradients = [node for node in order if node.op == "grad"]
    paths = {node: between(node.args[1], node.args[0]) for node in gradients}
    parametric = frozenset(graph)
    for node in gradients:
        graph |= paths[node]
    for node in gradients:
        inside_another = any(node in path for path in paths.values())
        if node in parametric or inside_another:
            twice.add(node)
        start = node.args[1]
        others_through = any(start in path and other.args[1] is not start for other, path in paths.items())
        if start not in parametric and not others_through:
            leaves.add(start)
    inside = {node for path in paths.values() for node in path}

    def may_merge(node: Node) -> object:
        # A pass that an input gradient is taken through would carry the other batch along, through both backwards.
        fits = node.op == "call" and node not in inside and can_share(node)
        # Where a gradient flows into one batch only, a joint pass would compute it for the other one too.
        return (node.callee, node in graph, any(arg in graph for arg in node.args)) if fits else None

    return Plan(
        phases, running, terms, order, frozenset(graph), frozenset(leaves), frozenset(twice), dict(states),
        tuple(units(order, may_merge)),
    )  # fmt: skip


def reached_by(order: abc.Iterable[Node], trained: abc.Collection[str]) -> set[Node]:
    """The nodes that depend, differentiably, on the parameters of trained parts."""
    reached: set[Node] = set()
    for node in order:
        if node.op in CUTS:
            continue
        own = node.op == "call" and node.callee[0] in trained
        own = own or (node.op == "weights" and node.value in trained)
        if own or any(arg in reached for arg in node.args):
            reached.add(node)
    return reached


def between(start: Node, end: Node) -> set[Node]:
    """The nodes on a differentiable way from ``start`` to ``end``, both included."""
    upstream = differentiable_ancestors([end])
    found = {start}
    for node in sorted(upstream):
        if node.op not in CUTS and any(arg in found for arg in node.args):
            found.add(node)
    return {node for node in found if node in upstream}


def is_one(node: Node) -> bool:
    """Whether a weight is the plain number 1."""
    return node.is_source("timed") and node.source[1] == Constant(1)
