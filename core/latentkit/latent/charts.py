"""Charts of measured directions: what images show, by the place that was asked for.

Plumerault, Le Borgne, Hudelot 2020, https://arxiv.org/abs/2001.10238, section 4: the distribution over draws at each
place as a violin, with a box for its quartiles.
"""

from __future__ import annotations

import io
from collections import abc
from pathlib import Path
from typing import Any

from latentkit._optional import optional
from latentkit.latent.measuring import FACTORS, Measured
from latentkit.runs.files import cannot_write, write_atomically

AXES = {"x": "x of barycentre", "y": "y of barycentre", "mean": "mean saliency"}
_CELL = (3.4, 2.5)  # inches


def save_chart(path: Path, measured: abc.Mapping[str, tuple[Measured, str]]) -> None:
    """Write a PNG file: a row per direction, a column per factor; the one that the direction moves is dark.

    Args:
        path: of the file.
        measured: per name what was measured, and the unit of its places.

    Raises:
        LatentkitError: matplotlib is missing.
        RunError: the file cannot be written.
    """
    figures = optional("matplotlib.figure", "charts need", "matplotlib")
    size = (_CELL[0] * len(FACTORS), _CELL[1] * len(measured))
    figure = figures.Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(measured), len(FACTORS), squeeze=False)
    for row, (name, (found, unit)) in zip(axes, measured.items(), strict=True):
        for axis, factor in zip(row, FACTORS, strict=True):
            _draw(axis, found, factor)
            axis.set_xlabel(f"{name}, {unit}" if unit else name, fontsize=8)
            axis.set_ylabel(AXES[factor], fontsize=8)
            axis.tick_params(labelsize=7)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=100)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from None
    write_atomically(path, content.getvalue())


def _draw(axis: Any, found: Measured, factor: str) -> None:
    values = found.values[factor]
    seen = [(place, row[~row.isnan()].tolist()) for place, row in zip(found.places.tolist(), values, strict=True)]
    places, samples = zip(*((place, row) for place, row in seen if len(row) > 1), strict=True)
    gap = float(found.places.diff().min())
    shapes = axis.violinplot(samples, places, widths=0.9 * gap, showextrema=False)
    own = factor == found.moves
    for body in shapes["bodies"]:
        body.set(facecolor="#31688e" if own else "#bbbbbb", alpha=0.8)
    axis.boxplot(
        samples, positions=places, widths=0.25 * gap, showfliers=False, manage_ticks=False,
        medianprops={"color": "black"}, boxprops={"linewidth": 0.6}, whiskerprops={"linewidth": 0.6},
        capprops={"linewidth": 0.6},
    )  # fmt: skip
