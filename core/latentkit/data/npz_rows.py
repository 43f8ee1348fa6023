"""Images of many ``.npz`` files that are read when they are wanted. Nothing here imports torch.

A sample of an array that was stored as it is, is read by itself. A compressed array is unpacked as a whole, and kept
for as long as others of its samples are wanted.
"""

from __future__ import annotations

import math
import os

import attrs
import numpy as np

from latentkit.data.images import channels_first, resize_arrays
from latentkit.data.npz_files import Member, read_arrays, to_uint8
from latentkit.data.recent import Recent
from latentkit.errors import DataError
from latentkit.interfaces.rows import Pixels, Rows, Shape


@attrs.frozen(kw_only=True, eq=False)
class NpzRows(Rows):
    """An array in each of some files, of images of one size."""

    members: tuple[Member, ...]
    option: str
    """What the user has given for the path."""
    height: int
    width: int
    channels: int
    starts: np.ndarray = attrs.field(init=False)
    """The first sample of each file, and the number of all, int64 [files + 1]."""
    recent: Recent[Pixels] = attrs.field(factory=Recent, init=False)

    @starts.default
    def _counted(self) -> np.ndarray:
        return np.cumsum([0, *(member.shape[0] for member in self.members)])

    @property
    def shape(self) -> Shape:
        """As they are asked for."""
        return int(self.starts[-1]), self.channels, self.height, self.width

    def release(self) -> None:
        """Let go of unpacked arrays."""
        self.recent.clear()

    def rows(self, indices: np.ndarray) -> Pixels:
        """Cropped and resized.

        Raises:
            DataError: a file that is damaged or gone, or a value out of [0, 1].
        """
        found = np.empty((len(indices), *self.shape[1:]), np.uint8)
        numbers = np.searchsorted(self.starts, indices, "right") - 1
        for number in np.unique(numbers).tolist():
            places = np.flatnonzero(numbers == number)
            images = self._some(number, indices[places] - self.starts[number])
            found[places] = resize_arrays(images, self.height, self.width, self.channels)
        return found

    def _some(self, number: int, indices: np.ndarray) -> Pixels:
        member = self.members[number]
        if member.offset is None:
            kept = self.recent.get(number, self._unpacked)
            return np.asarray(kept[indices])
        return _images(_read(member, indices), member)

    def _unpacked(self, number: int) -> Pixels:
        member = self.members[number]
        array = read_arrays(member.path, [member.key], self.option)[member.key]
        if array.shape != member.shape:
            raise DataError(f"{member.where}: has changed since it was opened: expected {list(member.shape)}, "
                            f"found {list(array.shape)}")  # fmt: skip
        return _images(array, member)


def _images(array: np.ndarray, member: Member) -> Pixels:
    return to_uint8(channels_first(array, member.where), member.where)


def _read(member: Member, indices: np.ndarray) -> np.ndarray:
    """Samples of an array that is stored as it is."""
    dtype, sample = np.dtype(member.dtype), member.shape[1:]
    size = math.prod(sample) * dtype.itemsize
    assert member.offset is not None
    try:
        with open(os.path.expanduser(member.path), "rb") as file:
            parts = []
            for index in indices.tolist():
                file.seek(member.offset + index * size)
                parts.append(file.read(size))
    except OSError as error:
        raise DataError(f"{member.where}: cannot be read: {error.strerror}") from error
    content = b"".join(parts)
    if len(content) != size * len(indices):
        raise DataError(f"{member.where}: is shorter than its header says")
    return np.frombuffer(content, dtype).reshape(len(indices), *sample)
