"""Pictures of the user's, as a model reads them."""

from __future__ import annotations

from collections import abc
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from latentkit import Model
from latentkit.data.images import Pixels, fit, upright_size
from latentkit.engine.samples import scaled
from latentkit.errors import DataError
from latentkit_cli.output import note

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
"""Of files that are taken from a folder; a file that is named may have any."""
NAMED = 8


def read_images(model: Model, paths: abc.Sequence[Path]) -> tuple[Tensor, list[str]]:
    """Pictures cropped around the centre, resized and scaled to the model's: [n, c, h, w], and their files.

    Smaller ones are enlarged, which is noted.

    Raises:
        DataError: missing or unreadable files, all named; a folder without pictures.
        LatentkitError: the model has no images.
    """
    files = picture_files(paths)
    pixels = torch.from_numpy(read_pixels(model, files))
    spec = model.data
    assert spec is not None, "a model with an image space has a data source"
    return scaled(pixels, spec, "image", model.dtype).to(model.device), [*map(str, files)]


def read_pixels(model: Model, files: abc.Sequence[Path]) -> Pixels:
    """The same as they are in a file, uint8 [n, c, h, w].

    Raises:
        DataError: unreadable files, all named.
        LatentkitError: the model has no images.
    """
    channels, height, width = (int(size) for size in model.image_space.dims if isinstance(size, int))
    pixels = np.empty((len(files), channels, height, width), np.uint8)
    broken, small = [], []
    for index, file in enumerate(files):
        try:
            with Image.open(file) as image:
                tall, wide = upright_size(image)
                pixels[index] = fit(image, height, width, channels)
                if tall < height or wide < width:
                    small.append(file)
        except Exception:  # Pillow's decoders raise many kinds for damaged files
            broken.append(file)
    if broken:
        raise DataError(f"no picture that can be read: {_listed(broken)}")
    if small:
        note(f"smaller than the model's {height} x {width} and enlarged: {_listed(small)}")
    return pixels


def picture_files(paths: abc.Sequence[Path]) -> list[Path]:
    """The files themselves, and the pictures in folders and below, by name.

    Raises:
        DataError: what is not there; a folder without pictures.
    """
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise DataError(f"no such file or folder: {_listed(missing)}")
    found: list[Path] = []
    for path in paths:
        below = (item for item in path.rglob("*") if item.suffix.lower() in SUFFIXES and item.is_file())
        inside = sorted(below) if path.is_dir() else [path]
        if not inside:
            raise DataError(f"{path}: a folder without pictures ({', '.join(SUFFIXES)})")
        found += inside
    return found


def _listed(paths: abc.Sequence[Path]) -> str:
    more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return ", ".join(map(str, paths[:NAMED])) + more
