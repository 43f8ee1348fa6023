"""The ends of an interpolation: the code of a picture, or of a draw."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from latentkit import Model
from latentkit.errors import LatentkitError
from latentkit.evaluation.subjects import data_needed
from latentkit_cli.images import read_images


def code_of(model: Model, given: str) -> Tensor:
    """One code: of an image file, or drawn with a seed where a number was given, [1, dim].

    Raises:
        LatentkitError: the picture cannot be read; the model has no encoder; it draws no codes.
    """
    if not given.isdecimal() or Path(given).exists():
        images, _ = read_images(model, [Path(given)])
        return model.encode(images[:1])
    code = model.wiring.code
    if code is None:
        raise LatentkitError(f"'{model.name}' names no code in [inference], so there is nothing to draw")
    data = sorted(data_needed([code]))
    if data:
        raise LatentkitError(
            f"'{model.name}' computes its code from {', '.join(data)} and draws none; give image files instead of seeds"
        )
    value: Tensor = model.values([code], 1, seed=int(given))[0]
    return value
