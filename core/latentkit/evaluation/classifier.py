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
from latentkit.errors import LatentkitWarning, RunError
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

    network: nn.ModuleDict
    classes: np.ndarray
    trained_on: int

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features and probabilities of images in [0, 1]: [n, c, h, w] to float64 [n, 64] and [n, classes].

        Features are scaled so that those of the training images have a total variance of 1.
        """
        features, outputs = _outputs(self.network, images)
        return features / self.network.get_buffer("spread"), outputs.softmax(1)


def shrunk(images: Tensor) -> Tensor:
    """Images of at most 32 pixels a side, by averaging areas."""
    height, width = images.shape[2:]
    sides = min(height, SIDE), min(width, SIDE)
    return images if (height, width) == sides else F.adaptive_avg_pool2d(images, sides)


def classifier_of(samples: Samples, folder: Path | None = None) -> Classifier:
    """The classifier of these data: from the cache, or trained (about 10 s) and kept there.

    Args:
        samples: with labels, and training images of two classes or more.
        folder: the cache; the user's by default. One that cannot be written costs a warning.
    """
    chosen = samples.training[:MOST_IMAGES]
    pixels, known = samples.table.fields["image"][chosen], labels(samples, chosen)
    classes, target = np.unique(known, return_inverse=True)
    network = _network(pixels.shape[1], [min(side, SIDE) for side in pixels.shape[2:]], len(classes))
    file = (folder or default_folder() / "classifiers") / f"{_fingerprint(pixels, known)}.safetensors"
    if not _restored(network, file):
        with _one_thread():
            _train(network, torch.from_numpy(np.ascontiguousarray(pixels)), torch.from_numpy(target.reshape(-1)))
        _keep(network, file)
    return Classifier(network.requires_grad_(False), classes, len(chosen))


def _fingerprint(pixels: np.ndarray, known: np.ndarray) -> str:
    digest = hashlib.blake2b(f"{VERSION} {pixels.shape}".encode(), digest_size=16)
    for start in range(0, len(pixels), _CHUNK):
        digest.update(np.ascontiguousarray(pixels[start : start + _CHUNK]).data)
    digest.update(known.tobytes())
    return digest.hexdigest()


def _outputs(network: nn.ModuleDict, images: Tensor) -> tuple[Tensor, Tensor]:
    """Features, not scaled, and logits, float64."""
    features, outputs = [], []
    with torch.no_grad():
        for chunk in torch.split(images, _CHUNK):
            features.append(network["trunk"](shrunk(chunk)))
            outputs.append(network["head"](features[-1]))
    return torch.cat(features).double(), torch.cat(outputs).double()


def _network(channels: int, sides: list[int], classes: int) -> nn.ModuleDict:
    layers: list[nn.Module] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key_seed("classifier", VERSION))
        for width in WIDTHS:
            stride = 2 if min(sides) > 4 else 1
            layers += [nn.Conv2d(channels, width, 3, stride, 1), nn.ReLU()]
            channels, sides = width, [math.ceil(side / stride) for side in sides]
        trunk = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * math.prod(sides), FEATURES), nn.ReLU())
        network = nn.ModuleDict({"trunk": trunk, "head": nn.Linear(FEATURES, classes)})
    network.register_buffer("spread", torch.ones((), dtype=torch.float64))
    return network


def _train(network: nn.ModuleDict, pixels: Tensor, target: Tensor) -> None:
    generator = torch.Generator().manual_seed(key_seed("classifier", "order", VERSION))
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    images = shrunk(pixels.float().div_(255))
    for step, chosen in zip(range(STEPS), _batches(len(images), generator), strict=False):
        for group in optimizer.param_groups:
            group["lr"] = RATE * (0.5 + 0.5 * math.cos(math.pi * step / STEPS))
        optimizer.zero_grad()
        logits = network["head"](network["trunk"](images[chosen]))
        F.cross_entropy(logits, target[chosen]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    total = _outputs(network, images)[0].var(0).sum().sqrt()
    network.get_buffer("spread").copy_(total if total > 0 else torch.ones_like(total))


@contextlib.contextmanager
def _one_thread() -> abc.Iterator[None]:
    """The number of threads would make the last digits of sums differ, and gains little on images this small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _batches(count: int, generator: torch.Generator) -> abc.Iterator[Tensor]:
    batch = min(BATCH, count)
    while True:
        order = torch.randperm(count, generator=generator)
        yield from torch.split(order[: count - count % batch], batch)


def _restored(network: nn.Module, file: Path) -> bool:
    """Load the weights of a file; what is not there, damaged or of other sizes changes nothing."""
    if not file.is_file():
        return False
    with contextlib.suppress(RunError):
        tensors, notes = read_tensors(file)
        fits = {key: value.shape for key, value in network.state_dict().items()}
        if notes.get(CHECKSUM) == checksum_of(tensors, {}) and {k: v.shape for k, v in tensors.items()} == fits:
            network.load_state_dict(tensors)
            return True
    return False


def _keep(network: nn.Module, file: Path) -> None:
    tensors = network.state_dict()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(file, tensors, {CHECKSUM: checksum_of(tensors, {})})
    except (OSError, RunError) as error:
        warnings.warn(f"the classifier is not kept, and will be trained again: {error}", LatentkitWarning, stacklevel=3)
