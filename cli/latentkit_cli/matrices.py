"""Entanglement matrices, as a table and as JSON."""

from __future__ import annotations

import math
from collections import abc
from pathlib import Path

from latentkit.latent.entangling import Entanglement
from latentkit_cli.output import rows


def matrix_table(found: Entanglement) -> str:
    """Shares, a row per edit, and how well each attribute is read."""
    names = found.names
    lines = [("edit of", *names, "own change", "")]
    for index, name in enumerate(names):
        shares = [_figure(float(value)) for value in found.share[index]]
        lines.append((name, *shares, _figure(float(found.change[index, index])), ""))
    told = [("read off images", "", "")]
    for name, read in zip(names, found.read, strict=True):
        figure = f"R2 {_figure(read.value)}" if read.figure == "r2" else f"{100 * read.value:.1f} % right"
        guess = "" if read.figure == "r2" else f"{100 * read.guess:.1f} % without looking"
        told.append((name, figure, guess))
    facts = f"{found.n:,} held-out images, moved by {found.amount:g} standard deviations of the codes; reader of "
    summary = f"off the diagonal {_figure(found.off_diagonal)} (mean size); {facts}{found.trained_on:,} images"
    return "\n".join([rows(lines), "", rows(told), "", summary])


def _figure(value: float) -> str:
    return f"{value:.2f}".replace("-0.00", "0.00") if math.isfinite(value) else "-"


def matrix_facts(found: Entanglement, out: Path | None) -> dict[str, object]:
    """The same for JSON, with changes, and cosines of the directions."""
    return {
        "file": None if out is None else str(out), "attributes": list(found.names),
        "share": _plain(found.share.tolist()), "change": _plain(found.change.tolist()),
        "deviation": _plain(found.deviation.tolist()),
        "cosines": None if found.cosines is None else found.cosines.tolist(),
        "off_diagonal": _plain(found.off_diagonal),
        "amount": found.amount, "n": found.n, "trained_on": found.trained_on,
        "read": [
            {"attribute": name, "figure": read.figure, "value": _plain(read.value), "guess": _plain(read.guess)}
            for name, read in zip(found.names, found.read, strict=True)
        ],
    }  # fmt: skip


def _plain(value: object) -> object:
    """Numbers as JSON has them, which knows no infinity."""
    if isinstance(value, abc.Sequence):
        return [_plain(item) for item in value]
    return value if isinstance(value, float) and math.isfinite(value) else None
