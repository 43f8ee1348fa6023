"""Tar files of pictures as WebDataset lays them out (https://github.com/webdataset/webdataset), on a disk.

A sample is the files of one name up to its first dot: ``0001.jpg`` and ``0001.cls``. The package of that name is not
needed: of a file on a disk every sample can be read by itself, so that an epoch may have any order.
"""

from __future__ import annotations

import io
import os
from collections import abc
from typing import BinaryIO, ClassVar

import attrs
import numpy as np
from attrs.validators import in_

from latentkit.data.decoding import Wanted
from latentkit.data.faults import Rule, Small, Unreadable
from latentkit.data.images import check_request
from latentkit.data.listing import Names, listed
from latentkit.data.paths import files_of
from latentkit.data.picture_rows import Opened, PictureRows
from latentkit.data.picture_tables import picture_table
from latentkit.data.streaming import STREAM, Stream
from latentkit.data.tar_index import entries
from latentkit.data.workers import not_negative
from latentkit.errors import DataError
from latentkit.interfaces import DataSource, Table

_IMAGES = ("jpg", "jpeg", "png", "webp")
_LABEL_BYTES = 32


@attrs.frozen(kw_only=True)
class WebDataset(DataSource):
    """Pictures in tar files, ``path`` being one, a folder of .tar files, or a pattern: ``"train-{000..127}.tar"``.

    A sample is the files of one name up to the first dot. ``image`` is the ending of its picture, by default jpg, jpeg,
    png or webp; ``label`` that of a file with its class as a number, ``"cls"``.

    ``small``, ``unreadable`` and ``workers`` are as of ``folder``. ``stream`` is whether pictures are decoded when a
    batch wants them (``always``) or all before the first batch, into memory (``never``); ``auto``: when wanted if they
    are more than 20,000, or would fill a quarter of the memory.
    """

    native_size: ClassVar[tuple[int, int]] = (64, 64)
    native_channels: ClassVar[int] = 3

    path: str
    image: str | None = None
    label: str | None = None
    small: Small = attrs.field(default="refuse", validator=in_(("refuse", "skip", "enlarge")))
    unreadable: Unreadable = attrs.field(default="refuse", validator=in_(("refuse", "skip")))
    workers: int | None = attrs.field(default=None, validator=not_negative("webdataset"))
    stream: Stream = attrs.field(default="auto", validator=in_(STREAM))

    def offers(self) -> tuple[str, ...]:
        """``image``, and ``label`` where its ending is given."""
        return ("image",) if self.label is None else ("image", "label")

    def open(self, height: int, width: int, channels: int) -> Table:
        """``image`` uint8 [n, channels, height, width]; ``label`` int64 [n].

        Raises:
            DataError: no such file, one that is damaged or compressed; no pictures, or several of a sample; a sample
                without its label. Of pictures that are decoded when they are wanted, their faults show then.
        """
        check_request(height, width, channels)
        where = f"webdataset: path = '{self.path}'"
        files = files_of(self.path, ".tar", where)
        index = _Index(self.image, self.label)
        for number, file in enumerate(files):
            index.add(number, file, where)
        if not index.names:
            wanted = f".{self.image}" if self.image else ", ".join(f".{ending}" for ending in _IMAGES)
            raise DataError(f"{where}: expected pictures ({wanted}), found none")
        rows = TarRows(
            wanted=Wanted(height=height, width=width, channels=channels, enlarge=self.small == "enlarge"),
            rule=Rule(where=where, small=self.small, unreadable=self.unreadable), processes=self.workers,
            files=tuple(files), names=Names.of(index.names), places=np.array(index.places, np.int64),
        )  # fmt: skip
        label = None if self.label is None else np.array(index.labels, np.int64)
        return picture_table(rows, label, self.stream, None)


class _Index:
    """The samples of some tar files."""

    def __init__(self, image: str | None, label: str | None) -> None:
        self.images, self.label = _IMAGES if image is None else (image.lower(),), label
        self.names: list[str] = []
        self.places: list[tuple[int, int, int]] = []
        self.labels: list[int] = []

    def add(self, number: int, file: str, where: str) -> None:
        """Take up the samples of a file."""
        pictures: dict[str, tuple[int, int, int]] = {}
        labels: dict[str, tuple[int, int]] = {}
        for entry in entries(file, where):
            folder, _, base = entry.name.rpartition("/")
            start, _, ending = base.partition(".")
            key = f"{folder}/{start}"
            if ending.lower() in self.images:
                if key in pictures:
                    sample = key.lstrip("/")
                    raise DataError(
                        f"{where}: '{file}' has several pictures of the sample '{sample}'; choose with image"
                    )
                pictures[key] = number, entry.offset, entry.size
            elif ending == self.label:
                labels[key] = entry.offset, entry.size
        if self.label is not None:
            self._add_labels(file, pictures, labels, where)
        self.names += [f"{os.path.basename(file)}:{key.lstrip('/')}" for key in pictures]
        self.places += pictures.values()

    def _add_labels(
        self, file: str, pictures: abc.Iterable[str], labels: abc.Mapping[str, tuple[int, int]], where: str
    ) -> None:
        missing = [key.lstrip("/") for key in pictures if key not in labels]
        if missing:
            raise DataError(f"{where}: '{file}' has no .{self.label} beside the pictures of {listed(missing)}")
        with open(file, "rb") as content:
            for key in pictures:
                offset, size = labels[key]
                content.seek(offset)
                text = content.read(min(size, _LABEL_BYTES)).strip()
                if not text.isdigit():
                    found = text.decode(errors="replace")
                    raise DataError(
                        f"{where}: '{file}', '{key.lstrip('/')}.{self.label}': expected a class as a number from 0 on, "
                        f"found '{found}'"
                    )
                self.labels.append(int(text))


@attrs.frozen(kw_only=True, eq=False)
class TarRows(PictureRows):
    """Pictures in tar files."""

    files: tuple[str, ...]
    names: Names
    places: np.ndarray
    """Of each its file's number, and where in it its content begins and how long it is, int64 [n, 3]."""

    @property
    def count(self) -> int:
        """Of pictures."""
        return len(self.places)

    def opened(self, indices: list[int]) -> abc.Iterable[Opened]:
        """Their contents."""
        files: dict[int, BinaryIO] = {}
        try:
            for index in indices:
                number, offset, size = self.places[index].tolist()
                if number not in files:
                    files[number] = open(self.files[number], "rb")  # noqa: SIM115  # closed below
                files[number].seek(offset)
                yield self.names[index], io.BytesIO(files[number].read(size))
        except OSError as error:
            raise DataError(f"{self.rule.where}: '{self.files[number]}' cannot be read: {error.strerror}") from error
        finally:
            for file in files.values():
                file.close()
