"""Pictures of images for people to look at: grids, originals over reconstructions, interpolations."""

from __future__ import annotations

import contextlib
import math
import os
import uuid
from collections import abc
from pathlib import Path

import numpy as np
from PIL import Image

from latentkit.errors import DataError
from latentkit.spaces import Range

Pixels = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]

_WIDTH = 760  # pixels aimed at; nearest whole enlargement below
_LINE = 104  # grey of the separators: seen on black and on white
_APART = 5  # times the separator: the gap between groups


def grid(
    images: np.ndarray, range: Range, columns: int | None = None, pad: int = 2, scale: int | None = None
) -> Image.Image:
    """Images [n, c, h, w] with c 1 or 3 in rows, left to right, with a line of ``pad`` pixels around each.

    Values run from ``range[0]`` (black) to ``range[1]`` (white); outside is cut off, not a number is mid grey.
    ``columns`` is near a square by default. ``scale`` enlarges by whole pixels; by default to a width of up to 760.

    Raises:
        DataError: an unsuitable shape, range, column number, pad or scale.
    """
    _at_least("pad", pad, 0)
    pixels = _pixels(images, range)
    across = _columns(len(pixels), pixels.shape[1] / pixels.shape[2], columns)
    return _picture(_tiled(_enlarged(pixels, _scale(pixels, across, pad, scale)), across, pad))


def pairs(
    originals: np.ndarray,
    reconstructions: np.ndarray,
    range: Range,
    columns: int | None = None,
    pad: int = 2,
    scale: int | None = None,
) -> Image.Image:
    """Each original directly above its reconstruction, pairs set well apart; otherwise as :func:`grid`.

    Raises:
        DataError: the two differ in shape, or as :func:`grid`.
    """
    _at_least("pad", pad, 0)
    if originals.shape != reconstructions.shape:
        raise DataError(
            f"pairs: expected as many reconstructions as originals, of the same shape, found "
            f"{list(originals.shape)} and {list(reconstructions.shape)}"
        )
    upper, lower = _pixels(originals, range), _pixels(reconstructions, range)
    gap = _APART * pad
    across = _columns(len(upper), 2 * upper.shape[1] / upper.shape[2], columns)
    factor = _scale(upper, across, gap, scale)
    upper, lower = _enlarged(upper, factor), _enlarged(lower, factor)
    line = np.full((len(upper), pad, *upper.shape[2:]), _LINE, np.uint8)
    return _picture(_tiled(np.concatenate([upper, line, lower], axis=1), across, gap))


def strip(*rows: np.ndarray, range: Range, pad: int = 2, scale: int | None = None) -> Image.Image:
    """One row of the picture for each array [steps, c, h, w], steps side by side; rows set apart. As :func:`grid`.

    Raises:
        DataError: no rows, rows of different shapes, or as :func:`grid`.
    """
    _at_least("pad", pad, 0)
    shapes = sorted({row.shape for row in rows})
    if len(shapes) != 1:
        found = ", ".join(str(list(shape)) for shape in shapes) or "none"
        raise DataError(f"strip: expected one or more rows of one shape [steps, c, h, w], found {found}")
    drawn = [_pixels(row, range) for row in rows]
    factor = _scale(drawn[0], len(drawn[0]), pad, scale)
    return _picture(_apart([_tiled(_enlarged(row, factor), len(row), pad) for row in drawn], pad))


def crossed(
    top: np.ndarray, left: np.ndarray, *bands: np.ndarray, range: Range, pad: int = 2, scale: int | None = None
) -> Image.Image:
    """A table of images: ``top`` [s, c, h, w] heads its columns, ``left`` [d, c, h, w] its rows.

    Each band [d, s, c, h, w] has all the rows; bands are set apart. Otherwise as :func:`grid`.

    Raises:
        DataError: no bands, bands that do not have a cell for every pair, or as :func:`grid`.
    """
    _at_least("pad", pad, 0)
    wanted = (len(left), *top.shape)
    if not bands or any(band.shape != wanted for band in bands) or left.shape[1:] != top.shape[1:]:
        found = ", ".join(str(list(band.shape)) for band in bands) or "none"
        raise DataError(f"crossed: expected one or more bands {list(wanted)}, found {found}")
    heads, sides = _pixels(top, range), _pixels(left, range)
    factor = _scale(heads, len(top) + 1, pad, scale)
    corner = np.full((1, *heads.shape[1:]), _LINE, np.uint8)
    rows = [np.concatenate([corner, heads])]
    for band in bands:
        cells = _pixels(band.reshape(-1, *top.shape[1:]), range).reshape(*band.shape[:2], *heads.shape[1:])
        rows.append(np.concatenate([sides[:, None], cells], axis=1).reshape(-1, *heads.shape[1:]))
    return _picture(_apart([_tiled(_enlarged(row, factor), len(top) + 1, pad) for row in rows], pad))


def save_png(image: Image.Image, path: str | os.PathLike[str]) -> None:
    """Write a PNG file at once or not at all; makes the folders above it.

    Raises:
        DataError: the file cannot be written.
    """
    write_whole(path, lambda part: image.save(part, format="PNG"))


def write_whole(path: str | os.PathLike[str], write: abc.Callable[[Path], None]) -> None:
    """Let ``write`` make a file beside the target, then put it in its place; makes the folders above it.

    Raises:
        DataError: the file cannot be written; what was there before is untouched.
    """
    target = Path(path)
    part = target.parent / f".{target.name}.{uuid.uuid4().hex}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write(part)
        os.replace(part, target)
    except OSError as error:
        raise DataError(f"picture '{target}': cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):  # gone already, or its folder is none
            part.unlink()


def _pixels(images: np.ndarray, range: Range) -> Pixels:
    """[n, c, h, w] to uint8 [n, h, w, c]."""
    low, high = range
    if not -math.inf < low < high < math.inf:
        raise DataError(f"picture: expected a range from low to high, found {low} to {high}")
    if images.ndim != 4 or images.shape[1] not in (1, 3) or 0 in images.shape:
        raise DataError(f"picture: expected images [n, 1 or 3, h, w], found shape {list(images.shape)}")
    share = np.clip((images.astype(np.float64) - low) / (high - low), 0, 1)
    share = np.nan_to_num(share, nan=0.5)
    return np.moveaxis(np.rint(share * 255).astype(np.uint8), 1, -1)


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise DataError(f"picture: {name} must be at least {least}, found {value}")


def _columns(count: int, tallness: float, columns: int | None) -> int:
    """The given number, or one that makes the whole near square, with a full last row where that costs little."""
    if columns is not None:
        _at_least("columns", columns, 1)
        return min(columns, count)
    square = math.sqrt(count * tallness)
    least = min(count, math.ceil(square - 1e-9))
    full = next(number for number in np.arange(least, count + 1) if count % number == 0)
    return int(full) if full <= 1.6 * square else least


def _scale(pixels: Pixels, columns: int, pad: int, scale: int | None) -> int:
    if scale is None:
        room = _WIDTH - (columns + 1) * pad
        return max(1, room // (columns * pixels.shape[2]))
    _at_least("scale", scale, 1)
    return scale


def _enlarged(pixels: Pixels, scale: int) -> Pixels:
    return pixels.repeat(scale, axis=1).repeat(scale, axis=2)


def _tiled(cells: Pixels, columns: int, pad: int) -> Pixels:
    """Cells [n, h, w, c] to one picture [h, w, c], row by row, with ``pad`` around each."""
    count, height, width, channels = cells.shape
    rows = -(-count // columns)
    size = (rows * (height + pad) + pad, columns * (width + pad) + pad, channels)
    result = np.full(size, _LINE, np.uint8)
    for index, cell in enumerate(cells):
        top = pad + index // columns * (height + pad)
        left = pad + index % columns * (width + pad)
        result[top : top + height, left : left + width] = cell
    return result


def _apart(lines: list[Pixels], pad: int) -> Pixels:
    """Pictures of one width below each other, with a gap between."""
    gap = np.full(((_APART - 2) * pad, *lines[0].shape[1:]), _LINE, np.uint8)
    return np.concatenate([part for line in lines for part in (gap, line)][1:])


def _picture(pixels: Pixels) -> Image.Image:
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
