"""From what a user names to what is needed to train or use it."""

from __future__ import annotations

from collections import abc
from pathlib import Path

from latentkit.recipe.source import Source, read
from latentkit.registry.manager import Registry, default_registry
from latentkit.wiring.assemble import assemble
from latentkit.wiring.wiring import Wiring

RecipeLike = str | Path | abc.Mapping[str, object] | Source
"""A shipped name, a path ending in .toml, tables, or a recipe that has been read."""


def source_of(
    recipe: RecipeLike, overrides: abc.Mapping[str, object] | None = None, registry: Registry | None = None
) -> Source:
    """The merged tables of a recipe."""
    registry = registry or default_registry()
    return read(recipe, overrides, registry.recipes)


def wired(
    recipe: RecipeLike, overrides: abc.Mapping[str, object] | None = None, registry: Registry | None = None
) -> Wiring:
    """The wiring of a recipe: names resolved, sizes inferred, nothing built.

    Raises:
        RecipeError: with all the problems that were found.
    """
    registry = registry or default_registry()
    return assemble(source_of(recipe, overrides, registry), registry)
