"""A folder of pictures, decoded once and kept as one memory-mapped array."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections import abc
from pathlib import Path
from typing import ClassVar, Literal

import attrs
import numpy as np
from attrs.validators import in_

from latentkit.data.cache import cached, default_folder
from latentkit.data.decoding import Fault, Wanted, decoded
from latentkit.data.images import Pixels, check_request
from latentkit.errors import DataError, LatentkitWarning
from latentkit.interfaces import DataSource, Table

Small = Literal["refuse", "skip", "enlarge"]
Unreadable = Literal["refuse", "skip"]

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
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
    ``cache`` the folder that keeps the decoded array. ``small`` is what is done with pictures that would have to be
    enlarged, ``unreadable`` with those that cannot be read; how many are skipped, and which, is told in a warning.
    """

    native_size: ClassVar[tuple[int, int]] = (64, 64)
    native_channels: ClassVar[int] = 3

    path: str
    labels: bool = False
    small: Small = attrs.field(default="refuse", validator=in_(("refuse", "skip", "enlarge")))
    unreadable: Unreadable = attrs.field(default="refuse", validator=in_(("refuse", "skip")))
    workers: int | None = attrs.field(default=None, validator=_not_negative)
    cache: str | None = None

    def offers(self) -> tuple[str, ...]:
        """``image``, and ``label`` where sub-folders are classes."""
        return ("image", "label") if self.labels else ("image",)

    def columns(self, field: str) -> tuple[str, ...]:
        """The sub-folders that ``label`` counts.

        Raises:
            DataError: as :meth:`open`, where there is no such folder, or a picture outside of its sub-folders.
        """
        if field != "label" or not self.labels:
            return ()
        return _classes(_names(Path(os.path.expanduser(self.path)), self.path), self.path)[0]

    def open(self, height: int, width: int, channels: int) -> Table:
        """``image`` uint8 [n, channels, height, width], read-only and on disk; ``label`` int64 [n].

        Of pictures that are skipped there is no label either; the other classes keep their numbers.

        Raises:
            DataError: a missing or empty folder; unreadable pictures (all named) or small ones where they are to be
                refused; nothing but pictures to skip; decoding that was ended.
        """
        check_request(height, width, channels)
        root = Path(os.path.expanduser(self.path))
        names = _names(root, self.path)
        labels = _classes(names, self.path)[1] if self.labels else None
        wanted = Wanted(height=height, width=width, channels=channels, enlarge=self.small == "enlarge")
        folder = default_folder() if self.cache is None else Path(os.path.expanduser(self.cache))
        shape = (len(names), channels, height, width)
        kept = cached(folder, _key(self, root, names, shape), shape, lambda: _pictures(self, root, names, wanted))
        skipped = [Fault(names[index], size) for index, size in kept.without.items()]
        if skipped:
            fact = f"{len(skipped)} of {len(names)} pictures are skipped: {_said(skipped, wanted)}"
            warnings.warn(f"folder: path = '{self.path}': {fact}", LatentkitWarning, stacklevel=2)
        fields = {} if labels is None else {"label": np.delete(labels, [*kept.without])}
        return Table({"image": kept.rows, **fields})


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


def _classes(names: list[str], path: str) -> tuple[tuple[str, ...], np.ndarray]:
    """The first sub-folders by name, and the place among them of each picture's, int64 [n]."""
    loose = [name for name in names if "/" not in name]
    if loose:
        raise DataError(
            f"folder: path = '{path}': labels = true expects each picture in the sub-folder of its class, "
            f"found outside of any: {_listed(loose)}"
        )
    classes, labels = np.unique([name.partition("/")[0] for name in names], return_inverse=True)
    return tuple(map(str, classes)), labels.astype(np.int64)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _key(source: Folder, root: Path, names: list[str], shape: tuple[int, ...]) -> str:
    files = [(name, *_state(root / name)) for name in names]
    what = [_FORMAT, str(root.resolve()), shape, source.small, source.unreadable, files]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:32]


def _state(file: Path) -> tuple[int, int]:
    try:
        state = file.stat()
    except OSError:
        return 0, 0  # a link to nowhere, say: decoding will name it
    return state.st_size, state.st_mtime_ns


def _pictures(source: Folder, root: Path, names: list[str], wanted: Wanted) -> abc.Generator[Pixels | str, None, None]:
    """The pictures in turn, the size of one that is skipped; once one is refused, only a search for more such."""
    refused: list[Fault] = []
    skipped: list[Fault] = []
    for item in decoded(root, names, wanted, source.workers):
        if not isinstance(item, Fault):
            if not refused:
                yield item
        elif (source.small if item.size else source.unreadable) == "refuse":
            refused.append(item)
        else:
            skipped.append(item)
            yield item.size
    if refused:
        raise DataError(_refusal(source, refused, len(names), wanted))
    if len(skipped) == len(names):
        fact = f"no picture is left of {len(names)}: {_said(skipped, wanted)}"
        raise DataError(f"folder: path = '{source.path}': {fact}\n  name another folder, or a smaller resolution")


def _refusal(source: Folder, faults: list[Fault], count: int, wanted: Wanted) -> str:
    lines = [f"folder: path = '{source.path}': of {count} pictures {_said(faults, wanted)}"]
    if any(not fault.size for fault in faults):
        lines.append('repair or remove what cannot be read, or leave it out with unreadable = "skip"')
    if any(fault.size for fault in faults):
        lines.append('choose a smaller resolution, or say small = "enlarge" or small = "skip"')
    return "\n  ".join(lines)


def _said(faults: list[Fault], wanted: Wanted) -> str:
    """How many and which cannot be read, all of them, and are small, the first few of them."""
    unreadable = [fault.name for fault in faults if not fault.size]
    small = [f"{fault.name} ({fault.size})" for fault in faults if fault.size]
    said = [f"{len(unreadable)} cannot be read: {', '.join(unreadable)}"] if unreadable else []
    if small:
        number = "is" if len(small) == 1 else "are"
        least = f"{wanted.height} x {wanted.width}"
        said.append(f"{len(small)} {number} smaller than {least} (height x width): {_listed(small)}")
    return "; ".join(said)
