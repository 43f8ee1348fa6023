"""A small classifier of a run's images, trained on the spot and always the same way, whose features metrics compare.

It is trained on the labelled training images of the run's own data, on the CPU, from fixed random numbers, and kept in
the user's cache folder under a fingerprint of these images: models of the same data and split are compared by the same
classifier.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import warnings
from collections import abc
from pathlib import Path

import attrs
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentkit.data.cache import default_folder
from latentkit.engine.batches import Samples
from latentkit.engine.streams import key_seed
from latentkit.errors import RunError
from latentkit.evaluation.subjects import labels
from latentkit.runs.files import CHECKSUM, checksum_of, read_tensors, write_tensors

VERSION = 1
"""Of all that follows: another architecture or training is another classifier, with another file."""
SIDE, WIDTHS, FEATURES = 32, (16, 32, 64), 64
STEPS, BATCH, RATE, MOST_IMAGES = 600, 128, 4e-3, 20_000
_CHUNK = 1024


@attrs.frozen(eq=False)
class Classifier:
    """The trained network with the classes that its outputs stand for."""

    trunk: nn.Module
    head: nn.Module
    classes: np.ndarray
    trained_on: int

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features and probabilities of images in [0, 1]: [n, c, h, w] to float64 [n, 64] and [n, classes]."""
        features, outputs = [], []
        with torch.no_grad():
            for chunk in torch.split(images, _CHUNK):
                features.append(self.trunk(shrunk(chunk)))
                outputs.append(self.head(features[-1]))
        return torch.cat(features).double(), torch.cat(outputs).double().softmax(1)


def shrunk(images: Tensor) -> Tensor:
    """Images of at most 32 pixels a side, by averaging areas."""
    side = min(images.shape[-1], SIDE)
    return images if images.shape[-1] == side else F.adaptive_avg_pool2d(images, side)


def classifier_of(samples: Samples, folder: Path | None = None) -> Classifier:
    """The classifier of these data: from the cache, or trained (about 10 s on two cores) and kept there.

    Args:
        samples: with labels, and training images of two classes or more.
        folder: the cache; the user's by default. One that cannot be written costs a warning.
    """
    chosen = samples.training[:MOST_IMAGES]
    pixels, known = samples.table.fields["image"][chosen], labels(samples, chosen)
    classes, target = np.unique(known, return_inverse=True)
    trunk, head = _network(pixels.shape[1], min(pixels.shape[-1], SIDE), len(classes))
    whole = nn.ModuleDict({"trunk": trunk, "head": head})
    file = (folder or default_folder() / "classifiers") / f"{_fingerprint(pixels, known)}.safetensors"
    if not _restored(whole, file):
        _train(trunk, head, torch.from_numpy(np.ascontiguousarray(pixels)), torch.from_numpy(target.reshape(-1)))
        _keep(whole, file)
    return Classifier(trunk.eval(), head.eval(), classes, len(chosen))


def _fingerprint(pixels: np.ndarray, known: np.ndarray) -> str:
    digest = hashlib.blake2b(f"{VERSION} {pixels.shape}".encode(), digest_size=16)
    for start in range(0, len(pixels), _CHUNK):
        digest.update(np.ascontiguousarray(pixels[start : start + _CHUNK]).data)
    digest.update(known.tobytes())
    return digest.hexdigest()


def _network(channels: int, side: int, classes: int) -> tuple[nn.Sequential, nn.Linear]:
    layers: list[nn.Module] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key_seed("classifier", VERSION))
        for width in WIDTHS:
            stride = 2 if side > 4 else 1
            layers += [nn.Conv2d(channels, width, 3, stride, 1), nn.ReLU()]
            channels, side = width, math.ceil(side / stride)
        trunk = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * side * side, FEATURES), nn.ReLU())
        return trunk, nn.Linear(FEATURES, classes)


def _train(trunk: nn.Module, head: nn.Module, pixels: Tensor, target: Tensor) -> None:
    generator = torch.Generator().manual_seed(key_seed("classifier", "order", VERSION))
    optimizer = torch.optim.Adam([*trunk.parameters(), *head.parameters()], RATE)
    images = shrunk(pixels.float().div_(255))
    for step, chosen in zip(range(STEPS), _batches(len(images), generator), strict=False):
        for group in optimizer.param_groups:
            group["lr"] = RATE * (0.5 + 0.5 * math.cos(math.pi * step / STEPS))
        optimizer.zero_grad()
        F.cross_entropy(head(trunk(images[chosen])), target[chosen]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def _batches(count: int, generator: torch.Generator) -> abc.Iterator[Tensor]:
    batch = min(BATCH, count)
    while True:
        order = torch.randperm(count, generator=generator)
        yield from torch.split(order[: count - count % batch], batch)


def _restored(whole: nn.Module, file: Path) -> bool:
    """Load the weights of a file; what is not there, damaged or of other sizes changes nothing."""
    if not file.is_file():
        return False
    with contextlib.suppress(RunError):
        tensors, notes = read_tensors(file)
        fits = {key: value.shape for key, value in whole.state_dict().items()}
        if notes.get(CHECKSUM) == checksum_of(tensors, {}) and {k: v.shape for k, v in tensors.items()} == fits:
            whole.load_state_dict(tensors)
            return True
    return False


def _keep(whole: nn.Module, file: Path) -> None:
    tensors = whole.state_dict()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(file, tensors, {CHECKSUM: checksum_of(tensors, {})})
    except (OSError, RunError) as error:
        warnings.warn(f"the classifier is not kept, and will be trained again: {error}", stacklevel=3)
