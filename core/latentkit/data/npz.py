"""Images, and labels where there are some, from NumPy ``.npz`` archives: one, or many with a part of the data each."""

from __future__ import annotations

import os

import attrs
import numpy as np
from attrs.validators import in_

from latentkit.data.images import channels_first, check_request, resize_arrays
from latentkit.data.npz_files import Member, read_arrays, read_member, to_labels, to_uint8
from latentkit.data.npz_rows import NpzRows
from latentkit.data.paths import files_of
from latentkit.data.streaming import STREAM, Stream, streams
from latentkit.errors import DataError
from latentkit.interfaces import DataSource, Rows, Table


@attrs.frozen(kw_only=True)
class Npz(DataSource):
    """Arrays [n, h, w], [n, h, w, c] or [n, c, h, w] in uint8 or float in [0, 1]; ``image`` and ``label`` are keys.

    Images of another size are cropped and resized; smaller ones are enlarged. ``path`` is a file, or a folder of .npz
    files or a pattern, ``"parts/*.npz"``: then each file, in the order of names, has some of the samples.

    ``stream`` is whether images are read when a batch wants them (``always``) or all before the first batch
    (``never``); ``auto``: when wanted if they would fill a quarter of the memory. Of compressed files each epoch goes
    through a few at a time, streamed or not. Not compressed, samples come in any order.
    """

    path: str
    image: str = "images"
    label: str | None = None
    stream: Stream = attrs.field(default="auto", validator=in_(STREAM))

    def offers(self) -> tuple[str, ...]:
        """``image``, and ``label`` where its key is given."""
        return ("image",) if self.label is None else ("image", "label")

    def open(self, height: int, width: int, channels: int) -> Table:
        """``image`` uint8 [n, channels, height, width]; ``label`` int64 [n].

        Raises:
            DataError: no such file or key, an array of objects, an unsuitable shape, type or range; files that differ
                in their images' size. Of images that are read when they are wanted, damage and range show then.
        """
        check_request(height, width, channels)
        files = files_of(self.path, ".npz", f"npz: path = '{self.path}'")
        if files == [os.path.expanduser(self.path)] and self.stream != "always":
            members = [read_member(self.path, self.image, self.path)]
            if not self._streams(members, height, width, channels):
                return self._whole(height, width, channels)
        return self._parts(files, height, width, channels)

    def _streams(self, members: list[Member], height: int, width: int, channels: int) -> bool:
        return streams(self.stream, (sum(member.shape[0] for member in members), channels, height, width))

    def _whole(self, height: int, width: int, channels: int) -> Table:
        arrays = read_arrays(self.path, [key for key in (self.image, self.label) if key is not None], self.path)
        where = f"npz: '{self.path}', array '{self.image}'"
        pixels = to_uint8(channels_first(arrays[self.image], where), where)
        fields = {"image": resize_arrays(pixels, height, width, channels)}
        if self.label is None:
            return Table(fields)
        where = f"npz: '{self.path}', array '{self.label}'"
        return Table({**fields, "label": to_labels(arrays[self.label], len(pixels), where)})

    def _parts(self, files: list[str], height: int, width: int, channels: int) -> Table:
        members = [read_member(file, self.image, self.path) for file in files]
        _alike(members)
        rows = NpzRows(members=tuple(members), option=self.path, height=height, width=width, channels=channels)
        fields: dict[str, np.ndarray | Rows] = {"image": rows}
        if self.label is not None:
            fields["label"] = np.concatenate([self._labels(member) for member in members])
        shards = rows.starts[:-1] if len(members) > 1 and any(member.offset is None for member in members) else None
        if not self._streams(members, height, width, channels):
            fields["image"] = rows[:]
            rows.release()
        return Table(fields, shards)

    def _labels(self, member: Member) -> np.ndarray:
        assert self.label is not None
        found = read_arrays(member.path, [self.label], self.path)[self.label]
        return to_labels(found, member.shape[0], f"npz: '{member.path}', array '{self.label}'")


def _alike(members: list[Member]) -> None:
    """Whether all files have images of one size and type.

    Raises:
        DataError: one differs from the first; no images, or of a type that is none.
    """
    first = members[0]
    for member in members:
        to_uint8(np.zeros(1, np.dtype(member.dtype)), member.where)
        mine, theirs = (member.layout, member.dtype), (first.layout, first.dtype)
        if mine != theirs:
            raise DataError(
                f"{member.where}: expected {np.dtype(first.dtype)} images {list(first.layout)} (channels, height, "
                f"width) as in '{first.path}', found {np.dtype(member.dtype)} {list(member.layout)}"
            )
