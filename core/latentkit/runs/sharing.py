"""What the first of several processes reads for all of them: the others need not see its files."""

from __future__ import annotations

import tomllib
from pathlib import Path

from safetensors.torch import load, save

from latentkit._building import source_of
from latentkit.engine.world import World
from latentkit.recipe.source import Source
from latentkit.recipe.writing import to_toml
from latentkit.registry.manager import Registry
from latentkit.runs import checkpoint
from latentkit.runs.checkpoint import Saved


def shared_recipe(world: World, found: Source | None, registry: Registry) -> Source:
    """The recipe that the first process has ``found``."""
    text = world.told("" if found is None else to_toml(found.tables))
    return found if found is not None else source_of(tomllib.loads(text), None, registry)


def shared_checkpoint(world: World, folder: Path, recipe: str | None = None) -> Saved | None:
    """The newest whole checkpoint of a run; see :func:`latentkit.runs.checkpoint.newest`.

    Args:
        world: the processes, all of which ask.
        folder: of the run, as the first process sees it.
        recipe: the checksum of its recipe.

    Raises:
        RunError: in the first process, where there is no checkpoint that can be used.
    """
    found = checkpoint.newest(folder, recipe) if world.leads else None
    if world.alone:
        return found
    known = world.told(None if found is None else (found.state, found.recipe, found.said))
    if known is None:
        return None
    content = world.sent(b"" if found is None else save(found.tensors))
    state, text, said = known
    return found or Saved(load(content), state, text, tuple(said))
