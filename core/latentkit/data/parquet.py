"""Pictures in Parquet files as the Hugging Face hub has them (https://huggingface.co/docs/hub/datasets), on a disk.

A column of pictures is one of files as they are, or of structs of ``bytes`` and ``path``. The rows of a file come in
groups, each of which is read as a whole: these are what an epoch goes through, a few at a time.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar

import attrs
import numpy as np
from attrs.validators import in_

from latentkit.data.decoding import Wanted
from latentkit.data.faults import Rule, Small, Unreadable
from latentkit.data.images import check_request
from latentkit.data.parquet_rows import Group, ParquetRows, parquet_file
from latentkit.data.paths import files_of
from latentkit.data.picture_tables import picture_table
from latentkit.data.streaming import STREAM, Stream
from latentkit.data.workers import not_negative
from latentkit.errors import DataError, nearest
from latentkit.interfaces import DataSource, Table


@attrs.frozen(kw_only=True)
class Parquet(DataSource):
    """Pictures in a column of Parquet files; ``path`` is one, a folder of .parquet files, or a pattern.

    ``image`` and ``label`` are columns: pictures as files, in bytes or structs of ``bytes`` and ``path``, and whole
    numbers from 0 on. Needs pyarrow: ``pip install 'latentkit[parquet]'``.

    ``small``, ``unreadable`` and ``workers`` are as of ``folder``. ``stream`` is whether pictures are decoded when a
    batch wants them (``always``) or all before the first batch, into memory (``never``); ``auto``: when wanted if they
    are more than 20,000, or would fill a quarter of the memory. Each epoch goes through some row groups at a time,
    streamed or not.
    """

    native_size: ClassVar[tuple[int, int]] = (64, 64)
    native_channels: ClassVar[int] = 3

    path: str
    image: str = "image"
    label: str | None = None
    small: Small = attrs.field(default="refuse", validator=in_(("refuse", "skip", "enlarge")))
    unreadable: Unreadable = attrs.field(default="refuse", validator=in_(("refuse", "skip")))
    workers: int | None = attrs.field(default=None, validator=not_negative("parquet"))
    stream: Stream = attrs.field(default="auto", validator=in_(STREAM))

    def offers(self) -> tuple[str, ...]:
        """``image``, and ``label`` where its column is given."""
        return ("image",) if self.label is None else ("image", "label")

    def columns(self, field: str) -> tuple[str, ...]:
        """The names of classes, where the hub's own notes in the first file have them.

        Raises:
            DataError: it cannot be read.
        """
        if field != "label" or self.label is None:
            return ()
        schema = parquet_file(files_of(self.path, ".parquet", self._where)[0], self._where).schema_arrow
        try:
            notes = json.loads((schema.metadata or {})[b"huggingface"])
            return tuple(map(str, notes["info"]["features"][self.label]["names"]))
        except (KeyError, TypeError, ValueError):
            return ()

    def open(self, height: int, width: int, channels: int) -> Table:
        """``image`` uint8 [n, channels, height, width]; ``label`` int64 [n].

        Raises:
            LatentkitError: pyarrow is not installed.
            DataError: no such file or column, or one of another type. Of pictures that are decoded when they are
                wanted, their faults show then.
        """
        check_request(height, width, channels)
        groups: list[Group] = []
        labels: list[np.ndarray] = []
        for file in files_of(self.path, ".parquet", self._where):
            opened = parquet_file(file, self._where)
            nested = _column(opened.schema_arrow, self.image, file, self._where)
            groups += [
                Group(file=file, number=number, count=opened.metadata.row_group(number).num_rows, nested=nested)
                for number in range(opened.num_row_groups)
            ]
            labels += [] if self.label is None else [self._labels(opened, file)]
        groups = [group for group in groups if group.count]
        if not groups:
            raise DataError(f"{self._where}: has no rows")
        rows = ParquetRows(
            wanted=Wanted(height=height, width=width, channels=channels, enlarge=self.small == "enlarge"),
            rule=Rule(where=self._where, small=self.small, unreadable=self.unreadable), processes=self.workers,
            groups=tuple(groups), column=self.image,
        )  # fmt: skip
        shards = rows.starts[:-1] if len(groups) > 1 else None
        return picture_table(rows, np.concatenate(labels) if labels else None, self.stream, shards)

    @property
    def _where(self) -> str:
        return f"parquet: path = '{self.path}'"

    def _labels(self, opened: Any, file: str) -> np.ndarray:
        assert self.label is not None
        _named(opened.schema_arrow, self.label, file, self._where)
        column = opened.read(columns=[self.label]).column(0)
        where = f"{self._where}: '{file}', column '{self.label}'"
        if not str(column.type).startswith(("int", "uint")) or column.null_count:
            what = f"{column.null_count} empty places" if column.null_count else str(column.type)
            raise DataError(f"{where}: expected whole numbers, found {what}")
        found = np.asarray(column.to_numpy(), np.int64)
        if len(found) and found.min() < 0:
            raise DataError(f"{where}: expected labels from 0 on, found {found.min()}")
        return found


def _named(schema: Any, name: str, file: str, where: str) -> None:
    if name not in schema.names:
        known = ", ".join(f"'{other}'" for other in schema.names) or "none"
        hint = nearest(name, schema.names)
        raise DataError(f"{where}: '{file}' has no column '{name}'; it has {known}" + (f"\n  {hint}" if hint else ""))


def _column(schema: Any, name: str, file: str, where: str) -> bool:
    """Whether the pictures of a column are structs."""
    _named(schema, name, file, where)
    kind = schema.field(name).type
    nested = kind.num_fields > 0 and "bytes" in [kind.field(at).name for at in range(kind.num_fields)]
    if not nested and str(kind) not in ("binary", "large_binary"):
        wanted = "pictures, as binary or as a struct with 'bytes'"
        raise DataError(f"{where}: '{file}', column '{name}': expected {wanted}, found {kind}")
    return nested
