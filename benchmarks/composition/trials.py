"""A few training steps of a cell."""

from __future__ import annotations

import warnings

import attrs
import torch

from composition.axes import Cell
from composition.cells import STEPS
from composition.verdicts import Judge, Refused
from latentkit.engine.samples import open_samples
from latentkit.engine.training import Training
from latentkit.errors import LatentkitError
from latentkit.proof import prove
from latentkit.runs.finiteness import weights_are_finite


@attrs.frozen
class Fault:
    """A cell that is accepted and does not train."""

    cell: Cell
    stage: str
    """``proof``: what is looked at before a training refuses it; ``step``: a step fails or warns; ``numbers``."""
    fact: str


def trial(judge: Judge, cell: Cell) -> Fault | None:
    """Prove a cell as every training is, and take some steps; what went wrong, or nothing."""
    try:
        wiring = judge.wiring(cell)
    except Refused as error:
        return Fault(cell, "wiring", error.reason)
    stage = "proof"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            report = prove(wiring, judge.registry)
            if not report.ok:
                return Fault(cell, stage, str(report.problems[0]))
            stage = "step"
            spec, source = wiring.recipe.data["data"], wiring.data["data"]
            training = Training(wiring, judge.registry, {"data": open_samples("data", spec, source)})
            bad = _steps(training)
    except LatentkitError as error:
        return Fault(cell, stage, str(error))
    except Exception as error:
        return Fault(cell, stage, f"{type(error).__name__}: {error}")
    return Fault(cell, "numbers", bad) if bad else None


def _steps(training: Training) -> str:
    """The first step after which a loss or a weight is not finite; empty where all are."""
    for step in range(STEPS):
        terms = training.step()
        bad = [f"{phase}.{term}" for (phase, term), value in terms.items() if not bool(torch.isfinite(value).all())]
        if bad or not weights_are_finite(training):
            return f"after step {step + 1} {', '.join(bad) or 'a weight'} is not finite"
    return ""
