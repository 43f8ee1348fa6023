"""Rows made of other rows, or of an array. Nothing here imports torch."""

from __future__ import annotations

import warnings

import attrs
import numpy as np

from latentkit.errors import DataError, LatentkitWarning
from latentkit.interfaces.rows import Pixels, Rows, Shape, Unusable

_AT_ONCE = 1000


@attrs.frozen(eq=False)
class Held(Rows):
    """An array that is too large for where it is used."""

    array: np.ndarray

    @property
    def shape(self) -> Shape:
        """Of the array."""
        n, c, h, w = self.array.shape
        return n, c, h, w

    @property
    def workers(self) -> int:
        """0: there is nothing to decode."""
        return 0

    def rows(self, indices: np.ndarray) -> Pixels:
        """Copies."""
        return np.asarray(self.array[indices])


@attrs.frozen(eq=False)
class _Made(Rows):
    """Rows made of others."""

    inner: Rows

    @property
    def workers(self) -> int | None:
        """As of the others."""
        return self.inner.workers

    def release(self) -> None:
        """Of the others."""
        self.inner.release()


@attrs.frozen(eq=False)
class Reduced(_Made):
    """Means of whole blocks of pixels."""

    factor: int

    @property
    def shape(self) -> Shape:
        """With sides that are smaller by the factor."""
        n, c, h, w = self.inner.shape
        return n, c, h // self.factor, w // self.factor

    def rows(self, indices: np.ndarray) -> Pixels:
        """``n c h w`` to ``n c h/f w/f``."""
        return block_means(self.inner.rows(indices), self.factor)


def block_means(images: Pixels, factor: int) -> Pixels:
    """``n c h w`` to ``n c h/f w/f``, uint8 and rounded, a thousand at a time."""
    n, c, h, w = images.shape
    found = np.empty((n, c, h // factor, w // factor), np.uint8)
    for start in range(0, n, _AT_ONCE):
        blocks = images[start : start + _AT_ONCE].reshape(-1, c, h // factor, factor, w // factor, factor)
        found[start : start + _AT_ONCE] = (blocks.mean((3, 5), dtype=np.float32) + 0.5).astype(np.uint8)
    return found


@attrs.frozen(eq=False)
class Substituted(_Made):
    """Rows of which some turn out to be unusable: the next usable one takes its place.

    The next by index, after the last the first, among those of the same part of a split: what is held out is never
    trained on.
    """

    parts: tuple[np.ndarray, ...]
    """Indices, rising; together all of them."""
    without: set[int] = attrs.field(factory=set, init=False)
    """Those that are known to be unusable."""

    @property
    def shape(self) -> Shape:
        """The unusable ones counted."""
        return self.inner.shape

    def rows(self, indices: np.ndarray) -> Pixels:
        """As the class says.

        Raises:
            DataError: none of a part is usable.
        """
        wanted = np.array([self._usable(index) for index in indices.tolist()], np.int64)
        while True:
            try:
                return self.inner.rows(wanted)
            except Unusable as error:
                for place, why in error.why.items():
                    self.without.add(int(wanted[place]))
                    warnings.warn(f"{why}: skipped, and the next one taken", LatentkitWarning, stacklevel=2)
                wanted = np.array([self._usable(index) for index in wanted.tolist()], np.int64)

    def _usable(self, index: int) -> int:
        if index not in self.without:
            return index
        for part in self.parts:
            place = int(np.searchsorted(part, index))
            if place < len(part) and part[place] == index:
                following = (int(part[(place + more) % len(part)]) for more in range(1, len(part)))
                found = next((other for other in following if other not in self.without), None)
                if found is not None:
                    return found
        raise DataError("data: no sample is left that can be used\n  name other data, or a smaller resolution")
