"""Batches of a data source's training samples.

The order is a function of (seed, source, epoch), a flip of (seed, source, epoch, index); a position is one number.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor

from latentkit._memory import machine_memory
from latentkit.data.rows import Held
from latentkit.engine.order import Order
from latentkit.engine.reading import Reader
from latentkit.engine.samples import Samples, scaled
from latentkit.engine.world import World
from latentkit.errors import DataError
from latentkit.interfaces import Rows

_SHARE = 2
"""Images that would take more than this part of the memory of their device stay where they are."""
_FEW = 16


class Batches:
    """Endless batches of a source's training samples; the short last batch of an epoch is dropped.

    Fields are kept on the device and indexed there, but for images that are too large for that, or that are read when
    they are wanted: these are read ahead, and come over as bytes.

    Args:
        samples: the source.
        batch: samples per batch.
        seed: the run's seed.
        device: where batches are delivered.
        dtype: of images.
        world: of several ranks each is given its own share of a batch.
    """

    def __init__(
        self, samples: Samples, batch: int, seed: int, device: torch.device, dtype: torch.dtype,
        world: World | None = None,
    ) -> None:  # fmt: skip
        if batch > len(samples.training):
            raise DataError(
                f"a batch of {batch} needs at least {batch} training samples; source '{samples.name}' has "
                f"{len(samples.training)}"
            )
        self.samples, self.batch, self.seed, self.device, self.dtype = samples, batch, seed, device, dtype
        self.world = world or World()
        self.orders = Order(samples.training, samples.table.shards, seed, samples.name)
        self.tensors: dict[str, Tensor] = {}
        self.classes: dict[str, Tensor] = {}
        self.reader: Reader | None = None
        for field in set(samples.spec.gives.values()):
            self._take_up(field)
        self.epoch = -1
        self.order = torch.empty(0)
        self.flips = torch.empty(0)

    def _take_up(self, field: str) -> None:
        found = self.samples.table.fields[field]
        if not isinstance(found, Rows) and (field != "image" or found.nbytes <= _memory(self.device) // _SHARE):
            counted = self.samples.counted(field)
            if counted is not None:  # one-hot rows are made per batch: of many samples and classes they are large
                self.classes[field] = torch.eye(counted, device=self.device)
                found = found.astype(np.int64)
            self.tensors[field] = torch.from_numpy(np.require(found, requirements=["C", "W"])).to(self.device)
            return
        rows = found if isinstance(found, Rows) else Held(found)
        self.reader = Reader(rows, self._wanted, self.device)

    @functools.cached_property
    def few(self) -> dict[str, np.ndarray]:
        """The fields that are used, of a few samples: by which the data are known again."""
        table = self.samples.table
        rows = np.linspace(0, len(table) - 1, num=min(_FEW, len(table)), dtype=np.int64)
        found = {field: table.fields[field][rows] for field in sorted(set(self.samples.spec.gives.values()))}
        if self.reader is not None:
            self.reader.rows.release()
        return found

    def at(self, position: int, whole: bool = False) -> dict[str, Tensor]:
        """The batch at a position, counted in batches from the start of training: value name to tensor.

        Of several ranks it is this one's share, or the whole batch.

        Raises:
            DataError: images that are read when they are wanted cannot be read.
        """
        epoch, start, end = self._place(position, whole)
        if epoch != self.epoch:
            self._start(epoch)
        chosen = self.order[start:end]
        spec = self.samples.spec
        values = {}
        fields = {field: self._field(field, position, chosen, whole) for field in dict.fromkeys(spec.gives.values())}
        for value, field in spec.gives.items():
            tensor = fields[field]
            if field == "image" and spec.flip:
                flip = self.flips[chosen]
                tensor = torch.where(flip[:, None, None, None], tensor.flip(3), tensor)
            values[value] = scaled(tensor, spec, field, self.dtype)
        return values

    def close(self) -> None:
        """End what reads ahead."""
        if self.reader is not None:
            self.reader.close()

    def _field(self, field: str, position: int, chosen: Tensor, whole: bool) -> Tensor:
        if field not in self.tensors:
            assert self.reader is not None
            if whole and self.world.size > 1:
                return torch.from_numpy(self.reader.rows[chosen.cpu().numpy()]).to(self.device)
            return self.reader.take(position).to(self.device, non_blocking=True)
        tensor = self.tensors[field].index_select(0, chosen)
        return self.classes[field].index_select(0, tensor) if field in self.classes else tensor

    def _place(self, position: int, whole: bool = False) -> tuple[int, int, int]:
        """The epoch of a batch, and from where to where in its order this rank's share of it is."""
        epoch, index = divmod(position, len(self.samples.training) // self.batch)
        rank, size = (0, 1) if whole else (self.world.rank, self.world.size)
        own = self.batch // size
        start = index * self.batch + rank * own
        return epoch, start, start + own

    def _wanted(self, position: int) -> tuple[np.ndarray, np.ndarray | None]:
        epoch, start, end = self._place(position)
        order = self.orders.of(epoch)
        return order.indices[start:end], None if order.runs is None else order.runs[start:end]

    def _start(self, epoch: int) -> None:
        self.order = torch.from_numpy(self.orders.of(epoch).indices).to(self.device)
        if self.samples.spec.flip:
            self.flips = torch.from_numpy(self.orders.flips(epoch, len(self.samples.table))).to(self.device)
        self.epoch = epoch


def _memory(device: torch.device) -> int:
    """Bytes of the device's memory."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return machine_memory()
