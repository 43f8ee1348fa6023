"""How often a phase runs, and what follows for the values that it keeps and for joint steps."""

from __future__ import annotations

from latentkit.recipe.quantities import Constant, Ramp, Stairs, Timed
from latentkit.recipe.schema import ONE, PhaseSpec, Recipe
from latentkit.wiring.names import Names

MOST_REPEATS = 1000
"""Of a phase in one step. More would be a step that does not end."""


def check_times(name: str, spec: PhaseSpec, names: Names) -> None:
    """``every``, ``repeat`` and ``keep`` of a phase: what later phases read must exist at every step."""
    if spec.every < 1:
        names.problem(("phase", name, "every"), f"must be at least 1, found {spec.every}")
    for key in spec.keep:
        if not key.isidentifier():
            fact = f"'{key}' is no name; give the expression a name in [flow] to keep it"
            names.problem(("phase", name, "keep"), fact)
    least, most = _extremes(spec.repeat)
    if least < 0 or most > MOST_REPEATS:
        found = most if least >= 0 else least
        fact = f"expected a number of repeats from 0 to {MOST_REPEATS}, found {found:g}"
        names.problem(("phase", name, "repeat"), fact)
    lazy = spec.every > 1 or (bool(spec.loss) and all(term.every > 1 for term in spec.loss.values()))
    if spec.keep and (lazy or least < 1):
        fact = "needs a phase that runs in every step: later phases read what it keeps"
        names.problem(("phase", name, "keep"), fact, "drop 'every' or 'repeat' of 0 here, or the 'keep'")


def check_together(recipe: Recipe, names: Names) -> None:
    """One joint step has one forward pass: no repeats, nothing to keep."""
    for name, spec in recipe.phase.items() if recipe.together else ():
        for key, given in (("repeat", spec.repeat != ONE), ("keep", bool(spec.keep))):
            if given:
                fact = f"together = true excludes '{key}': all phases share one forward"
                names.problem(("phase", name, key), fact, f"drop 'together' or '{key}'")


def _extremes(repeat: Timed) -> tuple[float, float]:
    """The smallest and the largest value that a number takes."""
    match repeat:
        case Constant(value=value):
            return value, value
        case Ramp(start_value=start, end_value=end):
            return min(start, end), max(start, end)
        case Stairs(steps=steps):
            return min(value for _, value in steps), max(value for _, value in steps)
