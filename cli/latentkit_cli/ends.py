"""Codes of what a user names: of a picture, or of a draw."""

from __future__ import annotations

from collections import abc
from pathlib import Path

import torch
from torch import Tensor

from latentkit import Model
from latentkit.latent.codes import drawn_codes
from latentkit_cli.images import read_images


def code_of(model: Model, given: str) -> Tensor:
    """One code: of an image file, or drawn with a seed where a number was given, [1, dim].

    Raises:
        LatentkitError: the picture cannot be read; the model has no encoder; it draws no codes.
    """
    if not given.isdecimal() or Path(given).exists():
        images, _ = read_images(model, [Path(given)])
        return model.encode(images[:1])
    return drawn_codes(model, 1, int(given), instead="give image files instead of seeds")


def codes_of(model: Model, given: abc.Sequence[str]) -> Tensor:
    """Codes of image files, folders of them, and draws by their seeds: ``3``, or ``1,2,5``; [n, dim].

    Raises:
        LatentkitError: as :func:`code_of`.
    """
    found = []
    for item in given:
        if Path(item).is_dir():
            found.append(model.encode(read_images(model, [Path(item)])[0]))
            continue
        several = not Path(item).exists() and all(piece.strip().isdecimal() for piece in item.split(","))
        found += [code_of(model, piece.strip()) for piece in (item.split(",") if several else [item])]
    return torch.cat(found)
