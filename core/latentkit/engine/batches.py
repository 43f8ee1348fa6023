"""Batches of a data source: samples and their split, flips and the value range.

The order is a function of (seed, source, epoch), a flip of (seed, source, epoch, index); a position is one number.
"""

from __future__ import annotations

import functools

import attrs
import numpy as np
import torch
from torch import Tensor

from latentkit._memory import machine_memory
from latentkit.data.rows import Held, Reduced, Substituted, block_means
from latentkit.engine.order import Order
from latentkit.engine.reading import Reader
from latentkit.engine.splitting import split
from latentkit.engine.world import World
from latentkit.errors import DataError
from latentkit.interfaces import DataSource, Rows, Table
from latentkit.recipe.schema import DataSpec

_SHARE = 2
"""Images that would take more than this part of the memory of their device stay where they are."""
_FEW = 16


@attrs.frozen(eq=False)
class Samples:
    """An opened source with its split."""

    name: str
    spec: DataSpec
    table: Table
    training: np.ndarray
    held_out: np.ndarray
    classes: int | None = None

    def array(self, field: str) -> np.ndarray:
        """A field of the table that is not images, class numbers as one-hot rows, float32.

        Raises:
            DataError: there is a class that the recipe does not count.
        """
        array = self.table.array(field)
        counted = self.counted(field)
        return array if counted is None else np.eye(counted, dtype=np.float32)[array]

    def counted(self, field: str) -> int | None:
        """The number of classes of a field that has one per sample, else nothing.

        Raises:
            DataError: there is a class that the recipe does not count.
        """
        if field != "label":
            return None
        array = self.table.array(field)
        if array.dtype.kind not in "iu" or array.ndim != 1:
            return None
        found = int(array.max()) + 1
        if self.classes is not None and found > self.classes:
            raise DataError(f"source '{self.name}' has labels of {found} classes, the recipe counts {self.classes}")
        return self.classes or found

    def field(self, value: str, indices: np.ndarray, dtype: torch.dtype) -> Tensor:
        """A value (by its name in the recipe) of these samples, images scaled to the recipe's range."""
        field = self.spec.gives[value]
        found, counted = self.table.fields[field][indices], self.counted(field)
        found = found if counted is None else np.eye(counted, dtype=np.float32)[found]
        return scaled(torch.from_numpy(np.require(found, requirements=["C", "W"])), self.spec, field, dtype)


def scaled(tensor: Tensor, spec: DataSpec, field: str, dtype: torch.dtype) -> Tensor:
    """uint8 images to the value range, other real numbers to ``dtype``, the rest as it is."""
    if field == "image":
        low, high = spec.range
        image = tensor.to(dtype).div_(255)
        return image if (low, high) == (0.0, 1.0) else image.mul_(high - low).add_(low)
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def open_samples(name: str, spec: DataSpec, source: DataSource) -> Samples:
    """Open a source and split it.

    Raises:
        DataError: missing or unreadable data, or a split that does not fit it.
    """
    channels, height, width = spec.image_size(source)
    table = source.open(height, width, channels)
    training, held_out = split(len(table), spec.split)
    images = table.fields.get("image")
    if isinstance(images, Rows) and images.leaves_out:
        parts = (np.sort(training), np.sort(held_out))  # none is replaced by one of the other part
        table = attrs.evolve(table, fields={**table.fields, "image": Substituted(images, parts)})
    return Samples(name, spec, table, training, held_out, source.classes())


def at_resolution(samples: Samples, spec: DataSpec, height: int, width: int) -> Samples:
    """The same samples for another stage: images are means of whole blocks of pixels, rounded to 8 bits.

    Args:
        samples: opened at the highest resolution.
        spec: the stage's.
        height: the stage's; the samples' own is a multiple of it.
        width: the stage's; the samples' own is the same multiple of it.
    """
    fields = dict(samples.table.fields)
    images = fields.get("image")
    if images is not None and images.shape[2:] != (height, width):
        factor = images.shape[2] // height
        fields["image"] = Reduced(images, factor) if isinstance(images, Rows) else block_means(images, factor)
    return attrs.evolve(samples, spec=spec, table=attrs.evolve(samples.table, fields=fields))


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
