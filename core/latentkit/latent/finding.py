"""Directions of a run: found by a component of kind ``direction``, and kept beside the model."""

from __future__ import annotations

from collections import abc
from pathlib import Path
from typing import Any

from torch import Tensor

from latentkit.errors import LatentkitError, RecipeError
from latentkit.interfaces.directions import Direction, DirectionFinder, Examples, Told
from latentkit.latent.direction_files import read_directions, write_directions
from latentkit.model import Model
from latentkit.recipe.converting import structure
from latentkit.registry.manager import Registry, default_registry

FILE = "directions.safetensors"
"""In a run's folder."""


def finder_of(
    name: str, options: abc.Mapping[str, object] | None = None, registry: Registry | None = None
) -> DirectionFinder:
    """A finder by its name in the registry, with options.

    Raises:
        RegistryError: no such finder.
        RecipeError: options that it does not have, or of the wrong kind; all of them.
    """
    kind: Any = (registry or default_registry()).load(name, ("direction",))
    value, problems = structure(options or {}, kind, lambda path: f"{name}: {'.'.join(path)}", ())
    if problems:
        raise RecipeError(problems)
    assert isinstance(value, DirectionFinder)
    return value


def find_directions(
    model: Model,
    finder: str | DirectionFinder,
    options: abc.Mapping[str, object] | None = None,
    *,
    examples: Examples | None = None,
    given: abc.Mapping[str, Tensor | float] | None = None,
    seed: int = 0,
    progress: Told | None = None,
    registry: Registry | None = None,
) -> dict[str, Direction]:
    """Directions of a model, by name.

    Args:
        model: a finished one, in evaluation mode.
        finder: one of ``latentkit list direction``, or an object.
        options: of a finder that was named.
        examples: codes of images whose attributes are known, for a finder that wants them.
        given: what the model's roles need besides codes.
        seed: of everything that is drawn.
        progress: told of a search that takes its time.
        registry: where components are found.

    Raises:
        LatentkitError: the finder does not suit the model, wants examples, or finds nothing.
        RecipeError: options that are none.
        RegistryError: no such finder.
    """
    name = finder if isinstance(finder, str) else type(finder).__name__
    made = finder_of(finder, options, registry) if isinstance(finder, str) else finder
    reason = made.applies(model)
    if reason:
        raise LatentkitError(f"'{name}' finds no directions in '{model.name}': {reason}")
    if made.supervised and examples is None:
        raise LatentkitError(f"'{name}' wants images whose attributes are known, found none: give them with --labels")
    return made.find(model, examples=examples, given=given, seed=seed, progress=progress)


def keep_directions(path: Path, directions: abc.Mapping[str, Direction], model: Model) -> list[str]:
    """Add directions to a file, which is made where there is none; returns the names that were there and are replaced.

    Raises:
        RunError: the file is damaged, or of another model.
    """
    known = read_directions(path, model) if path.exists() else {}
    write_directions(path, {**known, **directions}, model)
    return [name for name in directions if name in known]
