"""Between which numbers a value lies, from its operations alone."""

from __future__ import annotations

import math
from collections import abc

from latentkit.recipe.quantities import Constant, Quantity, Ramp, Stairs
from latentkit.wiring.graph import Node, ancestors

Interval = tuple[float, float]
_ANY = (-math.inf, math.inf)
_BOUNDS: dict[str, Interval] = {
    "softplus": (0.0, math.inf), "relu": (0.0, math.inf), "exp": (0.0, math.inf), "sqrt": (0.0, math.inf),
    "square": (0.0, math.inf), "abs": (0.0, math.inf), "sigmoid": (0.0, 1.0), "sign": (-1.0, 1.0),
}  # fmt: skip


class Bounds:
    """Bounds of nodes.

    Args:
        scalars: the recipe's, which nodes name.
    """

    def __init__(self, scalars: abc.Mapping[str, Quantity]) -> None:
        self.scalars = scalars
        self.bounds: dict[Node, Interval] = {}

    def of(self, node: Node) -> Interval:
        """Bounds of a value, from its operations alone."""
        for each in sorted(ancestors([node]) - self.bounds.keys()):
            self.bounds[each] = self._interval(each)
        return self.bounds[node]

    def _interval(self, node: Node) -> Interval:
        inner = [self.bounds[arg] for arg in node.args]
        if node.op == "number" and isinstance(node.value, int | float):
            return float(node.value), float(node.value)
        if node.op == "source":
            kind, name = node.source
            return levels(self.scalars.get(name) if kind == "scalars" else name if kind == "timed" else None)
        if node.op in ("detach", "mean", "batch_mean", "chunk", "flip", "roll", "take"):
            return inner[0]
        if node.op == "clip":
            return inner[1][0], inner[2][1]
        if node.op == "neg":
            return -inner[0][1], -inner[0][0]
        if node.op in ("add", "sub"):
            low, high = inner[1] if node.op == "add" else (-inner[1][1], -inner[1][0])
            return inner[0][0] + low, inner[0][1] + high
        if node.op in ("mul", "div", "sum"):
            return _product(inner, node.op)
        return _BOUNDS.get(node.op, _ANY)


def _product(inner: abc.Sequence[Interval], op: str) -> Interval:
    if op == "mul" and all(math.isfinite(bound) for pair in inner for bound in pair):
        ends = [a * b for a in inner[0] for b in inner[1]]
        return min(ends), max(ends)
    signs = {-1 if high <= 0 else 1 if low >= 0 else 0 for low, high in inner}
    if op == "div" and len(inner) == 2 and inner[1][0] == inner[1][1] != 0:
        ends = sorted(bound / inner[1][0] for bound in inner[0])
        return ends[0], ends[1]
    if 0 in signs:
        return _ANY
    same = len(signs) == 1 and (len(inner) == 2 or signs == {1})
    return (0.0, math.inf) if same else (-math.inf, 0.0)


def levels(quantity: Quantity | None) -> Interval:
    """The least and the largest number that a quantity takes."""
    if isinstance(quantity, Constant):
        return float(quantity.value), float(quantity.value)
    if isinstance(quantity, Ramp):
        return min(quantity.start_value, quantity.end_value), max(quantity.start_value, quantity.end_value)
    if isinstance(quantity, Stairs):
        numbers = [level for _, level in quantity.steps]
        return min(numbers), max(numbers)
    return _ANY
