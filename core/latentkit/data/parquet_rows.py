"""Pictures in a column of Parquet files, as rows that are read when they are wanted."""

from __future__ import annotations

import io
import os
from collections import abc
from typing import Any

import attrs
import numpy as np

from latentkit._optional import optional
from latentkit.data.picture_rows import Opened, PictureRows
from latentkit.data.recent import Recent
from latentkit.errors import DataError


@attrs.frozen(kw_only=True)
class Group:
    """Rows of a file that are read together."""

    file: str
    number: int
    count: int
    nested: bool
    """Whether pictures are structs of ``bytes`` and ``path``."""


@attrs.frozen(kw_only=True, eq=False)
class ParquetRows(PictureRows):
    """Pictures in a column of Parquet files."""

    groups: tuple[Group, ...]
    column: str
    starts: np.ndarray = attrs.field(init=False)
    """The first sample of each group, and the number of all, int64 [groups + 1]."""
    recent: Recent[Any] = attrs.field(factory=Recent, init=False)

    @starts.default
    def _counted(self) -> np.ndarray:
        return np.cumsum([0, *(group.count for group in self.groups)])

    @property
    def count(self) -> int:
        """Of pictures."""
        return int(self.starts[-1])

    def release(self) -> None:
        """Let go of groups."""
        self.recent.clear()

    def opened(self, indices: list[int]) -> abc.Iterable[Opened]:
        """Their contents; nothing in an empty place."""
        numbers = np.searchsorted(self.starts, indices, "right") - 1
        for index, number in zip(indices, numbers.tolist(), strict=True):
            row = index - int(self.starts[number])
            content = self.recent.get(number, self._group)[row].as_py()
            yield f"{os.path.basename(self.groups[number].file)}, row {index}", io.BytesIO(content or b"")

    def _group(self, number: int) -> Any:
        group = self.groups[number]
        opened = parquet_file(group.file, self.rule.where)
        try:
            column = opened.read_row_group(group.number, columns=[self.column]).column(0).combine_chunks()
        except (OSError, ValueError) as error:
            raise _damaged(group.file, self.rule.where) from error
        return column.field("bytes") if group.nested else column


def parquet_file(file: str, where: str) -> Any:
    """A file that was opened by pyarrow.

    Raises:
        LatentkitError: pyarrow is not installed.
        DataError: there is no such file, or it is damaged.
    """
    parquet = optional("pyarrow.parquet", "Parquet files need", "pyarrow", "parquet")
    try:
        return parquet.ParquetFile(file)
    except FileNotFoundError:
        raise DataError(f"{where}: there is no file '{file}'") from None
    except (OSError, ValueError) as error:  # of which pyarrow's own are kinds
        raise _damaged(file, where) from error


def _damaged(file: str, where: str) -> DataError:
    return DataError(f"{where}: '{file}' is no Parquet file, or a damaged one")
