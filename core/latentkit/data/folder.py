"""A folder of pictures, decoded once and kept as one memory-mapped array."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from collections import abc
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import ClassVar

import attrs
import numpy as np
from PIL import Image

from latentkit.data.images import Pixels, check_request, fit
from latentkit.errors import DataError
from latentkit.interfaces import DataSource, Table

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
_BATCH = 64
_FEW = 512
_MOST_WORKERS = 8
_NAMED = 8
_FORMAT = 1  # of the cache: raise it when `fit` changes what it makes


def _not_negative(_: object, field: attrs.Attribute[int | None], value: int | None) -> None:
    if value is not None and value < 0:
        raise DataError(f"folder: {field.name} must be 0 (decode in this process) or more, found {value}")


@attrs.frozen(kw_only=True)
class Folder(DataSource):
    """All png, jpg, jpeg and webp files below ``path``, in the order of their names; hidden ones are left out.

    ``labels`` makes the first sub-folder of each file its class, numbered in the order of names. ``workers`` is the
    number of processes that decode (0: none but this one); ``cache`` the folder that keeps the decoded array.
    """

    native_resolution: ClassVar[int] = 64
    native_channels: ClassVar[int] = 3

    path: str
    labels: bool = False
    workers: int | None = attrs.field(default=None, validator=_not_negative)
    cache: str | None = None

    def offers(self) -> tuple[str, ...]:
        """``image``, and ``label`` where sub-folders are classes."""
        return ("image", "label") if self.labels else ("image",)

    def open(self, resolution: int, channels: int) -> Table:
        """``image`` uint8 [n, channels, resolution, resolution], read-only and on disk; ``label`` int64 [n].

        Raises:
            DataError: a missing or empty folder, unreadable pictures (named), a cache that cannot be written.
        """
        check_request(resolution, channels)
        root = Path(self.path).expanduser()
        names = _names(root, self.path)
        fields = {"label": _labels(names, self.path)} if self.labels else {}
        shape = (len(names), channels, resolution, resolution)
        kept = _cache_folder(self.cache) / f"{_key(root, names, shape)}.npy"
        images = _load(kept, shape)
        if images is None:
            _store(kept, shape, _decoded(root, names, shape, self.workers), self.path)
            images = np.load(kept, mmap_mode="r", allow_pickle=False)
        return Table({"image": images, **fields})


def _names(root: Path, path: str) -> list[str]:
    where = f"folder: path = '{path}'"
    if not root.is_dir():
        found = "a file" if root.exists() else "nothing there"
        raise DataError(f"{where}: expected a folder with pictures, found {found}")
    below = (file.relative_to(root) for file in root.rglob("*") if file.suffix.lower() in _SUFFIXES)
    names = sorted(
        name.as_posix() for name in below if not any(part.startswith(".") for part in name.parts)
    )
    if not names:
        raise DataError(f"{where}: expected png, jpg, jpeg or webp files in it or below, found none")
    return names


def _labels(names: list[str], path: str) -> np.ndarray:
    loose = [name for name in names if "/" not in name]
    if loose:
        raise DataError(
            f"folder: path = '{path}': labels = true expects each picture in the sub-folder of its class, "
            f"found outside of any: {_listed(loose)}"
        )
    classes = [name.partition("/")[0] for name in names]
    return np.unique(classes, return_inverse=True)[1].astype(np.int64)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _cache_folder(cache: str | None) -> Path:
    if cache is not None:
        return Path(cache).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "latentkit"


def _key(root: Path, names: list[str], shape: tuple[int, ...]) -> str:
    states = [(root / name).stat() for name in names]
    files = [(name, s.st_size, s.st_mtime_ns) for name, s in zip(names, states, strict=True)]
    return hashlib.sha256(json.dumps([_FORMAT, shape, files]).encode()).hexdigest()[:32]


def _load(kept: Path, shape: tuple[int, ...]) -> Pixels | None:
    try:
        images = np.load(kept, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None  # not there, or damaged from outside: decode again
    return images if images.shape == shape and images.dtype == np.uint8 else None


def _store(kept: Path, shape: tuple[int, ...], decoded: abc.Iterable[Pixels | str], path: str) -> None:
    # Plain writes and not a writable memory map: on a full disk that would end the process with a bus error.
    broken: list[str] = []
    part = kept.with_name(f".{kept.name}.{os.getpid()}")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for item in decoded:
                broken.append(item) if isinstance(item, str) else file.write(item.tobytes())
        if not broken:
            os.replace(part, kept)
    except OSError as error:
        raise DataError(
            f"folder: cannot keep the decoded pictures in '{kept.parent}': {error.strerror}\n"
            "  name a folder that can be written with `cache`"
        ) from error
    finally:
        part.unlink(missing_ok=True)
    if broken:
        raise DataError(
            f"folder: path = '{path}': {len(broken)} of {shape[0]} pictures cannot be read: {_listed(broken)}\n"
            "  repair or remove them"
        )


def _decoded(root: Path, names: list[str], shape: tuple[int, ...], workers: int | None) -> abc.Iterator[Pixels | str]:
    batches = [names[start : start + _BATCH] for start in range(0, len(names), _BATCH)]
    if workers is None:
        # Starting processes costs more than decoding a few pictures.
        workers = 0 if len(names) < _FEW else min(_MOST_WORKERS, os.cpu_count() or 1)
    if workers == 0:
        for batch in batches:
            yield from _decode(root, batch, shape)
        return
    # Spawned, since a fork of a process in which torch runs threads can hang.
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(min(workers, len(batches)), mp_context=context) as pool:
            for done in pool.map(_decode, [root] * len(batches), batches, [shape] * len(batches)):
                yield from done
    except BrokenProcessPool as error:
        raise DataError(
            "folder: the processes that decode pictures ended early: a script without "
            "`if __name__ == \"__main__\":`, or too little memory\n  set workers = 0 to decode in this process"
        ) from error


def _decode(root: Path, names: list[str], shape: tuple[int, ...]) -> list[Pixels | str]:
    """The pictures, each uint8 [c, h, w]; in its place the name of a file that cannot be read."""
    _, channels, resolution, _ = shape
    result: list[Pixels | str] = []
    for name in names:
        try:
            with Image.open(root / name) as image:
                # JPEG decodes at 1/2, 1/4 or 1/8 size almost for free; twice the wanted size leaves room to resize.
                image.draft(None, (2 * resolution, 2 * resolution))
                result.append(fit(image, resolution, channels))
        except Exception:  # Pillow's decoders raise many kinds for damaged files
            result.append(name)
    return result
