"""Images that are read when they are wanted, for data that are larger than memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import abc

import numpy as np

from latentkit.errors import DataError

Pixels = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
Index = np.ndarray | slice
Shape = tuple[int, int, int, int]


class Unusable(DataError):
    """Of rows that were asked for, some are to be left out.

    Args:
        why: by place among those that were asked for.
    """

    def __init__(self, why: abc.Mapping[int, str]) -> None:
        self.why = dict(why)
        super().__init__("; ".join(self.why.values()))


class Rows(ABC):
    """What a table has in place of an array of images where these are read when they are wanted.

    It is indexed like the array, uint8 [n, channels, height, width], by indices or a slice, and what is asked for is
    read then and there. Training reads ahead in worker processes. Each is given a pickled copy, so that a value keeps
    no open file, and its class stands in a module that they can import (quickly, which torch would not be).
    """

    @property
    @abstractmethod
    def shape(self) -> Shape:
        """n, channels, height, width."""

    @abstractmethod
    def rows(self, indices: np.ndarray) -> Pixels:
        """These samples in this order, each as often as it is named: uint8 [m, channels, height, width].

        A function of the indices. Several threads may call it.

        Raises:
            DataError: one cannot be read, named.
            Unusable: some are to be left out, where an option says so; another takes the place of each.
        """

    @property
    def workers(self) -> int | None:
        """Processes that read ahead: 0 for a thread of this one, ``None`` for as many as there are cores for."""
        return None

    @property
    def leaves_out(self) -> bool:
        """Whether :meth:`rows` may raise :class:`Unusable`."""
        return False

    def release(self) -> None:  # noqa: B027  # most keep nothing
        """Let go of what is kept for the next call."""

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """Of images."""
        return np.dtype(np.uint8)

    @property
    def ndim(self) -> int:
        """Of images: 4."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Index) -> Pixels:
        wanted = np.arange(*index.indices(len(self))) if isinstance(index, slice) else np.asarray(index)
        return self.rows(wanted)
