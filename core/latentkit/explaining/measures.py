"""What the numbers of a term are: in which unit, and over what they are summed.

Units and reductions are what losses declare (:class:`latentkit.interfaces.Loss`). Of an expression they are told where
it is made of such losses, or is a sum or mean of squares or sizes of a difference.
"""

from __future__ import annotations

import math

import attrs

from latentkit.explaining.bounds import Bounds
from latentkit.explaining.rendering import count
from latentkit.explaining.sketch import part_of
from latentkit.interfaces import Loss
from latentkit.interfaces.parts import Reduction, Role, Unit
from latentkit.spaces import SCALAR, Space
from latentkit.wiring.graph import Node, ancestors
from latentkit.wiring.wiring import Wiring

_DISTRIBUTIONS = ("divergence", "discrepancy")
_NOUNS = {
    "image": "pixel", "latent": "coordinate", "posterior": "coordinate", "styles": "coordinate", "features": "feature",
}  # fmt: skip
_KEEPING = frozenset({"batch_mean", "detach", "mean", "sum"})
"""Of one number per sample, operations that leave it what it is."""
_BENDING = frozenset({"relu", "abs", "clip"})
"""Operations that keep the unit, but not what one of it costs."""


@attrs.frozen(eq=False)
class Measure:
    """What one number of a term is."""

    role: Role | None
    unit: Unit
    reduction: Reduction
    node: Node
    features: Space | None
    """The values that are summed or averaged."""
    factor: float | None
    """How many times it counts in its term; ``None`` where that depends on its value."""

    @property
    def size(self) -> int:
        """How many numbers are summed or averaged; 0 where it is not known."""
        dims = self.features.dims if self.features else ()
        return math.prod(dim for dim in dims if isinstance(dim, int)) if dims else 0

    @property
    def each(self) -> str:
        """The word for one of them."""
        space = self.features
        if space is not None and space.kind == "image" and space.dims[0] != 1:
            return "pixel and channel"
        return _NOUNS.get(space.kind, "number") if space is not None else "number"

    @property
    def over(self) -> str:
        """``1,024 pixels``."""
        return f"{count(self.size)} {self.each.replace(' and', 's and')}s" if self.size else f"{self.each}s"

    @property
    def per_sum(self) -> float:
        """What a unit of the sum over features counts in its term; 0 where it is not known."""
        if self.factor is None or not self.unit or not self.reduction or (self.reduction == "mean" and not self.size):
            return 0.0
        return self.factor / self.size if self.reduction == "mean" else self.factor


class Measures:
    """Reads terms."""

    def __init__(self, wiring: Wiring) -> None:
        self.wiring, self.bounds = wiring, Bounds(wiring.recipe.scalars)

    def of(self, node: Node) -> list[Measure]:
        """The numbers with a known unit that a term is a sum of."""
        return self._in(node, 1.0)

    def _in(self, node: Node, factor: float | None) -> list[Measure]:
        part = part_of(self.wiring, node)
        if isinstance(part, Loss):
            told = (part.unit and not part.pushes) or part.role in _DISTRIBUTIONS
            return [self._declared(part, node, factor)] if told else []
        if node.op in ("mean", "sum") and self._error(node.args[0]):
            unit: Unit = "squared" if node.args[0].op == "square" else "absolute"
            reduction: Reduction = "mean" if node.op == "mean" else "sum"
            space = self.wiring.spaces.get(node.args[0])
            return [Measure("distance", unit, reduction, node, space, factor)]
        if node.op in ("add", "sub"):
            second = factor if node.op == "add" else _times(factor, -1.0)
            return [*self._in(node.args[0], factor), *self._in(node.args[1], second)]
        if node.op == "neg":
            return self._in(node.args[0], _times(factor, -1.0))
        if node.op in ("mul", "div"):
            return self._scaled(node, factor)
        if node.op in _KEEPING and self._is_number(node.args[0]):
            return self._in(node.args[0], factor)
        return self._in(node.args[0], None) if node.op in _BENDING and self._is_number(node) else []

    def _scaled(self, node: Node, factor: float | None) -> list[Measure]:
        for arg, other in (node.args, node.args[::-1])[: 2 if node.op == "mul" else 1]:
            if self._is_factor(other):
                low, high = self.bounds.of(other)
                known = low == high != 0
                return self._in(arg, _times(factor, low if node.op == "mul" else 1 / low) if known else None)
        return []

    def _is_factor(self, node: Node) -> bool:
        """A number that is the same for all samples and computed from none."""
        sources = [each for each in ancestors([node]) if each.op in ("source", "call", "apply", "weights")]
        return all(each.is_source("timed", "scalars") for each in sources)

    def _declared(self, part: Loss, node: Node, factor: float | None) -> Measure:
        names = [port.name for port in part.signatures()[""].inputs]
        read = node.args[names.index("of") if "of" in names else 0]
        return Measure(part.role, part.unit, part.reduction, node, self.wiring.spaces.get(read), factor)

    def _error(self, node: Node) -> bool:
        """Whether this is the square or the size of a difference of two values."""
        inner = node.args[0] if node.op in ("square", "abs") else None
        if inner is None or inner.op != "sub" or self._is_number(inner):
            return False
        return all(self.wiring.spaces.get(arg, SCALAR).batched for arg in inner.args)

    def _is_number(self, node: Node) -> bool:
        space = self.wiring.spaces.get(node)
        return space is not None and space.kind in ("score", "scalar")


def _times(factor: float | None, by: float) -> float | None:
    return None if factor is None else factor * by
