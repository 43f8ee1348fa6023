"""Batches of a data source: the split, the order of an epoch, flips and the value range.

The order is a function of (seed, source, epoch), a flip of (seed, source, epoch, index); a position is one number.
"""

from __future__ import annotations

import math
from collections import abc

import attrs
import numpy as np
import torch
from torch import Tensor

from latentkit.engine.streams import key_seed
from latentkit.errors import DataError
from latentkit.interfaces import DataSource, Table
from latentkit.recipe.schema import DataSpec

_AT_ONCE = 1000


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
        """A field of the table, class numbers as one-hot rows, float32.

        Raises:
            DataError: there is a class that the recipe does not count.
        """
        array = self.table.fields[field]
        if field != "label" or array.dtype.kind not in "iu" or array.ndim != 1:
            return array
        found = int(array.max()) + 1
        if self.classes is not None and found > self.classes:
            raise DataError(f"source '{self.name}' has labels of {found} classes, the recipe counts {self.classes}")
        rows: np.ndarray = np.eye(self.classes or found, dtype=np.float32)[array]
        return rows

    def field(self, value: str, indices: np.ndarray, dtype: torch.dtype) -> Tensor:
        """A value (by its name in the recipe) of these samples, images scaled to the recipe's range."""
        field = self.spec.gives[value]
        array = np.require(self.array(field)[indices], requirements=["C", "W"])
        return scaled(torch.from_numpy(array), self.spec, field, dtype)


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
        fields["image"] = _block_means(images, images.shape[2] // height)
    return attrs.evolve(samples, spec=spec, table=Table(fields))


def _block_means(images: np.ndarray, factor: int) -> np.ndarray:
    """``n c h w`` to ``n c h/f w/f``, uint8, a thousand at a time."""
    n, c, h, w = images.shape
    found = np.empty((n, c, h // factor, w // factor), np.uint8)
    for start in range(0, n, _AT_ONCE):
        blocks = images[start : start + _AT_ONCE].reshape(-1, c, h // factor, factor, w // factor, factor)
        found[start : start + _AT_ONCE] = (blocks.mean((3, 5), dtype=np.float32) + 0.5).astype(np.uint8)
    return found


def split(count: int, rule: object) -> tuple[np.ndarray, np.ndarray]:
    """Indices to train on and indices held out.

    ``rule`` is a fraction (the first so many), a range ``[from, to]`` to train on, or
    ``{ seed = 0, train = 8000 }``: the first 8,000 (or that fraction) of
    ``numpy.random.RandomState(seed).permutation(count)``.

    Raises:
        DataError: a rule that is none of these, or one that leaves nothing to train on.
    """
    order = np.arange(count)
    if isinstance(rule, int | float) and not isinstance(rule, bool) and 0 < rule <= 1:
        cut = round(count * rule)
        chosen, rest = order[:cut], order[cut:]
    elif isinstance(rule, list | tuple) and len(rule) == 2 and all(type(end) is int for end in rule):
        low, high = rule
        if not 0 <= low < high <= count:
            raise DataError(f"split = [{low}, {high}] does not fit {count} samples")
        chosen, rest = order[low:high], np.concatenate([order[:low], order[high:]])
    elif isinstance(rule, dict) and _is_permutation(rule):
        order = np.random.RandomState(rule["seed"]).permutation(count)
        wanted = rule["train"]
        share = float(wanted) if isinstance(wanted, float) and 0 < wanted <= 1 else 0.0
        cut = wanted if isinstance(wanted, int) else round(count * share)
        if not 0 < cut <= count:
            raise DataError(f"split: train = {wanted} does not fit {count} samples")
        chosen, rest = order[:cut], order[cut:]
    else:
        wanted = "a fraction above 0 and at most 1, a range [from, to], or { seed, train }"
        raise DataError(f"split: expected {wanted}; found {rule!r}")
    if not len(chosen):
        raise DataError(f"split = {rule!r} leaves nothing to train on of {count} samples")
    return chosen, rest


def _is_permutation(rule: abc.Mapping[str, object]) -> bool:
    seed, train = rule.get("seed"), rule.get("train")
    seeded = type(seed) is int and 0 <= seed < 2**32
    counted = type(train) is int or (type(train) is float and math.isfinite(train))
    return set(rule) == {"seed", "train"} and seeded and counted


class Batches:
    """Endless batches of a source's training samples; the short last batch of an epoch is dropped.

    Args:
        samples: the source.
        batch: samples per batch.
        seed: the run's seed.
        device: where batches are delivered.
        dtype: of images.
    """

    def __init__(self, samples: Samples, batch: int, seed: int, device: torch.device, dtype: torch.dtype) -> None:
        if batch > len(samples.training):
            raise DataError(
                f"a batch of {batch} needs at least {batch} training samples; source '{samples.name}' has "
                f"{len(samples.training)}"
            )
        self.samples, self.batch, self.seed, self.device, self.dtype = samples, batch, seed, device, dtype
        self.tensors = {field: self._resident(field) for field in set(samples.spec.gives.values())}
        self.epoch = -1
        self.order = torch.empty(0)
        self.flips = torch.empty(0)

    def _resident(self, field: str) -> Tensor:
        array = self.samples.array(field)
        return torch.from_numpy(np.require(array, requirements=["C", "W"])).to(self.device)

    def at(self, position: int) -> dict[str, Tensor]:
        """The batch at a position, counted in batches from the start of training: value name to tensor."""
        per_epoch = len(self.samples.training) // self.batch
        epoch, index = divmod(position, per_epoch)
        if epoch != self.epoch:
            self._start(epoch)
        chosen = self.order[index * self.batch : (index + 1) * self.batch]
        spec = self.samples.spec
        values = {}
        for value, field in spec.gives.items():
            tensor = self.tensors[field].index_select(0, chosen)
            if field == "image" and spec.flip:
                flip = self.flips[chosen]
                tensor = torch.where(flip[:, None, None, None], tensor.flip(3), tensor)
            values[value] = scaled(tensor, spec, field, self.dtype)
        return values

    def _start(self, epoch: int) -> None:
        key = (self.seed, self.samples.name, epoch)
        rng = np.random.Generator(np.random.Philox(key_seed("order", *key)))
        self.order = torch.from_numpy(rng.permutation(self.samples.training)).to(self.device)
        if self.samples.spec.flip:
            rng = np.random.Generator(np.random.Philox(key_seed("flip", *key)))
            self.flips = torch.from_numpy(rng.random(len(self.samples.table)) < 0.5).to(self.device)
        self.epoch = epoch
