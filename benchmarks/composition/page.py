"""The result as a page."""

from __future__ import annotations

import itertools
import re
import textwrap
from collections import abc

import attrs

from composition.axes import AXES, Axes, Choice
from composition.cells import BATCH, STEPS, tables
from composition.covering import Allowed
from composition.trials import Fault
from composition.verdicts import Count, Judge
from latentkit.recipe.writing import to_toml

TITLES = {
    "encoder": "encoder", "generator": "generator, with the activation that decides on its range",
    "range": "range of the data", "prior": "prior", "discriminator": "discriminator",
    "adversarial": "adversarial losses", "reciprocity": "reciprocity", "regularizer": "regularizer",
}  # fmt: skip


@attrs.frozen(kw_only=True)
class Result:
    """All that was found."""

    axes: Axes
    left_out: dict[str, str]
    counts: list[Count]
    wirings: int
    """Recipes that were wired for the counts."""
    seconds: float
    """That this took."""
    checked: int
    """Cells drawn at random that were wired one by one."""
    sample: int
    """Cells that were trained."""
    faults: list[Fault]
    trained: float
    """Seconds that this took."""
    command: str


def page(result: Result, judge: Judge) -> str:
    """The page, in Markdown."""
    blocks = [
        "# What composes with what",
        _wrapped(
            f"""A generator, an encoder and a discriminator, trained against each other: this page tells of every such
            system that can be put together from what ships whether the library accepts it, and if not, why. It is
            written by `{result.command}`, and not by hand."""
        ),
        _numbers(result),
        *_how(result),
        "## Choices",
        _wrapped(
            """With the share of the systems that are accepted. After a loss stands what it compares: pixels of
            `G(E(x))` and `x`, latents `E(G(z))` and `z`, or posteriors `E(x)` and `E(G(z))`."""
        ),
        _choices(result),
        "## Encoders and generators",
        _table(result, "encoder", "generator"),
        "## Reasons",
        _wrapped(
            """The first thing that is wrong with a system, and the choices that bring it about together. E, G and D
            are encoder, generator and discriminator."""
        ),
        _whys(result),
        *_left_out(result),
        *_faults(result, judge),
    ]
    return "\n\n".join(blocks) + "\n"


def _wrapped(text: str) -> str:
    whole = re.sub("`[^`]*`", lambda code: code[0].replace(" ", "\0"), " ".join(text.split()))
    return textwrap.fill(whole, 120, break_long_words=False, break_on_hyphens=False).replace("\0", " ")


def _rows(head: abc.Sequence[str], rows: abc.Iterable[abc.Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _numbers(result: Result) -> str:
    allowed = Allowed(result.axes, result.counts)
    total, good = _cells(result.counts), _cells(_accepted(result.counts))
    possible = sum(len(result.axes[one]) * len(result.axes[two]) for one, two in itertools.combinations(AXES, 2))
    rows = [
        ("systems", f"{total:,}"),
        ("accepted", f"{good:,} ({_percent(good / total)})"),
        ("refused", f"{total - good:,}, each with a [reason](#reasons)"),
        ("two choices that meet in an accepted system", f"{len(allowed.pairs):,} of {possible:,}"),
        (f"trained for {STEPS} steps", f"{result.sample}, among which all of these meet"),
        ("of these failed", str(len(result.faults) or "none")),
    ]
    return _rows(("", ""), rows)


def _how(result: Result) -> list[str]:
    checks = f"""Names, ports, sizes, value ranges and the ways of gradients are checked, as `latentkit check` does
        first, and no network is run. These checks see of a component its ports alone, so that one system stands for all
        that differ from it in components of equal ports only, and what refuses a part of a recipe refuses the whole:
        {result.wirings:,} recipes were wired, in {result.seconds:.0f} s of one core
        ({1000 * result.seconds / result.wirings:.1f} ms each). {result.checked:,} systems drawn at random were then
        wired one by one; each had the verdict that it has here."""
    trials = f"""The systems that are trained are narrow, with batches of {BATCH} sprites of the smallest side that
        their parts take. Each is proved as before any training; then its losses, weights and optimizer states must be
        finite after every step, and nothing may warn. That took {result.trained:.0f} s."""
    return [_wrapped(checks), _wrapped(trials)]


def _choices(result: Result) -> str:
    rows = []
    for axis in AXES:
        shares = [f"`{choice.name}` {_share(result.counts, {axis: choice})}" for choice in result.axes[axis]]
        rows.append((f"{TITLES[axis]} ({len(shares)})", ", ".join(shares)))
    return _rows(("axis", "choices"), rows)


def _table(result: Result, down: str, across: str) -> str:
    columns = result.axes[across]
    rows = [
        (f"`{row.name}`", *(_share(result.counts, {down: row, across: column}) for column in columns))
        for row in result.axes[down]
    ]
    return _rows(("", *(f"`{column.name}`" for column in columns)), rows)


def _whys(result: Result) -> str:
    reasons: dict[str, list[Count]] = {}
    for count in result.counts:
        if count.reason:
            reasons.setdefault(count.reason, []).append(count)
    accepted = list(_accepted(result.counts))
    causes: dict[str, list[str]] = {}
    for reason in sorted(reasons, key=lambda reason: -_cells(reasons[reason])):
        found = cause(reasons[reason], accepted)
        text = "; ".join(f"{axis} {_named(them, result.axes[axis])}" for axis, them in found.items())
        causes.setdefault(text, []).append(reason)
    sizes = {text: sum(_cells(reasons[reason]) for reason in them) for text, them in causes.items()}
    rows = [
        (f"{sizes[text]:,}", "; or ".join(causes[text]), text) for text in sorted(causes, key=lambda it: -sizes[it])
    ]
    return _rows(("systems", "why", "choices"), rows)


def cause(counts: abc.Sequence[Count], accepted: abc.Sequence[Count]) -> dict[str, list[Choice]]:
    """The choices of these cells on the fewest axes such that no accepted cell has them together."""
    found = [{choice: None for count in counts for choice in count.groups[axis]} for axis in range(len(AXES))]
    for size in range(1, len(AXES) + 1):
        for some in itertools.combinations(range(len(AXES)), size):
            met = {tuple(count.groups[axis][0] for axis in some) for count in accepted}
            if not any(all(choice in found[axis] for axis, choice in zip(some, each, strict=True)) for each in met):
                return {AXES[axis]: list(found[axis]) for axis in some}
    raise AssertionError("an accepted cell has the choices of a refused one")


def _named(found: abc.Sequence[Choice], known: abc.Sequence[Choice]) -> str:
    missing = [choice for choice in known if choice not in found]
    names = ", ".join(f"`{choice.name}`" for choice in (missing if len(missing) < len(found) else found))
    return f"other than {names}" if len(missing) < len(found) else names


def _left_out(result: Result) -> list[str]:
    items = "\n".join(f"- `{name}`: {reason}" for name, reason in result.left_out.items())
    return ["## Left out", "Components of these kinds that stand in no system here.", items] if items else []


def _faults(result: Result, judge: Judge) -> list[str]:
    blocks = ["## Faults", "Systems that are accepted and do not train."] if result.faults else []
    for fault in result.faults:
        recipe = to_toml(tables(fault.cell, judge.side(fault.cell)))
        blocks += [f"`{fault.stage}`: {fault.fact}", f"```toml\n{recipe}```"]
    return blocks


def _share(counts: abc.Iterable[Count], fixed: dict[str, Choice]) -> str:
    wanted = {AXES.index(axis): choice for axis, choice in fixed.items()}
    mine = [count for count in counts if all(choice in count.groups[axis] for axis, choice in wanted.items())]
    good = sum(count.cells_with(wanted) for count in _accepted(mine))
    return _percent(good / sum(count.cells_with(wanted) for count in mine))


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _accepted(counts: abc.Iterable[Count]) -> abc.Iterator[Count]:
    return (count for count in counts if not count.reason)


def _cells(counts: abc.Iterable[Count]) -> int:
    return sum(count.cells for count in counts)
