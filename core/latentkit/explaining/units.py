"""In which unit each likelihood and divergence is, over what it is summed, and how much one weighs beside the other."""

from __future__ import annotations

from collections import abc

from latentkit.explaining.deriving import Derivation
from latentkit.explaining.measures import Measure, Measures
from latentkit.explaining.origins import CODE, DATA
from latentkit.explaining.rendering import number
from latentkit.recipe.quantities import Constant, Quantity, Ramp, Stairs
from latentkit.spaces import SCALAR
from latentkit.wiring.wiring import Phase, Wiring

_UNITS = {"squared": "squared error", "absolute": "absolute error", "": "no unit"}
_DISTANCES = {**_UNITS, "squared": "squared distance", "absolute": "distance"}
_LAWS = {"squared": ("a Gaussian of variance", 0.5), "absolute": ("a Laplace distribution of scale", 1.0)}
"""Whose negative log-likelihood an error of weight 1 is, but for a constant, and that number."""
Found = abc.Mapping[str, list[Measure]]


class Units:
    """Units of a wiring's terms."""

    def __init__(self, wiring: Wiring) -> None:
        self.wiring, self.measures = wiring, Measures(wiring)
        self.derivation = Derivation(wiring)
        self.sample = "image" if any(space.kind == "image" for space in wiring.data_spaces.values()) else "sample"

    def rows(self, phase: Phase) -> list[tuple[str, str]]:
        """What is said of a phase: its units, and how reconstruction and divergence weigh in common ones."""
        found = {term.name: self.measures.of(term.node) for term in phase.terms}
        units = [f"{name}: {'; '.join(dict.fromkeys(map(self._said, each)))}" for name, each in found.items() if each]
        return [*_under("units", units), *_under("balance", list(self._balance(phase, found)))]

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

    def _balance(self, phase: Phase, found: Found) -> abc.Iterator[str]:
        """What each pair of a reconstruction and a divergence says of their weights."""
        weights = {name: ends(phase.spec.loss[name].weight) for name in found}
        several = [(name, measure) for name, each in found.items() for measure in each if weights[name]]
        for name, error in several:
            for other, divergence in several:
                if self._reconstructs(error) and self._is_of_codes(divergence):
                    rest = f"{other} of" if other != name else "a divergence of"
                    text = self._weighed(error, divergence, weights[name] or (), weights[other] or ())
                    if text:
                        nats = error.unit == "nats"
                        told = f"{rest.removesuffix(' of')} {text} {name}" if nats else f"{name}: {text}"
                        yield f"{told}, both in nats per {self.sample}" if nats else f"{told}, beside {rest} weight "
