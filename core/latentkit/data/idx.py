"""IDX files, the format of MNIST and its relatives (LeCun, Cortes, Burges 1998, http://yann.lecun.com/exdb/mnist)."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from pathlib import Path
from typing import ClassVar

import attrs
import numpy as np

from latentkit.data.images import Pixels, channels_first, resize_arrays
from latentkit.errors import DataError
from latentkit.interfaces import DataSource, Table

_GZIP = b"\x1f\x8b"
_IMAGES = (0x0803, 0x0804)
_LABELS = (0x0801,)
_CLASSES = 10
_AGAIN = "download or unpack it again"


@attrs.frozen(kw_only=True)
class Idx(DataSource):
    """Images and optional labels 0 to 9 from a pair of IDX files, plain or gzip.

    Images of another size are cropped and resized; smaller ones are enlarged, as 28 x 28 is for networks that want 32.
    """

    native_size: ClassVar[tuple[int, int]] = (28, 28)
    native_channels: ClassVar[int] = 1

    images: str
    labels: str | None = None

    def classes(self) -> int | None:
        """10 where labels are given."""
        return None if self.labels is None else _CLASSES

    def offers(self) -> tuple[str, ...]:
        """``image``, and ``label`` where a label file is given."""
        return ("image",) if self.labels is None else ("image", "label")

    def open(self, height: int, width: int, channels: int) -> Table:
        """``image`` uint8 [n, channels, height, width]; ``label`` int64 [n].

        Raises:
            DataError: a file is missing, damaged or of another kind; images and labels differ in number.
        """
        where = f"idx: images = '{self.images}'"
        pixels = channels_first(_read(self.images, where, "an image file", _IMAGES), where)
        fields: dict[str, np.ndarray] = {}
        if self.labels is not None:
            fields["label"] = _labels(self.labels, len(pixels), self.images)
        return Table({"image": resize_arrays(pixels, height, width, channels), **fields})


def _labels(path: str, count: int, images: str) -> np.ndarray:
    where = f"idx: labels = '{path}'"
    labels = _read(path, where, "a label file", _LABELS).astype(np.int64)
    if len(labels) != count:
        raise DataError(
            f"{where}: {len(labels)} labels for the {count} images of '{images}'\n"
            "  give the two files of the same split"
        )
    if labels.max() >= _CLASSES:
        raise DataError(f"{where}: expected labels 0 to {_CLASSES - 1}, found {labels.max()}")
    return labels


def _read(path: str, where: str, wanted: str, magics: tuple[int, ...]) -> Pixels:
    data = _content(path, where)
    kinds = " or ".join(f"0x{magic:08x}" for magic in magics)
    if len(data) < 4:
        raise DataError(f"{where}: expected {wanted} (magic number {kinds}), found {len(data)} bytes")
    magic = int.from_bytes(data[:4], "big")
    if magic not in magics:
        raise DataError(f"{where}: expected {wanted} (magic number {kinds}), found {_kind(magic)}")
    start = 4 + 4 * (magic & 0xFF)
    if len(data) < start:
        raise DataError(f"{where}: the header is cut short: expected {start} bytes, found {len(data)}\n  {_AGAIN}")
    shape = tuple(int(size) for size in np.frombuffer(data[4:start], ">u4"))
    expected = start + math.prod(shape)
    if len(data) != expected:
        fault = "is cut short" if len(data) < expected else "is longer than its header says"
        raise DataError(
            f"{where}: the file {fault}: expected {expected} bytes for shape {list(shape)}, found {len(data)}\n"
            f"  {_AGAIN}"
        )
    if shape[0] == 0:
        raise DataError(f"{where}: the file is empty: its header says shape {list(shape)}")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _kind(magic: int) -> str:
    name = {**dict.fromkeys(_IMAGES, "an image file"), **dict.fromkeys(_LABELS, "a label file")}.get(magic)
    return f"0x{magic:08x}" + (f", {name}: were the two paths swapped?" if name else "")


def _content(path: str, where: str) -> bytes:
    try:
        data = Path(os.path.expanduser(path)).read_bytes()
    except FileNotFoundError:
        raise DataError(f"{where}: there is no such file, expected an IDX file, plain or gzip") from None
    except OSError as error:
        raise DataError(f"{where}: cannot be read: {error.strerror}") from error
    if not data.startswith(_GZIP):
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{where}: damaged gzip file: {error}\n  {_AGAIN}") from error
