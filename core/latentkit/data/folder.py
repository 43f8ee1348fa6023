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

from latentkit.data.cache import cached, default_folder
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
    """All png, jpg, jpeg and webp files below ``path``, in the order of their names.

    Hidden files, and links to folders, are left out. ``labels`` makes the first sub-folder of each file its class,
    numbered in the order of names. ``workers`` is the number of processes that decode (0: none but this one);
    ``cache`` the folder that keeps the decoded array.
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
            DataError: a missing or empty folder, unreadable pictures (all named), decoding that was ended.
        """
        check_request(resolution, channels)
        root = Path(os.path.expanduser(self.path))
        names = _names(root, self.path)
        fields = {"label": _labels(names, self.path)} if self.labels else {}
        shape = (len(names), channels, resolution, resolution)
        folder = default_folder() if self.cache is None else Path(os.path.expanduser(self.cache))
        images = cached(folder, _key(root, names, shape), shape, lambda: _pictures(self, root, names, shape))
        return Table({"image": images, **fields})


def _names(root: Path, path: str) -> list[str]:
    where = f"folder: path = '{path}'"
    if not os.path.isdir(root):
        found = "a file" if os.path.exists(root) else "nothing there"
        raise DataError(f"{where}: expected a folder with pictures, found {found}")
    files = (file for file in root.rglob("*") if file.suffix.lower() in _SUFFIXES and not os.path.isdir(file))
    below = (file.relative_to(root) for file in files)
    names = sorted(name.as_posix() for name in below if not any(part.startswith(".") for part in name.parts))
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


def _key(root: Path, names: list[str], shape: tuple[int, ...]) -> str:
    files = [(name, *_state(root / name)) for name in names]
    return hashlib.sha256(json.dumps([_FORMAT, str(root.resolve()), shape, files]).encode()).hexdigest()[:32]


def _state(file: Path) -> tuple[int, int]:
    try:
        state = file.stat()
    except OSError:
        return 0, 0  # a link to nowhere, say: decoding will name it
    return state.st_size, state.st_mtime_ns


def _pictures(
    source: Folder, root: Path, names: list[str], shape: tuple[int, ...]
) -> abc.Generator[Pixels, None, None]:
    """The pictures in turn; once one cannot be read, only a search for more of that kind."""
    broken: list[str] = []
    for item in _decoded(root, names, shape, source.workers):
        if isinstance(item, str):
            broken.append(item)
        elif not broken:
            yield item
    if broken:
        raise DataError(
            f"folder: path = '{source.path}': {len(broken)} of {len(names)} pictures cannot be read: "
            f"{', '.join(broken)}\n  repair or remove them"
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
    except (BrokenProcessPool, OSError) as error:
        raise DataError(
            "folder: the processes that decode pictures did not start or ended early: a script without "
            '`if __name__ == "__main__":`, or too little memory\n  set workers = 0 to decode in this process'
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
