"""Arrays that are slow to make, kept on disk from run to run."""

from __future__ import annotations

import contextlib
import io
import json
import os
import tempfile
import uuid
import warnings
from collections import abc
from pathlib import Path

import attrs
import numpy as np

from latentkit.data.images import Pixels
from latentkit.errors import LatentkitWarning

Shape = tuple[int, ...]
Make = abc.Callable[[], abc.Generator[Pixels | str, None, None]]


@attrs.frozen(eq=False)
class Kept:
    """Rows that could be made, and why the others could not."""

    rows: Pixels
    """Read-only."""
    without: dict[int, str]
    """By index among all that were to be made."""


def default_folder() -> Path:
    """``$XDG_CACHE_HOME/latentkit``, else ``~/.cache/latentkit``, else one for temporary files."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "latentkit"
    except RuntimeError:  # a user without a home folder, as in some containers
        return Path(tempfile.gettempdir()) / "latentkit"


def cached(folder: Path, key: str, shape: Shape, make: Make) -> Kept:
    """The uint8 array of this key and shape, memory-mapped from ``folder``, where it is made at need.

    Args:
        folder: made where it is missing. One that cannot be written costs a warning, and memory for the array.
        key: names the file, and another one beside it where rows are left out. Whatever the array depends on is in it.
        shape: [n, ...].
        make: yields the n rows; in place of one that is left out, a text that says why. At least one is not. An
            ``OSError`` may not leave it.
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
            LatentkitWarning,
            stacklevel=3,
        )
    return _in_memory(shape, make)


def _mapped(path: Path, shape: Shape) -> Kept:
    rows: Pixels = np.lib.format.open_memmap(path, mode="r")  # never unpickles
    without: dict[int, str] = {}
    if len(rows) < shape[0]:
        without = {int(index): str(why) for index, why in json.loads(_beside(path).read_text(encoding="utf-8"))}
    indices = range(shape[0])
    whole = len(rows) + len(without) == shape[0] and all(index in indices for index in without)
    if not whole or rows.shape[1:] != shape[1:] or rows.dtype != np.uint8:
        raise ValueError(f"{path}: not the array of this key")
    return Kept(rows, without)


def _beside(path: Path) -> Path:
    """Where it says which rows are left out."""
    return path.with_suffix(".json")


def _store(path: Path, shape: Shape, make: Make) -> None:
    # Plain writes and not a writable memory map: on a full disk that would end the process with a bus error.
    path.parent.mkdir(parents=True, exist_ok=True)
    without: dict[int, str] = {}
    with _replacing(path) as part:
        with part.open("wb") as file, contextlib.closing(make()) as rows:
            file.write(_header(shape))
            for index, row in enumerate(rows):
                if isinstance(row, str):
                    without[index] = row
                else:
                    file.write(row.tobytes())
            file.seek(0)
            file.write(_header((shape[0] - len(without), *shape[1:])))  # as long: NumPy leaves room for any count
        if without:
            with _replacing(_beside(path)) as other:
                other.write_text(json.dumps([*without.items()]), encoding="utf-8")


@contextlib.contextmanager
def _replacing(path: Path) -> abc.Iterator[Path]:
    """A file beside, which takes the place of this one if all goes well, and is gone otherwise."""
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        yield part
        os.replace(part, path)
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def _header(shape: Shape) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return file.getvalue()


def _in_memory(shape: Shape, make: Make) -> Kept:
    result = np.empty(shape, np.uint8)
    without: dict[int, str] = {}
    for index, row in enumerate(make()):
        if isinstance(row, str):
            without[index] = row
        else:
            result[index - len(without)] = row
    result = result[: shape[0] - len(without)]
    result.flags.writeable = False
    return Kept(result, without)
