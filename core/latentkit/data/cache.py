"""Arrays that are slow to make, kept on disk from run to run."""

from __future__ import annotations

import contextlib
import os
import tempfile
import uuid
import warnings
from collections import abc
from pathlib import Path

import numpy as np

from latentkit.data.images import Pixels

Shape = tuple[int, ...]
Make = abc.Callable[[], abc.Generator[Pixels, None, None]]


def default_folder() -> Path:
    """``$XDG_CACHE_HOME/latentkit``, else ``~/.cache/latentkit``, else one for temporary files."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "latentkit"
    except RuntimeError:  # a user without a home folder, as in some containers
        return Path(tempfile.gettempdir()) / "latentkit"


def cached(folder: Path, key: str, shape: Shape, make: Make) -> Pixels:
    """The uint8 array of this key and shape, read-only; memory-mapped from ``folder``, where it is made at need.

    Args:
        folder: made where it is missing. One that cannot be written costs a warning, and memory for the array.
        key: names the file. Whatever the array depends on is in it.
        shape: [n, ...].
        make: yields the n rows; an ``OSError`` may not leave it.
    """
    path = folder / f"{key}.npy"
    with contextlib.suppress(Exception):  # not there, or damaged from outside in any way
        return _mapped(path, shape)
    try:
        _store(path, shape, make)
        return _mapped(path, shape)
    except OSError as error:
        warnings.warn(
            f"decoded pictures cannot be kept in '{folder}': {error.strerror}; every run will decode them again\n"
            "  name a folder that can be written with `cache`",
            stacklevel=3,
        )
    return _in_memory(shape, make)


def _mapped(path: Path, shape: Shape) -> Pixels:
    images: Pixels = np.lib.format.open_memmap(path, mode="r")  # never unpickles
    if images.shape != shape or images.dtype != np.uint8:
        raise ValueError(f"{path}: not the array of this key")
    return images


def _store(path: Path, shape: Shape, make: Make) -> None:
    # Plain writes and not a writable memory map: on a full disk that would end the process with a bus error.
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with part.open("wb") as file, contextlib.closing(make()) as rows:
            np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
            for row in rows:
                file.write(row.tobytes())
        os.replace(part, path)
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def _in_memory(shape: Shape, make: Make) -> Pixels:
    result = np.empty(shape, np.uint8)
    for index, row in enumerate(make()):
        result[index] = row
    result.flags.writeable = False
    return result
