"""A network that reads attributes off images: the yardstick of edits, trained on images whose attributes are known.

It is a :mod:`latentkit.evaluation.small_network`, like the classifier. Attributes of 0 and 1 are read as probabilities,
other numbers in their own unit, all by one network.
"""

from __future__ import annotations

from collections import abc
from pathlib import Path

import attrs
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentkit.data.cache import default_folder
from latentkit.engine.samples import Samples
from latentkit.errors import LatentkitError
from latentkit.evaluation.small_network import (
    MOST_IMAGES,
    Loss,
    data_fingerprint,
    features_and_outputs,
    image_size,
    keep,
    restored,
    small_network,
    train_network,
)

VERSION = 1
"""Of all that it is and how it is trained: what changes is another reader, with another file."""
STEPS = 600


@attrs.frozen(eq=False)
class AttributeReader:
    """The trained network, and what its outputs stand for.

    Attributes:
        network: with one output per attribute.
        binary: which attributes are 0 or 1, [k].
        mean: of the training images' attributes, [k].
        spread: their standard deviations, [k].
        trained_on: so many images.
    """

    network: nn.ModuleDict
    binary: Tensor
    mean: Tensor
    spread: Tensor
    trained_on: int

    def __call__(self, images: Tensor) -> Tensor:
        """Attributes of images in [0, 1]: [n, c, h, w] to float64 [n, k]; of binary ones the probability."""
        outputs = features_and_outputs(self.network, images)[1]
        return torch.where(self.binary, outputs.sigmoid(), outputs * self.spread + self.mean)


@attrs.frozen(kw_only=True)
class Agreement:
    """How well an attribute is read off images that the reader has not seen.

    Attributes:
        figure: ``accuracy``, a share, of attributes of 0 and 1; ``r2``, the share of variance that is told, of others.
        value: 1 where all is told.
        guess: what the same figure is where nothing but the training images' most frequent value, or their mean, is
            known.
    """

    figure: str
    value: float
    guess: float


def reader_of(samples: Samples, attributes: np.ndarray, folder: Path | None = None) -> AttributeReader:
    """The reader of these attributes: from the cache, or trained (about 10 s) and kept there.

    Args:
        samples: whose training images are learned from.
        attributes: of all samples, [n, k], none of them the same for all training images.
        folder: the cache; the user's by default. One that cannot be written costs a warning.

    Raises:
        LatentkitError: an attribute is the same for all.
    """
    chosen = samples.training[:MOST_IMAGES]
    pixels, known = samples.table.fields["image"][chosen], np.asarray(attributes[chosen], np.float64)
    mean, spread = torch.from_numpy(known.mean(0)), torch.from_numpy(known.std(0))
    if not (spread > 0).all():
        raise LatentkitError("attributes: expected each to differ between training images; one of them does not")
    binary = torch.from_numpy(((known == 0) | (known == 1)).all(0))
    network = small_network(image_size(pixels), known.shape[1], "reader", VERSION)
    name = data_fingerprint(VERSION, pixels, known)
    file = (folder or default_folder() / "readers") / f"{name}.safetensors"
    if not restored(network, file):
        target = torch.where(binary, torch.from_numpy(known), (torch.from_numpy(known) - mean) / spread).float()
        images = torch.from_numpy(np.ascontiguousarray(pixels))
        train_network(network, images, target, _loss(binary), STEPS, "reader", "order", VERSION)
        keep(network, file, "reader of attributes")
    return AttributeReader(network, binary, mean, spread, len(chosen))


def agreements(reader: AttributeReader, batches: abc.Iterable[Tensor], attributes: np.ndarray) -> tuple[Agreement, ...]:
    """How well each attribute is read off images.

    Args:
        reader: trained on other images.
        batches: images in [0, 1], n in all.
        attributes: of these, [n, k].
    """
    read, known = torch.cat([reader(images) for images in batches]), torch.from_numpy(attributes).double()
    guessed = reader.mean.expand_as(known)
    return tuple(
        Agreement(figure="accuracy" if binary else "r2", value=figure(value, truth), guess=figure(guess, truth))
        for binary, value, guess, truth in zip(reader.binary.tolist(), read.T, guessed.T, known.T, strict=True)
        for figure in [_accuracy if binary else _told]
    )


def _accuracy(value: Tensor, truth: Tensor) -> float:
    return float(((value > 0.5) == (truth > 0.5)).double().mean())


def _told(value: Tensor, truth: Tensor) -> float:
    return 1 - float((truth - value).square().mean() / truth.var(correction=0))


def _loss(binary: Tensor) -> Loss:
    """Cross-entropy of what is 0 or 1, squared error of the others, all alike."""

    def loss(outputs: Tensor, target: Tensor) -> Tensor:
        each = torch.where(
            binary, F.binary_cross_entropy_with_logits(outputs, target, reduction="none"), (outputs - target).square()
        )
        return each.mean()

    return loss
