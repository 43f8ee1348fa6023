"""Pictures that are decoded when they are wanted. Nothing here imports torch."""

from __future__ import annotations

from abc import abstractmethod
from collections import abc
from pathlib import Path
from typing import BinaryIO

import attrs
import numpy as np

from latentkit.data.decoding import Fault, Wanted, decode
from latentkit.data.faults import Rule, said
from latentkit.data.listing import Names
from latentkit.errors import DataError
from latentkit.interfaces.rows import Pixels, Rows, Shape, Unusable

Opened = tuple[str, Path | BinaryIO]
"""The name of a picture, and its file or what is in it."""


@attrs.frozen(kw_only=True, eq=False)
class PictureRows(Rows):
    """Pictures in whatever they are kept in, by index."""

    wanted: Wanted
    rule: Rule
    processes: int | None = None
    """That decode; 0 for a thread of this one."""

    @property
    def shape(self) -> Shape:
        """Of all pictures, as they are asked for."""
        return self.count, self.wanted.channels, self.wanted.height, self.wanted.width

    @property
    def workers(self) -> int | None:
        """As the option says."""
        return self.processes

    @property
    def leaves_out(self) -> bool:
        """As the options say."""
        return self.rule.skips

    @property
    @abstractmethod
    def count(self) -> int:
        """Of pictures."""

    @abstractmethod
    def opened(self, indices: list[int]) -> abc.Iterable[Opened]:
        """These pictures, by name."""

    def rows(self, indices: np.ndarray) -> Pixels:
        """Decoded.

        Raises:
            DataError: pictures that cannot be read, or small ones, named, where they are to be refused.
            Unusable: the same where they are to be skipped.
        """
        found = decode(self.opened(indices.tolist()), self.wanted)
        faults = {place: item for place, item in enumerate(found) if isinstance(item, Fault)}
        refused = [fault for fault in faults.values() if self.rule.refuses(fault)]
        if refused:
            raise DataError(self.rule.refusal(refused, self.wanted))
        if faults:
            raise Unusable(
                {place: f"{self.rule.where}: {said([fault], self.wanted)}" for place, fault in faults.items()}
            )
        return np.stack(found) if found else np.empty((0, *self.shape[1:]), np.uint8)  # type: ignore[arg-type]


@attrs.frozen(kw_only=True, eq=False)
class FileRows(PictureRows):
    """Files below a folder."""

    root: Path
    names: Names

    @property
    def count(self) -> int:
        """Of files."""
        return len(self.names)

    def opened(self, indices: list[int]) -> abc.Iterable[Opened]:
        """Their paths."""
        for name in (self.names[index] for index in indices):
            yield name, self.root / name
