"""A recipe as one page of plain text."""

from __future__ import annotations

from collections import abc

from latentkit._building import RecipeLike, source_of
from latentkit.errors import LatentkitError
from latentkit.explaining import tables
from latentkit.explaining.differences import differences
from latentkit.explaining.flowchart import flowchart
from latentkit.explaining.layout import section
from latentkit.explaining.objectives import phases
from latentkit.recipe.source import Source
from latentkit.registry.manager import Registry, default_registry
from latentkit.wiring.assemble import assemble
from latentkit.wiring.wiring import Wiring

PARENT = "parent"


def explain(
    recipe: RecipeLike,
    overrides: abc.Mapping[str, object] | None = None,
    *,
    against: RecipeLike | None = None,
    mermaid: bool = False,
    registry: Registry | None = None,
) -> str:
    """What a recipe says, as text: flow, objectives with their routing, shapes, parts, settings.

    Args:
        recipe: a shipped name, a path ending in .toml, or tables.
        overrides: dotted keys to values, as ``--set`` gives them.
        against: tell what differs from this recipe instead; ``"parent"`` is the recipe that it extends or, where it
            extends none, itself without the overrides.
        mermaid: a flowchart in Mermaid's language instead.
        registry: where components are found.

    Raises:
        RecipeError: one of the recipes has problems; all of them.
        LatentkitError: ``"parent"`` of a recipe that has none, or ``against`` together with ``mermaid``.
    """
    registry = registry or default_registry()
    if against is not None and mermaid:
        raise LatentkitError("a flowchart shows one recipe: leave out 'against' or 'mermaid'")
    source = source_of(recipe, overrides, registry)
    if against is not None:
        other = source_of(recipe, None, registry) if against == PARENT else source_of(against, None, registry)
        if against == PARENT:
            other = _parent(source, other, bool(overrides))
        return differences(assemble(source, registry), assemble(other, registry), registry)
    wiring = assemble(source, registry)
    return flowchart(wiring) if mermaid else page(wiring, registry)


def _parent(source: Source, itself: Source, overridden: bool) -> Source:
    if source.parent is not None:
        return source.parent
    if overridden:
        return itself
    raise LatentkitError(f"'{source.name}' extends no recipe: name the one to compare it with (--against NAME)")


def page(wiring: Wiring, registry: Registry) -> str:
    """The whole page."""
    recipe = wiring.recipe
    head = f"{recipe.name} — {recipe.title}" if recipe.title else recipe.name
    lineage = f"extends {wiring.source.parent.name}" if wiring.source.parent else ""
    counts = tables.parameter_counts(wiring, registry)
    lines = [head, "═" * len(head), *filter(None, [", ".join(filter(None, (recipe.paper, lineage)))])]
    lines += section("Data and draws", tables.outside(wiring))
    lines += section("Flow", tables.flow(wiring))
    lines += section("Training step", phases(wiring))
    lines += section("Values and spaces, per sample", tables.values(wiring))
    lines += section("Parts", tables.parts(wiring, counts))
    lines += section("Settings", tables.settings(wiring))
    lines += section("Stages", tables.course(wiring))
    lines += section("Warnings", [f"  {warning}" for warning in wiring.warnings])
    return "\n".join(lines) + "\n"
