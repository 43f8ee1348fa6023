"""Pictures of entanglement matrices."""

from __future__ import annotations

import io
from collections import abc
from pathlib import Path
from typing import Any

from PIL import Image

from latentkit import pictures
from latentkit._optional import of_matplotlib
from latentkit.errors import LatentkitError
from latentkit.latent.entangling import Entanglement

_CELL, _ROOM, _DPI = 0.62, 1.6, 110
"""Inches of a cell and of the names beside it, and dots per inch."""
_DARK = 0.6
"""Size of a share from which on its number is written in white."""


def save_heat_maps(matrices: abc.Mapping[str, Entanglement], path: Path) -> None:
    """Shares of entanglement matrices side by side, from -1 (blue) by 0 (white) to 1 (red), as a PNG file.

    Args:
        matrices: by their titles.
        path: of the picture.

    Raises:
        LatentkitError: there are none; matplotlib is not installed.
        DataError: the file cannot be written.
    """
    if not matrices:
        raise LatentkitError("heat maps: expected at least one matrix, found none")
    figures = of_matplotlib("matplotlib.figure", "heat maps need")
    widths = [_CELL * len(found.names) + _ROOM for found in matrices.values()]
    figure = figures.Figure(figsize=(sum(widths), max(widths) + 0.2), dpi=_DPI, layout="constrained")
    axes = figure.subplots(1, len(matrices), squeeze=False)[0]
    for axis, (title, found) in zip(axes, matrices.items(), strict=True):
        _draw(axis, title, found)
    content = io.BytesIO()
    figure.savefig(content, format="png")
    with Image.open(content) as image:
        pictures.save_png(image.convert("RGB"), path)


def _draw(axis: Any, title: str, found: Entanglement) -> None:
    axis.imshow(found.share.numpy(), cmap="RdBu_r", vmin=-1, vmax=1)
    places = range(len(found.names))
    axis.set_xticks(places, found.names, rotation=45, ha="right", rotation_mode="anchor")
    axis.set_yticks(places, found.names)
    axis.set_xlabel("moves by")
    axis.set_ylabel("edit of")
    axis.set_title(title)
    for row in places:
        for column in places:
            share = float(found.share[row, column])
            text = f"{share:.2f}".replace("-0.00", "0.00") if abs(share) < 100 else "–"
            axis.text(column, row, text, ha="center", va="center", color="white" if abs(share) > _DARK else "black")
