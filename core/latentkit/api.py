"""The Python API besides training and loading: compose, check, explain, compare, evaluate."""

from __future__ import annotations

from collections import abc
from pathlib import Path

import torch

from latentkit._building import RecipeLike, source_of, wired
from latentkit.engine.starting import initial_states
from latentkit.engine.system import System
from latentkit.errors import RecipeError
from latentkit.evaluation.evaluate import evaluate
from latentkit.explaining import Comparison, compare, explain
from latentkit.model import Model
from latentkit.proof import Report, prove_stages
from latentkit.recipe.source import Source as Recipe
from latentkit.recipe.staging import stages
from latentkit.registry.manager import Registry, default_registry
from latentkit.wiring.assemble import assemble


def compose(
    recipe: RecipeLike,
    overrides: abc.Mapping[str, object] | None = None,
    *,
    seed: int | None = None,
    registry: Registry | None = None,
) -> Model:
    """Assemble a recipe, untrained.

    Args:
        recipe: a shipped name, a path ending in .toml, or tables.
        overrides: dotted keys to values, as ``--set`` gives them.
        seed: of the initial weights; the recipe's by default.
        registry: where components are found.

    Raises:
        RecipeError: with all the problems that were found.
    """
    registry = registry or default_registry()
    wiring = wired(recipe, overrides, registry)
    system = System(wiring, registry, wiring.recipe.train.seed if seed is None else seed)
    states = initial_states(wiring, torch.device("cpu"), torch.float32)
    return Model(wiring, system.modules_by_name(), states)


def check(
    recipe: RecipeLike,
    overrides: abc.Mapping[str, object] | None = None,
    *,
    thorough: bool = False,
    registry: Registry | None = None,
) -> Report:
    """Prove a recipe's wiring and gradient routing; never opens data and never raises for a faulty recipe.

    Args:
        recipe: a shipped name, a path ending in .toml, tables, or a recipe that has been read.
        overrides: dotted keys to values, as ``--set`` gives them.
        thorough: take the numeric step of large systems too, which takes seconds; small ones always get it.
        registry: where components are found.
    """
    registry = registry or default_registry()
    try:
        wirings = [assemble(stage.source, registry) for stage in stages(source_of(recipe, overrides, registry))]
    except RecipeError as error:
        name = Path(str(recipe)).stem if isinstance(recipe, str | Path) else getattr(recipe, "name", "recipe")
        return Report(name, error.problems)
    return prove_stages(wirings, registry, thorough)


def read(
    recipe: RecipeLike, overrides: abc.Mapping[str, object] | None = None, *, registry: Registry | None = None
) -> Recipe:
    """Read a recipe, with what it extends and the overrides merged in; every function that takes a recipe takes it.

    Raises:
        RecipeError: unknown name, unreadable file, not TOML.
    """
    return source_of(recipe, overrides, registry)


def recipes(registry: Registry | None = None) -> dict[str, str]:
    """Shipped recipes by name, with one line on each."""
    registry = registry or default_registry()
    return {name: registry.notes.get(name, "") for name in sorted(registry.recipes)}


__all__ = ["Comparison", "Recipe", "check", "compare", "compose", "evaluate", "explain", "read", "recipes"]
