"""The graph rewritten so that one value is one node, however the recipe computes it."""

from __future__ import annotations

from collections import abc

from latentkit.interfaces import Part
from latentkit.recipe.quantities import Constant
from latentkit.spaces import Space
from latentkit.wiring.graph import Graph, Node, ancestors
from latentkit.wiring.wiring import Term, Wiring

_MIXING = frozenset({"source", "concat", "chunk", "roll", "flip", "take", "batch_mean", "grad"})


class Sketch:
    """A copy of a graph. A batch that was joined with others for one call is by itself again: ``chunk(D(concat(x,
    x_fake)), 0, 2)`` is ``D(x)``.

    Args:
        spaces: of the nodes that are copied.
        kept: nodes by the names under which phases keep them. Where it is given, a kept value and the one behind a
            ``detach`` are what they are values of.
    """

    def __init__(self, spaces: abc.Mapping[Node, Space], kept: abc.Mapping[str, Node] | None = None) -> None:
        self.given, self.kept = spaces, kept
        self.graph = Graph()
        self.spaces: dict[Node, Space] = {}
        self.made: dict[Node, Node] = {}
        self.written: dict[Node, list[Node]] = {}
        """Of a node of the copy, those that it is a copy of."""

    def of(self, node: Node) -> Node:
        """The copy of a node."""
        for each in sorted(ancestors([node]) - self.made.keys()):
            self.made[each] = copy = self._copy(each)
            self.written.setdefault(copy, []).append(each)
        return self.made[node]

    def _copy(self, node: Node) -> Node:
        args = [self.made[arg] for arg in node.args]
        if self.kept is not None:
            if node.op == "detach":
                return args[0]
            if node.is_source("kept") and node.source[1] in self.kept:
                return self.of(self.kept[node.source[1]])
        if node.op == "chunk":
            index, count = (arg.value if arg.op == "number" else None for arg in args[1:])
            piece = self._piece(args[0], index, count)
            if piece is not None:
                return piece
        return self._node(node.op, args, node.value, self.given.get(node))

    def _piece(self, node: Node, index: object, count: object) -> Node | None:
        if node.op == "concat":
            alike = isinstance(index, int) and count == len(node.args) and 0 <= index < len(node.args)
            return node.args[index] if alike and isinstance(index, int) else None
        space = self.spaces.get(node)
        if node.op in ("number", "weights") or (space is not None and not space.batched):
            return node
        if node.op in _MIXING:
            return None
        pieces = [self._piece(arg, index, count) for arg in node.args]
        good = [piece for piece in pieces if piece is not None]
        return self._node(node.op, good, node.value, space) if good and len(good) == len(pieces) else None

    def _node(self, op: str, args: abc.Sequence[Node], value: object, space: Space | None) -> Node:
        node = self.graph.node(op, args, value)
        if space is not None:
            self.spaces.setdefault(node, space)
        return node


def part_of(wiring: Wiring, node: Node) -> Part | None:
    """The part that a call or an applied loss runs; ``None`` of an entry, and of anything else."""
    if node.op == "apply" and isinstance(node.value, Part):
        return node.value
    return wiring.parts[node.callee[0]] if node.op == "call" and not node.callee[1] else None


def terms_in_force(wiring: Wiring) -> list[Term]:
    """The terms whose weight is not the number 0."""
    off = (Constant(0), Constant(0.0))
    return [
        term for phase in wiring.phases for term in phase.terms
        if not (term.weight.is_source("timed") and term.weight.source[1] in off)
    ]  # fmt: skip
