"""Which values a rank has its share of, and which it has whole, so that many ranks compute what one would.

What keeps samples apart is computed by each rank for its own samples. What couples them (batch statistics, losses of a
batch, ``chunk``, ``concat`` and the like) sees the whole batch on every rank.
"""

from __future__ import annotations

from collections import abc
from typing import Any, Literal

from latentkit.engine.world import World
from latentkit.errors import LatentkitError
from latentkit.interfaces import Part
from latentkit.wiring.batching import REORDERING, batch_shares
from latentkit.wiring.graph import Node
from latentkit.wiring.wiring import Wiring

Placement = Literal["", "own", "whole"]
"""No batch; this rank's samples; all samples."""
_COUPLING = REORDERING | {"batch_mean"}


def couples(part: Part) -> bool:
    """Whether a part has to be given the samples of all ranks."""
    return part.stochastic or not (part.independent or part.batch_norm_only)


class Sharding:
    """Where the values of a recipe are, for a world of more than one rank.

    Args:
        wiring: the recipe.
        world: of two ranks or more.
        batch: samples of a step, of all ranks together.

    Raises:
        LatentkitError: a batch, or a part of it that the recipe computes with, is no whole multiple of the ranks.
    """

    def __init__(self, wiring: Wiring, world: World, batch: int) -> None:
        self.wiring, self.world = wiring, world
        self.shares = batch_shares(wiring.graph.nodes, wiring.likes)
        sizes = {batch * share for share in self.shares.values() if share is not None}
        uneven = sorted(size for size in sizes if size % world.size)
        if uneven:
            fact = (
                f"a batch of {batch}" if uneven[0] == batch else f"a batch of {batch}, of which {uneven[0]} are used,"
            )
            raise LatentkitError(
                f"train.batch: {fact} cannot be shared evenly by {world.size} processes; choose a multiple"
            )
        self.kept = {name: node for phase in wiring.phases for name, node in phase.kept.items()}
        self.known: dict[Node, Placement] = {}

    def of(self, node: Node) -> Placement:
        """Where the value of a node is."""
        if node not in self.known:
            self.known[node] = self._found(node)
        return self.known[node]

    def _found(self, node: Node) -> Placement:
        if node.op == "source":
            kind, name = node.source
            if kind == "kept":
                return self.of(self.kept[name]) if name in self.kept else "own"  # the code, given to decode
            return "own" if self.shares[node] is not None else ""
        if self.shares[node] is None:
            return ""
        if node.op == "grad":
            return self.of(node.args[1])
        if self.couples(node):
            return "whole"
        given = {self.of(arg) for arg in node.args} - {""}
        # A whole batch is split again for what costs: each rank applies a part to its own samples.
        return "whole" if given == {"whole"} and node.op != "call" else "own"

    def couples(self, node: Node) -> bool:
        """Whether all samples have to be there."""
        if node.op in _COUPLING:
            return True
        part: Any = self.wiring.parts[node.callee[0]] if node.op == "call" else node.value
        return node.op in ("call", "apply") and couples(part)

    def moves(self, nodes: abc.Sequence[Node]) -> bool:
        """Whether an instruction needs what other ranks have."""
        if nodes[0].op == "grad":
            return self.of(nodes[0].args[1]) != "own"
        return any(self._move(node, arg) is not None for node in nodes for arg in node.args)

    def bound(self, nodes: abc.Sequence[Node], function: abc.Callable[..., Any]) -> abc.Callable[..., Any]:
        """The function of an instruction, which is then given its arguments where it wants them.

        Args:
            nodes: of one operation, or of several calls that share a pass.
            function: what computes it from the arguments of all of them.
        """
        if nodes[0].op == "grad":
            return self._gradient(nodes[0], function)
        moves = [self._move(node, arg) for node in nodes for arg in node.args]
        if not any(moves):
            return function

        def moved(*args: Any) -> Any:
            return function(*[arg if move is None else move(arg) for move, arg in zip(moves, args, strict=True)])

        return moved

    def _move(self, node: Node, arg: Node) -> abc.Callable[[Any], Any] | None:
        has = self.of(arg)
        if not has:
            return None
        wants = "whole" if self.couples(node) or self.of(node) == "whole" else "own"
        if self.shares[node] is None and not self.couples(node):
            wants = has
        if has == wants:
            return None
        return self.world.whole if wants == "whole" else self.world.own

    def _gradient(self, node: Node, function: abc.Callable[..., Any]) -> abc.Callable[..., Any]:
        """d (sum y) / d x, where each rank has summed what it has of y, and has an x of its own or the same as all."""
        y, x = (self.of(arg) for arg in node.args)

        def gradient(*args: Any) -> Any:
            found = function(*args)
            if x != "own":
                found = self.world.total(found)
            # A y that all ranks have was summed by each of them.
            return found if y == "own" else found / self.world.size

        return gradient

    def given(self, node: Node, value: Any) -> Any:
        """Of a source's value of the whole batch, what this rank needs."""
        return self.world.own(value) if self.of(node) == "own" else value
