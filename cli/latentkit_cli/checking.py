"""``check`` and ``explain``: what can be said of a recipe without training it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from latentkit.errors import LatentkitError, RecipeError
from latentkit_cli.options import AsJson, Assignments, RecipeName, overrides
from latentkit_cli.output import emit, heading, say

if TYPE_CHECKING:
    from latentkit import Report

Mermaid = Annotated[bool, typer.Option("--mermaid", help="A flow chart in Mermaid's language instead of text.")]
Diff = Annotated[bool, typer.Option("--diff", help="Only what differs from the recipe that this one extends.")]
Against = Annotated[
    str | None, typer.Option("--against", metavar="RECIPE", help="Only what differs from this recipe.")
]


def check(recipe: RecipeName, assignments: Assignments = None, as_json: AsJson = False) -> None:
    """Prove that a recipe is sound: names, sizes, value ranges, and where gradients go. Reads no data.

    Exits with 2 where it is not, and says all that is wrong, each with its place.

    \b
    Example:
      latentkit check ogan
      latentkit check mine.toml --set draw.z.dim=32
    """
    overlay = overrides(assignments)
    from latentkit import check as prove

    report = prove(recipe, overlay)
    if as_json:
        emit(_result(report))
        raise typer.Exit(0 if report.ok else 2)
    for warning in report.warnings:
        say(f"note: {warning}")
    if not report.ok:
        raise RecipeError(report.problems)
    typer.echo(heading(f"{report.name} is sound"))
    for sentence in report.proved:
        typer.echo(f"  {sentence}")


def _result(report: Report) -> dict[str, object]:
    problems = [{"where": item.where, "fact": item.fact, "hint": item.hint} for item in report.problems]
    return {
        "name": report.name, "ok": report.ok, "problems": problems,
        "warnings": list(report.warnings), "proved": list(report.proved),
    }  # fmt: skip


def explain(
    recipe: RecipeName,
    assignments: Assignments = None,
    mermaid: Mermaid = False,
    diff: Diff = False,
    against: Against = None,
) -> None:
    """Say what a recipe does: its objectives as equations, who trains what, shapes, parameter counts.

    \b
    Example:
      latentkit explain ogan
      latentkit explain alae-pearson --diff
      latentkit explain ogan --against alae-mlp
      latentkit explain ogan --mermaid > ogan.mmd
    """
    if diff and against is not None:
        raise LatentkitError("--diff is against what the recipe extends, --against NAME against another; give one")
    overlay = overrides(assignments)
    from latentkit import explain as told

    typer.echo(told(recipe, overlay, against=_parent(recipe) if diff else against, mermaid=mermaid))


def _parent(recipe: str) -> str:
    """The name or path of what a recipe extends."""
    from latentkit.recipe.source import read
    from latentkit.registry.manager import default_registry

    shipped = default_registry().recipes
    extended = read(recipe, None, shipped).own.get("extends")
    if not isinstance(extended, str):
        raise LatentkitError(f"'{recipe}' extends no recipe; name one to compare it with: --against NAME")
    folder = shipped[recipe].parent if recipe in shipped else Path(recipe).parent
    return str(folder / extended) if extended.endswith(".toml") else extended
