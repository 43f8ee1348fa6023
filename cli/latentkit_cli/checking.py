"""``check`` and ``explain``: what can be said of a recipe without training it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from latentkit.errors import LatentkitError, RecipeError
from latentkit_cli.brisk import brisk
from latentkit_cli.options import AsJson, Assignments, RecipeName, overrides
from latentkit_cli.output import emit, heading, rows, say

if TYPE_CHECKING:
    from latentkit import Report

Mermaid = Annotated[bool, typer.Option("--mermaid", help="A flow chart in Mermaid's language instead of text.")]
Diff = Annotated[
    bool, typer.Option("--diff", help="Only what differs from the recipe that this one extends, or what --set changes.")
]
Against = Annotated[str | None, typer.Option("--against", metavar="RECIPE", help="Only what differs from this recipe.")]
Recipes = Annotated[list[str], typer.Argument(metavar="RECIPE", help="A shipped recipe's name, or a .toml file.")]
Compare = Annotated[
    bool, typer.Option("--compare", help="A table of what matches which distribution; takes several recipes.")
]


Thorough = Annotated[
    bool,
    typer.Option("--thorough", help="Take the numeric step of large systems too; some seconds. `compose` does it."),
]


def check(
    recipe: RecipeName, assignments: Assignments = None, thorough: Thorough = False, as_json: AsJson = False
) -> None:
    """Prove that a recipe is sound, without data.

    Names, sizes and value ranges fit, and gradients go where the recipe says. Where they do not, all that is wrong
    is told, each with its place, and the exit status is 2. What is proved and what was only seen are told apart.

    \b
    Example:
      latentkit check ogan
      latentkit check mine.toml --set draw.z.dim=32
    """
    overlay = overrides(assignments)
    with brisk():
        from latentkit import check as prove

        report = prove(recipe, overlay, thorough=thorough)
    if as_json:
        emit(_result(report))
        raise typer.Exit(0 if report.ok else 2)
    for warning in report.warnings:
        say(f"note: {warning}")
    if not report.ok:
        raise RecipeError(report.problems)
    typer.echo(heading(f"{report.name} is sound"))
    for title, sentences in _found(report):
        typer.echo(f"\n{title}:\n" + rows([(sentence,) for sentence in sentences], indent="  "))


def _found(report: Report) -> list[tuple[str, tuple[str, ...]]]:
    """What was established, by how it is known."""
    groups = [
        ("Proved on the expressions, for all values", report.graph),
        ("Proved on shapes, for these sizes", report.shapes),
        ("Seen in one numeric step on synthetic data; no data was opened", report.probe),
        ("Not seen, which does not say that it is not so", report.not_seen),
    ]
    return [(title, sentences) for title, sentences in groups if sentences]


def _result(report: Report) -> dict[str, object]:
    problems = [{"where": item.where, "fact": item.fact, "hint": item.hint} for item in report.problems]
    return {
        "name": report.name, "ok": report.ok, "problems": problems,
        "warnings": list(report.warnings), "graph": list(report.graph), "shapes": list(report.shapes),
        "probe": list(report.probe), "not_seen": list(report.not_seen),
    }  # fmt: skip


def explain(
    recipes: Recipes,
    assignments: Assignments = None,
    mermaid: Mermaid = False,
    diff: Diff = False,
    against: Against = None,
    compare: Compare = False,
    as_json: AsJson = False,
) -> None:
    """Say what a recipe does.

    Its objectives as equations, who trains what in which phase, the shapes along every edge, parameter counts.
    With --compare, of one or several recipes, by what each matches the distributions of data and of codes.

    \b
    Example:
      latentkit explain ogan
      latentkit explain alae-pearson --diff
      latentkit explain ogan --against alae-mlp
      latentkit explain ogan --mermaid > ogan.mmd
      latentkit explain --compare vae aae alae-mlp mine.toml
    """
    if compare:
        _compare(recipes, overrides(assignments), as_json, alone=not (mermaid or diff or against is not None))
        return
    if len(recipes) > 1:
        raise LatentkitError(f"one recipe is explained at a time, found {len(recipes)}; --compare takes several")
    if as_json:
        raise LatentkitError("--json is for --compare; a page on one recipe is text")
    (recipe,) = recipes
    if diff and against is not None:
        raise LatentkitError("--diff is against what the recipe extends, --against NAME against another; give one")
    if mermaid and (diff or against is not None):
        raise LatentkitError("--mermaid draws one recipe; leave it out, or leave out --diff and --against")
    overlay = overrides(assignments)
    with brisk():
        from latentkit import explain as told

        text = told(recipe, overlay, against="parent" if diff else against, mermaid=mermaid)
    typer.echo(text, nl=False)


def _compare(recipes: list[str], overlay: dict[str, object], as_json: bool, alone: bool) -> None:
    if not alone:
        raise LatentkitError("--compare has a table of its own; leave out --diff, --against and --mermaid")
    with brisk():
        from latentkit import compare

        found = compare(recipes, overlay)
    if as_json:
        emit(found.tables())
    else:
        typer.echo(str(found), nl=False)
