"""Optimizers of a recipe, configured."""

from __future__ import annotations

from latentkit.errors import RecipeError
from latentkit.optimizers import Optimizer
from latentkit.recipe.schema import OptimizerSpec
from latentkit.wiring.components import Components


def optimizer_of(components: Components, spec: OptimizerSpec, owner: str) -> Optimizer:
    """The configured optimizer.

    Raises:
        RecipeError: unknown, or an option that it does not have.
    """
    path = ("phase", owner, "optimizer") if owner else ("optimizer",)
    found = components.configure(spec, ("optimizer",), path, Optimizer)  # type: ignore[type-abstract]
    if found is None:
        raise RecipeError(components.problems)
    return found
