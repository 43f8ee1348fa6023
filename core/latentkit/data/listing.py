"""The files below a folder, and the classes that its sub-folders are."""

from __future__ import annotations

import contextlib
import os
from collections import abc

import attrs
import numpy as np

from latentkit.errors import DataError

_NAMED = 8


@attrs.frozen(eq=False)
class Names(abc.Sequence[str]):
    """Names of files in a few bytes each: of millions, a list of strings is large, and every process has a copy."""

    text: bytes
    ends: np.ndarray
    """Where each name ends in the text, int64 [n]."""

    @classmethod
    def of(cls, names: abc.Iterable[str]) -> Names:
        """The names in the same order."""
        encoded = [os.fsencode(name) for name in names]
        return cls(b"".join(encoded), np.cumsum([len(name) for name in encoded], dtype=np.int64))

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: int) -> str:  # type: ignore[override]  # no slices
        return os.fsdecode(self.text[self.ends[index - 1] if index else 0 : self.ends[index]])


def files_below(folder: str, suffixes: abc.Container[str]) -> list[str]:
    """Names of the files below a folder, relative to it with ``/`` between, in their order.

    Hidden ones, and what is behind links to folders, are left out. No file is looked into, and none asked for its state
    but links: that would take longer than all the rest.

    Args:
        folder: is there.
        suffixes: of the files that are wanted, in lower case, with the dot.
    """
    found: list[str] = []
    waiting = [""]
    while waiting:
        below = waiting.pop()
        with contextlib.suppress(PermissionError), os.scandir(os.path.join(folder, below)) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(f"{below}{entry.name}/")
                elif os.path.splitext(entry.name)[1].lower() in suffixes and not _leads_to_a_folder(entry):
                    found.append(below + entry.name)
    return sorted(found)


def _leads_to_a_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_symlink() and os.path.isdir(entry.path)


def classes_of(names: abc.Iterable[str], where: str) -> tuple[tuple[str, ...], np.ndarray]:
    """The first sub-folders in the order of their names, and the place among them of each file's, int64 [n].

    Raises:
        DataError: a file is in none; ``where`` opens the message.
    """
    firsts = [name.partition("/")[::2] for name in names]
    loose = [first for first, rest in firsts if not rest]
    if loose:
        raise DataError(
            f"{where}: labels = true expects each picture in the sub-folder of its class, "
            f"found outside of any: {listed(loose)}"
        )
    classes = sorted({first for first, _ in firsts})
    number = {name: index for index, name in enumerate(classes)}
    return tuple(classes), np.fromiter((number[first] for first, _ in firsts), np.int64, len(firsts))


def listed(names: abc.Sequence[str]) -> str:
    """The first few, and how many more."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
