"""In which unit each likelihood and divergence is, over what it is summed, and how much one weighs beside the other."""

from __future__ import annotations

from collections import abc

import attrs

from latentkit.explaining.facts import Facts
from latentkit.explaining.measures import Measure, Measures
from latentkit.explaining.origins import CODE, DATA
from latentkit.explaining.rendering import number
from latentkit.recipe.quantities import Constant, Quantity, Ramp, Stairs
from latentkit.spaces import SCALAR
from latentkit.wiring.wiring import Phase, Wiring

_UNITS = {"squared": "squared error", "absolute": "absolute error", "": "no unit"}
_DISTANCES = {**_UNITS, "squared": "squared distance", "absolute": "distance"}
_LAWS = {"squared": ("a squared error", "a Gaussian of variance", 0.5),
         "absolute": ("an absolute error", "a Laplace distribution of scale", 1.0)}  # fmt: skip
"""Whose negative log-likelihood an error of weight 1 is, but for a constant, and of which variance or scale."""
Ends = tuple[float, float]


@attrs.frozen(eq=False)
class _Side:
    """A number of a term with its weight, at the beginning and at the end of its schedule."""

    name: str
    measure: Measure
    weight: Ends

    @property
    def factors(self) -> Ends:
        """The weight, times what the expression multiplies with."""
        factor = self.measure.factor or 0.0
        return self.weight[0] * factor, self.weight[1] * factor

    @property
    def costs(self) -> Ends:
        """What a unit of the sum over features costs; 0 where that is not known."""
        per_sum = self.measure.per_sum
        return self.weight[0] * per_sum, self.weight[1] * per_sum

    @property
    def how(self) -> str:
        """``summed over 1,024 pixels``."""
        return f"{'averaged' if self.measure.reduction == 'mean' else 'summed'} over {self.measure.over}"


class Units:
    """Units of a wiring's terms."""

    def __init__(self, wiring: Wiring) -> None:
        self.wiring, self.measures = wiring, Measures(wiring)
        self.facts = Facts(wiring)
        self.sample = "image" if any(space.kind == "image" for space in wiring.data_spaces.values()) else "sample"

    def rows(self, phase: Phase) -> list[tuple[str, str]]:
        """What is said of a phase: its units, and how reconstruction and divergence weigh in common ones."""
        found = {term.name: self.measures.of(term.node) for term in phase.terms}
        units = [f"{name}: {'; '.join(dict.fromkeys(map(self._said, each)))}" for name, each in found.items() if each]
        sides = [
            _Side(name, measure, weight) for name, each in found.items() for measure in each
            if (weight := ends(phase.spec.loss[name].weight)) is not None
        ]  # fmt: skip
        errors = [side for side in sides if self._reconstructs(side.measure)]
        divergences = [side for side in sides if self._is_of_codes(side.measure)]
        balance = [text for error in errors for other in divergences if (text := self._weighed(error, other))]
        return [*_under("units", units), *_under("balance", balance)]

    def _said(self, measure: Measure) -> str:
        words = (_DISTANCES if measure.role == "discrepancy" else _UNITS).get(measure.unit, measure.unit)
        alone = self.wiring.spaces.get(measure.node) == SCALAR
        batch = "one number for the batch" if alone else "mean over the batch"
        images = measure.unit == "nats" or (measure.features is not None and measure.features.kind == "image")
        sample = self.sample if images else "sample"
        if not measure.reduction:
            return f"{words}{f' per {sample}' if measure.unit and not alone else ''}, {batch}"
        if measure.reduction == "sum":
            return f"{words} per {sample}, summed over {measure.over}, {batch}"
        joint = f", {batch}" if alone else " and the batch"
        return f"{words} per {measure.each}, mean over {measure.over}{joint}"

    def _reconstructs(self, measure: Measure) -> bool:
        """Whether this compares data with what was made of their codes."""
        found = self.facts
        pairs = found.pairs.of(found.sketch.of(measure.node))
        return measure.role not in ("divergence", "discrepancy") and any(found.origins.of(p.of) == DATA for p in pairs)

    def _is_of_codes(self, measure: Measure) -> bool:
        """Whether this is the divergence of each image's posterior; that of a whole batch is part of no bound."""
        found = self.facts
        read = [found.plain.of(found.sketch.of(arg)) for arg in measure.node.args]
        posteriors = [node for node in read if found.plain.spaces.get(node, SCALAR).kind == "posterior"]
        return (measure.role, measure.unit) == ("divergence", "nats") and CODE in map(found.origins.of, posteriors)

    def _weighed(self, error: _Side, other: _Side) -> str:
        """A reconstruction and a divergence in common units; empty where one of their costs is not known."""
        if min(error.costs) <= 0 or min(other.costs) < 0 or max(other.costs) == 0:
            return ""
        ratios = [b / a for a, b in zip(error.costs, other.costs, strict=True)]
        name = "the divergence" if other.name == error.name else other.name
        if error.measure.unit == "nats":
            times = "" if set(ratios) == {1.0} else f"{_range(ratios)} times "
            return f"{name} weighs {times}as much as {error.name}, both in nats per {self.sample}"
        what, law, width = _LAWS[error.measure.unit]
        beside = f", beside weight {_range(other.factors)} on {name}"
        beside += f" {other.how}" if other.measure.reduction == "mean" else ""
        return (
            f"{error.name}: weight {_range(error.factors)} on {what} {error.how}"
            f"{beside if set(other.costs) != {1.0} else ''} = {law} {_range([width * ratio for ratio in ratios])}"
        )


def ends(quantity: Quantity) -> Ends | None:
    """The first and the last number that a quantity takes; ``None`` of an expression."""
    if isinstance(quantity, Constant):
        return float(quantity.value), float(quantity.value)
    if isinstance(quantity, Ramp):
        return quantity.start_value, quantity.end_value
    return (quantity.steps[0][1], quantity.steps[-1][1]) if isinstance(quantity, Stairs) else None


def _range(numbers: abc.Iterable[float]) -> str:
    return " → ".join(dict.fromkeys(number(float(f"{value:.4g}")) for value in numbers))


def _under(label: str, texts: abc.Sequence[str]) -> list[tuple[str, str]]:
    return [(label if index == 0 else "", text) for index, text in enumerate(texts)]
