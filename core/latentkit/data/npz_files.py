"""Arrays in NumPy ``.npz`` archives: read, or looked at by their headers alone. Objects are never unpickled."""

from __future__ import annotations

import contextlib
import os
import struct
import zipfile
from collections import abc
from typing import BinaryIO

import attrs
import numpy as np

from latentkit.data.images import Pixels, channels_first
from latentkit.errors import DataError, nearest

_SLACK = 1e-6
_CHUNK = 1024
_SINGLE = b"\x93NUMPY"
_LOCAL = struct.Struct("<26x2H")  # of a member's own header in a zip file: the lengths of its name and of what follows
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


@attrs.frozen(kw_only=True)
class Member:
    """An array in an archive, known by its header."""

    path: str
    key: str
    shape: tuple[int, ...]
    dtype: str
    offset: int | None
    """Where its content begins in the file, where that was stored as it is, sample by sample."""

    @property
    def where(self) -> str:
        """Opens a message about it."""
        return _where(self.path, self.key)

    @property
    def layout(self) -> tuple[int, ...]:
        """Channels, height and width of images.

        Raises:
            DataError: no axis can be the channels.
        """
        return tuple(channels_first(np.broadcast_to(np.uint8(0), self.shape), self.where).shape[1:])


@contextlib.contextmanager
def archive(path: str, keys: abc.Iterable[str], option: str) -> abc.Iterator[tuple[BinaryIO, np.lib.npyio.NpzFile]]:
    """An archive that has these arrays, and its file.

    Args:
        path: of the file.
        keys: of the arrays.
        option: what the user has given for the path.

    Raises:
        DataError: there is no such file, it is none, or an array is not in it.
    """
    where = f"npz: path = '{option}'" + (f", '{path}'" if path != os.path.expanduser(option) else "")
    keys = list(keys)
    advice = f"write it with np.savez(path, {keys[0]}=array)"
    try:
        with open(os.path.expanduser(path), "rb") as file:
            if file.read(len(_SINGLE)) == _SINGLE:
                raise DataError(f"{where}: expected a .npz archive, found a single array (.npy)\n  {advice}")
            file.seek(0)
            with np.load(file, allow_pickle=False) as found:
                for key in keys:
                    _known(found, key, path)
                yield file, found
    except FileNotFoundError:
        raise DataError(f"{where}: there is no such file, expected a .npz archive") from None
    except OSError as error:
        raise DataError(f"{where}: cannot be read: {error.strerror}") from error
    except (ValueError, EOFError, zipfile.BadZipFile) as error:  # numpy's text would advise to load pickles
        raise DataError(
            f"{where}: expected a .npz archive, found another kind of file or a damaged one\n  {advice}"
        ) from error


def _known(archive: np.lib.npyio.NpzFile, key: str, path: str) -> None:
    if key not in archive.files:
        known = ", ".join(f"'{name}'" for name in archive.files) or "none"
        hint = nearest(key, archive.files)
        raise DataError(f"npz: '{path}' has no array '{key}'; it has {known}" + (f"\n  {hint}" if hint else ""))


def _where(path: str, key: str) -> str:
    return f"npz: '{path}', array '{key}'"


@contextlib.contextmanager
def _reading(where: str) -> abc.Iterator[None]:
    try:
        yield
    except ValueError as error:
        if "Object arrays" not in str(error):
            raise DataError(f"{where}: cannot be read: {error}") from error
        raise DataError(
            f"{where}: expected numbers, found Python objects, which are never loaded\n"
            "  store one array of uint8 or float numbers"
        ) from None
    except Exception as error:  # damaged and encrypted archives raise many kinds
        raise DataError(f"{where}: cannot be read: {error}") from error


def read_arrays(path: str, keys: abc.Iterable[str], option: str) -> dict[str, np.ndarray]:
    """Arrays of an archive by key.

    Raises:
        DataError: as :func:`archive`; one of objects, or damaged.
    """
    found = {}
    with archive(path, keys := list(keys), option) as (_, content):
        for key in keys:
            with _reading(_where(path, key)):
                found[key] = np.asarray(content[key])
    return found


def read_member(path: str, key: str, option: str) -> Member:
    """What the headers of an archive say of an array.

    Raises:
        DataError: as :func:`archive`; one of objects, or damaged.
    """
    with archive(path, [key], option) as (file, content), _reading(_where(path, key)):
        assert content.zip is not None
        names = content.zip.namelist()
        info = content.zip.getinfo(f"{key}.npy" if f"{key}.npy" in names else key)
        with content.zip.open(info) as array:
            shape, fortran, dtype = _HEADERS[np.lib.format.read_magic(array)](array)
            begins = array.tell()
        if dtype.hasobject:
            raise ValueError("Object arrays are refused")
        file.seek(info.header_offset)
        content_at = info.header_offset + 30 + sum(_LOCAL.unpack(file.read(_LOCAL.size)))
    plain = info.compress_type == zipfile.ZIP_STORED and not fortran
    offset = content_at + begins if plain else None
    return Member(path=path, key=key, shape=shape, dtype=dtype.str, offset=offset)


def to_uint8(images: np.ndarray, where: str) -> Pixels:
    """Images of uint8 as they are, floats in [0, 1] rounded.

    Raises:
        DataError: another type, or a float out of that range; ``where`` opens the message.
    """
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind != "f":
        raise DataError(f"{where}: expected uint8, or float in [0, 1], found {images.dtype}")
    low, high = float(images.min()), float(images.max())  # not a number wherever one element is
    if not (low >= -_SLACK and high <= 1 + _SLACK):
        raise DataError(
            f"{where}: expected float values in [0, 1], found {low:.6g} to {high:.6g}\n"
            "  scale them to [0, 1], or store uint8"
        )
    result = np.empty(images.shape, np.uint8)
    for start in range(0, len(images), _CHUNK):  # in pieces, so that no second float copy of all is made
        part = images[start : start + _CHUNK].astype(np.float32)
        result[start : start + _CHUNK] = np.rint(np.clip(part, 0, 1) * 255)
    return result


def to_labels(labels: np.ndarray, count: int, where: str) -> np.ndarray:
    """Labels of so many images, int64 [n].

    Raises:
        DataError: they are none; ``where`` opens the message.
    """
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataError(f"{where}: expected labels as integers [n], found {labels.dtype} of shape {list(labels.shape)}")
    if len(labels) != count:
        raise DataError(f"{where}: {len(labels)} labels for {count} images")
    if labels.min() < 0:
        raise DataError(f"{where}: expected labels from 0 on, found {labels.min()}")
    return labels.astype(np.int64)
