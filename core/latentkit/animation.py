"""Moving pictures: what changes from step to step, as an animated GIF or PNG that repeats for ever."""

from __future__ import annotations

import itertools
import os
from collections import abc
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from latentkit.errors import DataError
from latentkit.pictures import grid, write_whole
from latentkit.spaces import Range

T = TypeVar("T")

_FORMATS = {".gif": "GIF", ".png": "PNG"}
_WIDTH = 380  # pixels aimed at; nearest whole enlargement below
_TICK = 0.01  # seconds: what a GIF counts
_LEAST = 0.02  # seconds a frame: viewers slow down what is faster
_MOST = 60.0  # seconds in all: neither format holds a frame much longer


def frames(images: np.ndarray, range: Range, pad: int = 2, scale: int | None = None) -> list[Image.Image]:
    """A picture for each step of images [n, steps, c, h, w]: the n images of this step, as a grid.

    One image alone has no line around it. By default a frame is up to 380 pixels wide, half of a still picture, as a
    GIF of many large frames is a large file. Otherwise as :func:`latentkit.pictures.grid`.

    Raises:
        DataError: other axes, or as :func:`latentkit.pictures.grid`.
    """
    if images.ndim != 5 or 0 in images.shape:
        raise DataError(f"frames: expected images [n, steps, 1 or 3, h, w], found shape {list(images.shape)}")
    around = pad if len(images) > 1 else 0
    steps = np.moveaxis(images, 1, 0)
    if scale is None:
        scale = max(1, _WIDTH // grid(steps[0], range, pad=around, scale=1).width)
    return [grid(step, range, pad=around, scale=scale) for step in steps]


def there_and_back(steps: abc.Sequence[T]) -> list[T]:
    """From first to last and back again, so that repeating it has no jump: ``a b c`` becomes ``a b c b``."""
    return [*steps, *steps[-2:0:-1]]


def save_animation(pictures: abc.Sequence[Image.Image], path: str | os.PathLike[str], duration: float = 3.0) -> None:
    """Write pictures of one size as an animated GIF or PNG, by the name's ending, at once or not at all.

    It repeats for ever. Pictures that equal the one before become one frame with it. A GIF has 256 colours a frame; an
    animated PNG has all, but some viewers show its first frame only.

    Args:
        pictures: grey or RGB.
        path: ends in .gif or .png; folders above it are made.
        duration: seconds of one round, at least 0.02 a picture and at most 60; each gets its share to a hundredth.

    Raises:
        DataError: no pictures, or of several sizes; another ending; such a duration; the file cannot be written.
    """
    kind = _FORMATS.get(Path(path).suffix.lower())
    if kind is None:
        raise DataError(f"animation '{path}': expected a name that ends in .gif or .png")
    sizes = sorted({picture.size for picture in pictures})
    if len(sizes) != 1:
        found = ", ".join(f"{width} x {height}" for width, height in sizes) or "none"
        raise DataError(f"animation '{path}': expected one or more pictures of one size, found {found}")
    first, *others = pictures
    how: dict[str, Any] = {"append_images": others, "duration": _milliseconds(len(pictures), duration), "loop": 0}
    write_whole(path, lambda part: first.save(part, format=kind, save_all=True, **how))


def _milliseconds(number: int, duration: float) -> list[int]:
    """Whole ticks for each picture, which together are the duration."""
    least = _LEAST * number
    if not least <= duration <= _MOST:
        raise DataError(
            f"animation: expected a duration of {least:g} to {_MOST:g} seconds for {number} frames, found {duration:g}"
        )
    ends = [round(duration / _TICK * index / number) for index in np.arange(number + 1)]
    return [10 * (end - start) for start, end in itertools.pairwise(ends)]
