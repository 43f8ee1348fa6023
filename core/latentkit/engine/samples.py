"""An opened data source: its table, its split, and its values as a recipe wants them."""

from __future__ import annotations

import attrs
import numpy as np
import torch
from torch import Tensor

from latentkit.data.rows import Reduced, Substituted, block_means
from latentkit.engine.splitting import split
from latentkit.errors import DataError
from latentkit.interfaces import DataSource, Rows, Table
from latentkit.recipe.schema import DataSpec


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
