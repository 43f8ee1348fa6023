"""A recipe with every name resolved: the graph, the terms of each phase, and the size of every part."""

from __future__ import annotations

from collections import abc

import attrs

from latentkit.interfaces import DataSource, Part, Prior
from latentkit.recipe.quantities import Quantity
from latentkit.recipe.schema import OptimizerSpec, PhaseSpec, Recipe
from latentkit.recipe.source import Source
from latentkit.recipe.writing import brief
from latentkit.spaces import Space
from latentkit.wiring.graph import Graph, Node


@attrs.frozen(eq=False)
class Term:
    """One term of a phase: its value, its weight and how lazily it is taken."""

    phase: str
    name: str
    node: Node
    weight: Node
    every: int

    @property
    def path(self) -> tuple[str, ...]:
        """Where it stands in the recipe."""
        return ("phase", self.phase, "loss", self.name)


@attrs.frozen(eq=False)
class Phase:
    """One phase: what it minimises, the parts it trains, and the rates at which it does."""

    name: str
    spec: PhaseSpec
    terms: tuple[Term, ...]
    kept: dict[str, Node]
    rates: dict[str, Node]
    """Learning rate per trained part."""
    states: dict[str, Node]
    """Next value of each ``[state]`` that is updated after this phase."""


@attrs.frozen(eq=False)
class Draw:
    """A random value: its prior, its space, and the multiple of the batch that it has."""

    prior: Prior
    space: Space
    share: float
    per: str
    row: bool

    def shape(self, batch: int) -> tuple[int, ...]:
        """Of one draw for a batch; a value of the whole batch has no axis for it."""
        dims = () if self.row else tuple(dim for dim in self.space.dims if isinstance(dim, int))
        return (round(batch * self.share), *dims) if self.space.batched else dims


@attrs.frozen(eq=False)
class State:
    """A value carried from step to step."""

    space: Space
    start: float | tuple[int, ...]
    every: int


@attrs.frozen(eq=False)
class Wiring:
    """Everything about a system except its weights."""

    recipe: Recipe
    source: Source
    graph: Graph
    parts: dict[str, Part]
    draws: dict[str, Draw]
    data: dict[str, DataSource]
    data_spaces: dict[str, Space]
    """Space of each value that data sources give."""
    states: dict[str, State]
    phases: tuple[Phase, ...]
    inference: dict[str, Node]
    code: Node | None
    monitor: dict[str, Node]
    spaces: dict[Node, Space]
    components: tuple[str, ...]
    """Qualified names of all the components in use."""
    warnings: tuple[str, ...] = ()
    likes: abc.Mapping[str, Node] = attrs.field(factory=dict)
    """Draws that have as many samples as a value, and that value."""

    def optimizer_of(self, phase: Phase) -> OptimizerSpec:
        """The phase's own optimizer, or the recipe's."""
        return phase.spec.optimizer or self.recipe.optimizer

    def where(self, node: Node) -> str:
        """Where the expression of a node stands, with its text."""
        path, text = self.graph.origin[node]
        return self.source.where(path) + (f" = {brief(text)}" if text else "")

    def rate(self, phase: Phase, part: str) -> Quantity:
        """The learning rate of a part in a phase, as the recipe says it."""
        spec = self.optimizer_of(phase)
        return spec.parts.get(part, spec.lr)


def parts_called(nodes: abc.Iterable[Node]) -> set[str]:
    """The parts that these nodes call or whose weights they read."""
    nodes = list(nodes)
    called = {node.callee[0] for node in nodes if node.op == "call"}
    return called | {str(node.value) for node in nodes if node.op == "weights"}


def phase_nodes(phases: abc.Iterable[Phase]) -> list[Node]:
    """Every node that the phases need: terms, weights, kept values, rates, next states."""
    nodes = []
    for phase in phases:
        nodes += [node for term in phase.terms for node in (term.node, term.weight)]
        nodes += [*phase.kept.values(), *phase.rates.values(), *phase.states.values()]
    return nodes
