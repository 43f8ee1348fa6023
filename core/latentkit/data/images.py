"""From any picture or array to uint8 [c, h, w] of the height, width and channels that a recipe asks for."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageOps

from latentkit.errors import DataError

Pixels = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]

_MODES = {1: "L", 3: "RGB"}
_BOX_FROM = 4.0
_ORIENTATION = 0x0112  # of EXIF
_SIDEWAYS = (5, 6, 7, 8)  # stored with rows for columns (TIFF 6.0)


def fit(image: Image.Image, height: int, width: int, channels: int) -> Pixels:
    """The picture as uint8 [channels, height, width].

    Turned upright by its EXIF orientation, transparency laid on black, cropped around the centre to these proportions
    (to whole pixels), resized. 16-bit grey keeps its 8 upper bits.

    Raises:
        DataError: ``channels`` is not 1 or 3, or a side is below 1.
    """
    check_request(height, width, channels)
    upright = ImageOps.exif_transpose(image)
    return _planes(_resized(_opaque(upright).convert(_MODES[channels]), height, width))


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Height and width of a picture once it is turned upright; where the format allows it, without decoding."""
    width, height = image.size
    return (width, height) if image.getexif().get(_ORIENTATION) in _SIDEWAYS else (height, width)


def resize_arrays(images: Pixels, height: int, width: int, channels: int) -> Pixels:
    """The same for uint8 [n, 1 or 3, h, w] in memory; returns ``images`` itself when nothing is to be done.

    Raises:
        DataError: ``channels`` is not 1 or 3, or a side is below 1.
    """
    check_request(height, width, channels)
    found = images.shape[1]
    fewer = min(found, channels)  # grey is repeated last, so that it is resized once
    if images.shape[2:] != (height, width) or found > channels:
        images = _each(images, height, width, fewer)
    return images if fewer == channels else np.repeat(images, channels, axis=1)


def channels_first(images: np.ndarray, where: str) -> np.ndarray:
    """A view [n, c, h, w] with c 1 or 3 of an array [n, h, w], [n, h, w, c] or [n, c, h, w]; any dtype.

    ``where`` opens the error message: the file, and the array in it.

    Raises:
        DataError: no axis or more than one can be the channels, or an axis has length 0.
    """
    shape = list(images.shape)
    wanted = "expected [n, h, w], [n, h, w, c] or [n, c, h, w] with c 1 or 3"
    if images.ndim not in (3, 4) or 0 in shape:
        raise DataError(f"{where}: {wanted}, found shape {shape}")
    if images.ndim == 3:
        return images[:, None]
    first, last = shape[1] in _MODES, shape[3] in _MODES
    if first and last:
        raise DataError(
            f"{where}: found shape {shape}, where axis 1 and axis 3 can both be the channels\n"
            "  store grey images as [n, h, w], colour images with sides other than 1 and 3"
        )
    if not first and not last:
        raise DataError(f"{where}: {wanted}, found shape {shape}")
    return images if first else np.moveaxis(images, 3, 1)


def check_request(height: int, width: int, channels: int) -> None:
    """Refuse what no source can deliver.

    Raises:
        DataError: ``channels`` is not 1 or 3, or a side is below 1.
    """
    if channels not in _MODES:
        raise DataError(f"data: channels must be 1 (grey) or 3 (colour), found {channels}")
    if min(height, width) < 1:
        raise DataError(f"data: resolution must be at least 1 pixel a side, found {height} x {width}")


def _each(images: Pixels, height: int, width: int, channels: int) -> Pixels:
    result = np.empty((len(images), channels, height, width), np.uint8)  # n c h w
    for index, planes in enumerate(images):
        picture = Image.fromarray(planes[0] if len(planes) == 1 else np.moveaxis(planes, 0, -1).copy())
        result[index] = _planes(_resized(picture.convert(_MODES[channels]), height, width))
    return result


def _opaque(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # Pillow cuts 16-bit grey off at 255 instead of scaling it. "I" is what 16-bit PNG files open as in older ones.
        return Image.fromarray((np.clip(np.asarray(image), 0, 65535) >> 8).astype(np.uint8))
    if not image.has_transparency_data:
        return image
    coloured = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", coloured.size, (0, 0, 0, 255)), coloured)


def _resized(image: Image.Image, height: int, width: int) -> Image.Image:
    """The largest part around the centre that has these proportions, as nearly as whole pixels can, at this size."""
    across, down = image.size
    if across * height > down * width:
        part = max(1, round(down * width / height)), down
    else:
        part = across, max(1, round(across * height / width))
    left, top = (across - part[0]) // 2, (down - part[1]) // 2
    box = (left, top, left + part[0], top + part[1])
    if part == (width, height):
        return image.crop(box)
    return image.resize((width, height), _filter(part, (width, height)), box=box)


def _filter(part: tuple[int, int], wanted: tuple[int, int]) -> Image.Resampling:
    # A box of whole pixels is the exact mean of the area. A box that cuts pixels weighs them wrongly, which only many
    # pixels to one can hide; below that Lanczos keeps more detail. Lanczos would ring when enlarging.
    sides = tuple(zip(part, wanted, strict=True))
    if any(side < size for side, size in sides):
        return Image.Resampling.BICUBIC
    whole = all(side % size == 0 for side, size in sides)
    many = all(side >= _BOX_FROM * size for side, size in sides)
    return Image.Resampling.BOX if whole or many else Image.Resampling.LANCZOS


def _planes(image: Image.Image) -> Pixels:
    pixels = np.array(image, np.uint8)  # h w, or h w c
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(np.moveaxis(pixels, -1, 0))
