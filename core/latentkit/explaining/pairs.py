"""Round trips: where a term compares a value with what was made of it, and in which space."""

from __future__ import annotations

from collections import abc

import attrs

from latentkit.engine.plan import between
from latentkit.explaining.origins import Origins
from latentkit.explaining.taxonomy import Place
from latentkit.wiring.graph import CUTS, Node, ancestors
from latentkit.wiring.wiring import parts_called

_THROUGH = frozenset({"add", "sub", "neg", "mul", "div", "square", "abs", "relu", "softplus", "sqrt", "exp", "log",
                      "sigmoid", "clip", "mean", "sum", "batch_mean"})  # fmt: skip
_NUMBERS = frozenset({"score", "scalar"})


@attrs.frozen(eq=False)
class Pair:
    """A term compares ``made`` with ``of``, which it was made from: images, or codes."""

    space: Place
    """``data`` or ``latent``."""
    made: Node
    of: Node
    features: str
    """The part in whose output they are compared, where that is none of the way between them."""


class Pairs:
    """Finds them in terms.

    Args:
        plain: gives the copy of a node without ``detach``.
        origins: of these copies.
    """

    def __init__(self, plain: abc.Callable[[Node], Node], origins: Origins) -> None:
        self.plain, self.origins = plain, origins

    def of(self, node: Node) -> list[Pair]:
        """The round trips that a term compares, each once."""
        found: dict[tuple[str, str, Node, Node], Pair] = {}
        for piece in self.pieces(node):
            read = self.read(self.plain(piece))
            for made in read:
                for start in read:
                    pair = self._pair(made, start)
                    if pair is not None:
                        found.setdefault((pair.space, pair.features, pair.made, pair.of), pair)
        return list(found.values())

    def pieces(self, node: Node) -> list[Node]:
        """The numbers that a term is computed from by operations. What is detached there is a factor."""
        found: dict[Node, None] = {}
        stack = [node]
        while stack:
            piece = stack.pop()
            numbers = [arg for arg in piece.args if self._is_number(self.plain(arg))]
            if piece.op in _THROUGH and numbers:
                stack += numbers
            elif piece.op not in CUTS:
                found[piece] = None
        return list(found)

    def read(self, piece: Node) -> list[Node]:
        """The values, images or codes, that a number compares: not beyond what computes them."""
        found: dict[Node, None] = {}
        stack, seen = [piece], set[Node]()
        while stack:
            node = stack.pop()
            if node in seen:
                continue
            seen.add(node)
            if node.op == "apply" or node.op in _THROUGH or self._judges(node):
                stack += node.args
            elif node.op != "number" and not self._is_number(node):
                found[node] = None
        return sorted(found)

    def _judges(self, node: Node) -> bool:
        """A call of an untrained part that makes one number of values: a distance, or a loss."""
        if node.op != "call" or not self._is_number(node):
            return False
        return node.callee[0] not in self.origins.trained

    def _is_number(self, node: Node) -> bool:
        space = self.origins.spaces.get(node)
        return space is not None and space.kind in _NUMBERS

    def _pair(self, made: Node, start: Node) -> Pair | None:
        features = ""
        while made is not start:
            if start in ancestors(made.args) and self._alike(made, start):
                return self._trip(made, start, features)
            if made.op != "call" or start.op != "call" or made.value != start.value:
                return None
            different = [(a, b) for a, b in zip(made.args, start.args, strict=True) if a is not b]
            if len(different) != 1:
                return None
            features = ".".join(filter(None, made.callee))
            ((made, start),) = different
        return None

    def _alike(self, made: Node, start: Node) -> bool:
        spaces = [self.origins.spaces.get(node) for node in (made, start)]
        if any(space is None or space.kind in _NUMBERS for space in spaces):
            return False
        return self.origins.is_image(made) == self.origins.is_image(start)

    def _trip(self, made: Node, start: Node, features: str) -> Pair | None:
        way = between(start, made) - {start}
        if not parts_called(way) & set(self.origins.trained):
            return None
        if self.origins.is_image(start):
            return Pair("data", made, start, features)
        return Pair("latent", made, start, features) if any(self.origins.is_image(node) for node in way) else None
