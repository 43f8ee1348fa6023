"""A folder of pictures, decoded once and kept as one memory-mapped array, or each when it is wanted."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections import abc
from pathlib import Path
from typing import ClassVar

import attrs
import numpy as np
from attrs.validators import in_

from latentkit.data.cache import Kept, cached, default_folder
from latentkit.data.decoding import Fault, Wanted, decoded
from latentkit.data.faults import Rule, Small, Unreadable, said
from latentkit.data.images import Pixels, check_request
from latentkit.data.listing import Names, classes_of, files_below
from latentkit.data.picture_rows import FileRows
from latentkit.data.picture_tables import refuse_to_skip_labelled
from latentkit.data.streaming import STREAM, Stream, streams
from latentkit.data.workers import not_negative
from latentkit.errors import DataError, LatentkitWarning
from latentkit.interfaces import DataSource, Table

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
_VERY_MANY = 100_000
"""Pictures: to decode so many before the first batch would take long."""
_FORMAT = 1  # of the cache: raise it when `fit` changes what it makes


@attrs.frozen(kw_only=True)
class Folder(DataSource):
    """All png, jpg, jpeg and webp files below ``path``, in the order of their names.

    Hidden files, and links to folders, are left out. ``labels`` makes the first sub-folder of each file its class,
    numbered in the order of names. ``workers`` is the number of processes that decode (0: none but this one);
    ``cache`` the folder that keeps the decoded array. ``small`` is what is done with pictures that would have to be
    enlarged, ``unreadable`` with those that cannot be read; how many are skipped, and which, is told in a warning.

    ``stream`` is whether pictures are decoded when a batch wants them (``always``) or all before the first batch
    (``never``); ``auto``: when wanted if they are more than 100,000, or would fill a quarter of the memory, unless some
    are to be skipped.
    """

    native_size: ClassVar[tuple[int, int]] = (64, 64)
    native_channels: ClassVar[int] = 3

    path: str
    labels: bool = False
    small: Small = attrs.field(default="refuse", validator=in_(("refuse", "skip", "enlarge")))
    unreadable: Unreadable = attrs.field(default="refuse", validator=in_(("refuse", "skip")))
    workers: int | None = attrs.field(default=None, validator=not_negative("folder"))
    cache: str | None = None
    stream: Stream = attrs.field(default="auto", validator=in_(STREAM))

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
        return classes_of(self._names(), self._where)[0]

    def open(self, height: int, width: int, channels: int) -> Table:
        """``image`` uint8 [n, channels, height, width], kept on disk or decoded when wanted; ``label`` int64 [n].

        Of pictures that are skipped there is no label either; the other classes keep their numbers.

        Raises:
            DataError: a missing or empty folder; unreadable pictures (all named) or small ones where they are to be
                refused; nothing but pictures to skip; decoding that was ended. Of pictures that are decoded when they
                are wanted, faults of pictures show then.
        """
        check_request(height, width, channels)
        names = self._names()
        labels = classes_of(names, self._where)[1] if self.labels else None
        wanted = Wanted(height=height, width=width, channels=channels, enlarge=self.small == "enlarge")
        shape = (len(names), channels, height, width)
        if self._streams(shape):
            return Table({"image": self._rows(names, wanted), **({} if labels is None else {"label": labels})})
        kept = self._kept(names, shape, wanted)
        fields = {} if labels is None else {"label": np.delete(labels, [*kept.without])}
        return Table({"image": kept.rows, **fields})

    @property
    def _root(self) -> Path:
        return Path(os.path.expanduser(self.path))

    @property
    def _where(self) -> str:
        return f"folder: path = '{self.path}'"

    @property
    def _rule(self) -> Rule:
        return Rule(where=self._where, small=self.small, unreadable=self.unreadable)

    def _names(self) -> list[str]:
        if not os.path.isdir(self._root):
            found = "a file" if os.path.exists(self._root) else "nothing there"
            raise DataError(f"{self._where}: expected a folder with pictures, found {found}")
        names = files_below(str(self._root), _SUFFIXES)
        if not names:
            raise DataError(f"{self._where}: expected png, jpg, jpeg or webp files in it or below, found none")
        return names

    def _streams(self, shape: tuple[int, ...]) -> bool:
        if self.stream == "always":
            refuse_to_skip_labelled(self._rule, self.labels)
        # What is skipped has to be known before the first batch, unless somebody says otherwise.
        return streams(self.stream, shape, _VERY_MANY) and (self.stream == "always" or not self._rule.skips)

    def _rows(self, names: list[str], wanted: Wanted) -> FileRows:
        return FileRows(
            root=self._root, names=Names.of(names), wanted=wanted, rule=self._rule, processes=self.workers
        )  # fmt: skip

    def _kept(self, names: list[str], shape: tuple[int, ...], wanted: Wanted) -> Kept:
        folder = default_folder() if self.cache is None else Path(os.path.expanduser(self.cache))
        key = _key(self, self._root, names, shape)
        kept = cached(folder, key, shape, lambda: _pictures(self._root, names, wanted, self.workers, self._rule))
        skipped = [Fault(names[index], size) for index, size in kept.without.items()]
        if skipped:
            fact = f"{len(skipped)} of {len(names)} pictures are skipped: {said(skipped, wanted)}"
            warnings.warn(f"{self._where}: {fact}", LatentkitWarning, stacklevel=3)
        return kept


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


def _pictures(
    root: Path, names: list[str], wanted: Wanted, workers: int | None, rule: Rule
) -> abc.Generator[Pixels | str, None, None]:
    """The pictures in turn, the size of one that is skipped; once one is refused, only a search for more such."""
    refused: list[Fault] = []
    skipped: list[Fault] = []
    for item in decoded(root, names, wanted, workers):
        if not isinstance(item, Fault):
            if not refused:
                yield item
        elif rule.refuses(item):
            refused.append(item)
        else:
            skipped.append(item)
            yield item.size
    if refused:
        raise DataError(rule.refusal(refused, wanted, len(names)))
    if len(skipped) == len(names):
        fact = f"no picture is left of {len(names)}: {said(skipped, wanted)}"
        raise DataError(f"{rule.where}: {fact}\n  name another folder, or a smaller resolution")
