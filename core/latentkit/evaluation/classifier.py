"""A small classifier of a run's images, whose features metrics compare.

It is a :mod:`latentkit.evaluation.small_network`, trained on the labelled training images of the run's own data: models
of the same data and split are compared by the same classifier.
"""

from __future__ import annotations

from pathlib import Path

import attrs
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentkit.data.cache import default_folder
from latentkit.engine.samples import Samples
from latentkit.evaluation.small_network import (
    MOST_IMAGES,
    data_fingerprint,
    features_and_outputs,
    image_size,
    keep,
    restored,
    small_network,
    train_network,
)
from latentkit.evaluation.subjects import labels

VERSION = 1
"""Of all that it is and how it is trained: what changes is another classifier, with another file."""
STEPS = 600


@attrs.frozen(eq=False)
class Classifier:
    """The trained network with the classes that its outputs stand for."""

    network: nn.ModuleDict
    classes: np.ndarray
    trained_on: int

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features and probabilities of images in [0, 1]: [n, c, h, w] to float64 [n, 64] and [n, classes].

        Features are scaled so that those of the training images have a total variance of 1.
        """
        features, outputs = features_and_outputs(self.network, images)
        return features / self.network.get_buffer("spread"), outputs.softmax(1)


def classifier_of(samples: Samples, folder: Path | None = None) -> Classifier:
    """The classifier of these data: from the cache, or trained (about 10 s) and kept there.

    Args:
        samples: with labels, and training images of two classes or more.
        folder: the cache; the user's by default. One that cannot be written costs a warning.
    """
    chosen = samples.training[:MOST_IMAGES]
    pixels, known = samples.table.fields["image"][chosen], labels(samples, chosen)
    classes, target = np.unique(known, return_inverse=True)
    network = small_network(image_size(pixels), len(classes), "classifier", VERSION)
    network.register_buffer("spread", torch.ones((), dtype=torch.float64))
    file = (folder or default_folder() / "classifiers") / f"{data_fingerprint(VERSION, pixels, known)}.safetensors"
    if not restored(network, file):
        _train(network, torch.from_numpy(np.ascontiguousarray(pixels)), torch.from_numpy(target.reshape(-1)))
        keep(network, file, "classifier")
    return Classifier(network.requires_grad_(False), classes, len(chosen))


def _train(network: nn.ModuleDict, pixels: Tensor, target: Tensor) -> None:
    features = train_network(network, pixels, target, F.cross_entropy, STEPS, "classifier", "order", VERSION)
    total = features.var(0).sum().sqrt()
    network.get_buffer("spread").copy_(total if total > 0 else torch.ones_like(total))
