"""Images, and labels where there are some, from one NumPy ``.npz`` archive."""

from __future__ import annotations

import os
import zipfile

import attrs
import numpy as np

from latentkit.data.images import Pixels, channels_first, resize_arrays
from latentkit.errors import DataError, nearest
from latentkit.interfaces import DataSource, Table

_SLACK = 1e-6
_CHUNK = 1024
_SINGLE = b"\x93NUMPY"


@attrs.frozen(kw_only=True)
class Npz(DataSource):
    """Arrays [n, h, w], [n, h, w, c] or [n, c, h, w] in uint8 or float in [0, 1]; ``image`` and ``label`` are keys.

    Images of another size are cropped and resized; smaller ones are enlarged.
    """

    path: str
    image: str = "images"
    label: str | None = None

    def offers(self) -> tuple[str, ...]:
        """``image``, and ``label`` where its key is given."""
        return ("image",) if self.label is None else ("image", "label")

    def open(self, height: int, width: int, channels: int) -> Table:
        """``image`` uint8 [n, channels, height, width]; ``label`` int64 [n].

        Raises:
            DataError: no such file or key, an array of objects, an unsuitable shape, type or range.
        """
        arrays = self._arrays()
        where = f"npz: '{self.path}', array '{self.image}'"
        pixels = _to_uint8(channels_first(arrays[self.image], where), where)
        fields = {"image": resize_arrays(pixels, height, width, channels)}
        if self.label is None:
            return Table(fields)
        where = f"npz: '{self.path}', array '{self.label}'"
        return Table({**fields, "label": _labels(arrays[self.label], len(pixels), where)})

    def _arrays(self) -> dict[str, np.ndarray]:
        keys = [key for key in (self.image, self.label) if key is not None]
        where = f"npz: path = '{self.path}'"
        advice = f"write it with np.savez(path, {self.image}=array)"
        try:
            with open(os.path.expanduser(self.path), "rb") as file:
                if file.read(len(_SINGLE)) == _SINGLE:
                    raise DataError(f"{where}: expected a .npz archive, found a single array (.npy)\n  {advice}")
                file.seek(0)
                with np.load(file, allow_pickle=False) as archive:
                    return {key: _member(archive, key, self.path) for key in keys}
        except FileNotFoundError:
            raise DataError(f"{where}: there is no such file, expected a .npz archive") from None
        except OSError as error:
            raise DataError(f"{where}: cannot be read: {error.strerror}") from error
        except (ValueError, EOFError, zipfile.BadZipFile) as error:  # numpy's text would advise to load pickles
            raise DataError(
                f"{where}: expected a .npz archive, found another kind of file or a damaged one\n  {advice}"
            ) from error


def _member(archive: np.lib.npyio.NpzFile, key: str, path: str) -> np.ndarray:
    if key not in archive.files:
        known = ", ".join(f"'{name}'" for name in archive.files) or "none"
        hint = nearest(key, archive.files)
        raise DataError(f"npz: '{path}' has no array '{key}'; it has {known}" + (f"\n  {hint}" if hint else ""))
    try:
        return np.asarray(archive[key])
    except ValueError as error:
        if "Object arrays" not in str(error):
            raise DataError(f"npz: '{path}', array '{key}': cannot be read: {error}") from error
        raise DataError(
            f"npz: '{path}', array '{key}': expected numbers, found Python objects, which are never loaded\n"
            "  store one array of uint8 or float numbers"
        ) from None
    except Exception as error:  # damaged and encrypted archives raise many kinds
        raise DataError(f"npz: '{path}', array '{key}': cannot be read: {error}") from error


def _to_uint8(images: np.ndarray, where: str) -> Pixels:
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


def _labels(labels: np.ndarray, count: int, where: str) -> np.ndarray:
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataError(f"{where}: expected labels as integers [n], found {labels.dtype} of shape {list(labels.shape)}")
    if len(labels) != count:
        raise DataError(f"{where}: {len(labels)} labels for {count} images")
    if labels.min() < 0:
        raise DataError(f"{where}: expected labels from 0 on, found {labels.min()}")
    return labels.astype(np.int64)
