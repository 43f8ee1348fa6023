"""Where minimising a term moves the scores that it reads: up, down, or towards a number."""

from __future__ import annotations

from collections import abc

import attrs

from latentkit.explaining.bounds import Bounds
from latentkit.explaining.sketch import part_of
from latentkit.interfaces import Loss
from latentkit.wiring.graph import Node
from latentkit.wiring.wiring import Wiring

Direction = str | float
"""``up``, ``down``, or a number that the score is drawn to."""
_RISING = frozenset({"mean", "sum", "batch_mean", "softplus", "relu", "exp", "log", "sqrt", "sigmoid", "concat", "join",
                     "roll"})  # fmt: skip
_FIRST = frozenset({"clip", "chunk", "flip", "take"})
_LINEAR = frozenset({"mean", "batch_mean", "chunk", "flip", "roll", "take"})


@attrs.frozen(eq=False)
class Push:
    """A term moves a score, the value of a part or a loss, in a direction."""

    phase: str
    term: str
    score: Node
    to: Direction


def opposed(a: Direction, b: Direction) -> bool:
    """Whether two pushes are against each other."""
    return a != b


class Pushes:
    """Reads terms.

    Args:
        wiring: whose parts and scalars the nodes name.
    """

    def __init__(self, wiring: Wiring) -> None:
        self.wiring, self.interval = wiring, Bounds(wiring.recipe.scalars).of

    def of(self, node: Node, weight: Node, live: abc.Collection[Node]) -> list[tuple[Node, Direction]]:
        """The scores that minimising ``weight`` times ``node`` moves, each with its direction, as far as signs tell.

        Args:
            node: the term.
            weight: its weight; one of unknown sign counts as positive.
            live: nodes that a gradient of the trained parts passes; nothing else moves.
        """
        found: dict[tuple[Node, Direction], None] = {}
        stack: list[tuple[Node, Direction]] = [(node, "up" if self.interval(weight)[1] <= 0 else "down")]
        seen: set[tuple[Node, Direction]] = set()
        while stack:
            item = stack.pop()
            if item in seen or item[0] not in live:
                continue
            seen.add(item)
            inner = self._inside(*item)
            if inner is None:
                found[item] = None
            stack += inner or ()
        return list(found)

    def _inside(self, node: Node, to: Direction) -> list[tuple[Node, Direction]] | None:
        """What moves with a node; ``None`` where the node is a score itself."""
        if isinstance(to, float):
            return self._aimed(node, to)
        args, back = node.args, "up" if to == "down" else "down"
        if node.op in ("call", "apply"):
            part = part_of(self.wiring, node)
            return self._told(part, node, to) if isinstance(part, Loss) and part.pushes else None
        if node.op in _RISING or node.op in _FIRST:
            return [(arg, to) for arg in (args[:1] if node.op in _FIRST else args)]
        if node.op in ("add", "sub"):
            return [(args[0], to), (args[1], to if node.op == "add" else back)]
        if node.op == "neg":
            return [(args[0], back)]
        if node.op in ("mul", "div"):
            return [*self._scaled(args[0], args[1], to, back),
                    *self._scaled(args[1], args[0], *((to, back) if node.op == "mul" else (back, to)))]  # fmt: skip
        if node.op == "lerp":
            low, high = self.interval(args[2])
            return [(args[0], to), (args[1], to)] if low >= 0 and high <= 1 else []
        if node.op in ("square", "abs"):
            low, high = self.interval(args[0])
            if low >= 0 or high <= 0:
                return [(args[0], to if low >= 0 else back)]
            return self._centred(args[0]) if to == "down" else []
        return []

    def _scaled(self, node: Node, factor: Node, to: Direction, back: Direction) -> list[tuple[Node, Direction]]:
        low, high = self.interval(factor)
        return [(node, to)] if low >= 0 else [(node, back)] if high <= 0 else []

    def _told(self, part: Loss, node: Node, to: Direction) -> list[tuple[Node, Direction]]:
        found: list[tuple[Node, Direction]] = []
        ports = [port.name for port in part.signatures()[""].inputs]
        for port, arg in zip(ports, node.args, strict=True):
            told = part.pushes.get(port, "")
            target = getattr(part, told, None) if told else None
            if told in ("up", "down"):
                found.append((arg, told if to == "down" else "down" if told == "up" else "up"))
            elif isinstance(target, int | float) and to == "down":
                found.append((arg, float(target)))
        return found

    def _centred(self, node: Node) -> list[tuple[Node, Direction]]:
        """What the square or size of a sum moves: one score to a number, or several apart by one."""
        constant, factors = self._affine(node)
        if len(factors) == 1:
            ((leaf, factor),) = factors.items()
            return [(leaf, -constant / factor)] if factor else []
        if constant == 0:
            return []
        return [(leaf, "up" if factor * constant < 0 else "down") for leaf, factor in factors.items() if factor]

    def _aimed(self, node: Node, target: float) -> list[tuple[Node, Direction]] | None:
        if node.op in ("call", "apply"):
            return None
        low, high = self.interval(node)
        if target >= high or target <= low:
            return [(node, "up" if target >= high else "down")]
        return [(node.args[0], target)] if node.op in _LINEAR else []

    def _affine(self, node: Node) -> tuple[float, dict[Node, float]]:
        """A node as a constant and multiples of other nodes."""
        low, high = self.interval(node)
        if low == high:
            return low, {}
        if node.op in ("add", "sub", "neg"):
            signs = (-1.0,) if node.op == "neg" else (1.0, 1.0 if node.op == "add" else -1.0)
            constant, factors = 0.0, dict[Node, float]()
            for arg, sign in zip(node.args, signs, strict=True):
                more, inner = self._affine(arg)
                constant += sign * more
                for leaf, factor in inner.items():
                    factors[leaf] = factors.get(leaf, 0.0) + sign * factor
            return constant, factors
        if node.op in ("mul", "div"):
            for arg, other in (node.args, node.args[::-1])[: 2 if node.op == "mul" else 1]:
                low, high = self.interval(other)
                if low == high and low:
                    scale = low if node.op == "mul" else 1 / low
                    constant, factors = self._affine(arg)
                    return scale * constant, {leaf: scale * factor for leaf, factor in factors.items()}
        return 0.0, {node: 1.0}
