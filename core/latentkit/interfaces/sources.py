"""Where values come from: priors and data sources."""

from __future__ import annotations

from abc import abstractmethod
from collections import abc
from typing import TYPE_CHECKING, ClassVar

import attrs
import numpy as np

from latentkit.interfaces.component import Component
from latentkit.interfaces.rows import Rows
from latentkit.spaces import Space

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@attrs.frozen(kw_only=True)
class Prior(Component):
    """A source of random numbers: latent samples, noise, mixing weights, labels."""

    kind: ClassVar[str] = "prior"

    def space(self) -> Space | None:
        """The space of one draw where the options state it, else ``None``: the flow determines it."""
        return None

    @abstractmethod
    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Draw a tensor of ``shape`` (batch first) on the generator's device."""

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density per sample, in nats.

        Raises:
            NotImplementedError: this prior has no density, or none that is known.
        """
        raise NotImplementedError(f"{type(self).__name__} has no log-density")


@attrs.frozen
class Table:
    """Samples. ``fields`` have equal length; ``image`` is uint8 [n, channels, height, width].

    Attributes:
        fields: arrays. ``image``, and no other, may be :class:`Rows`, which are read when they are wanted.
        shards: of samples that are cheap to read together and costly one by one, the first index of each such run,
            rising from 0. An epoch then goes through the runs, a few at a time, in place of all samples at random.
    """

    fields: abc.Mapping[str, np.ndarray | Rows]
    shards: np.ndarray | None = attrs.field(default=None)

    def __len__(self) -> int:
        return len(next(iter(self.fields.values())))

    def array(self, field: str) -> np.ndarray:
        """A field that is not images."""
        found = self.fields[field]
        if isinstance(found, Rows):
            raise TypeError(f"'{field}' is read when it is wanted, and not kept")
        return found


@attrs.frozen(kw_only=True)
class DataSource(Component):
    """Yields images, and labels or factors where it has them.

    ``resolution``, ``channels``, value range, split and flips are common to all sources and handled by the core; a
    source delivers uint8 images of the height, width and channels that it is asked for.
    """

    kind: ClassVar[str] = "data"
    native_size: ClassVar[tuple[int, int]] = (64, 64)
    """Height and width, where a recipe states no ``resolution``."""
    native_channels: ClassVar[int] = 1

    def classes(self) -> int | None:
        """The number of classes of ``label`` where it is known without opening data, else ``None``."""
        return None

    def offers(self) -> tuple[str, ...]:
        """The fields that this source can give, e.g. ``("image", "label")``; told without opening data."""
        return ("image",)

    def columns(self, field: str) -> tuple[str, ...]:
        """Names of a field's columns, [n, k], or of the classes that ``label`` counts; empty where they have none.

        Raises:
            DataError: they stand in files that are missing or unreadable.
        """
        return ()

    @abstractmethod
    def open(self, height: int, width: int, channels: int) -> Table:
        """The samples; ``image`` is [n, channels, height, width], read, or :class:`Rows` where there is too much.

        Raises:
            DataError: missing or unreadable files, named; a size that this source cannot deliver.
        """
