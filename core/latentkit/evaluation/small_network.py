"""A small convolutional network that is trained on the spot, always the same way, and kept in the user's cache folder.

It is trained on the CPU, by one thread, from fixed random numbers, and kept under a fingerprint of what it was trained
on. So figures of two models that were taken with it compare wherever the data are the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import warnings
from collections import abc
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentkit.engine.streams import key_seed
from latentkit.errors import LatentkitWarning, RunError
from latentkit.runs.files import CHECKSUM, checksum_of, read_tensors, write_tensors

SIDE, WIDTHS, FEATURES = 32, (16, 32, 64), 64
BATCH, RATE, MOST_IMAGES = 128, 4e-3, 20_000
_CHUNK = 1024

Loss = abc.Callable[[Tensor, Tensor], Tensor]
"""Outputs and targets, [n, outputs] and [n, ...], to a number."""


def shrunk(images: Tensor) -> Tensor:
    """Images of at most 32 pixels a side, by averaging areas."""
    height, width = images.shape[2:]
    sides = min(height, SIDE), min(width, SIDE)
    return images if (height, width) == sides else F.adaptive_avg_pool2d(images, sides)


def image_size(pixels: np.ndarray) -> tuple[int, int, int]:
    """Channels, height and width of images [n, c, h, w]."""
    _, channels, height, width = pixels.shape
    return channels, height, width


def small_network(image: tuple[int, int, int], outputs: int, *key: str | int) -> nn.ModuleDict:
    """A ``trunk`` from images to 64 features, and a ``head`` from these to ``outputs`` numbers, untrained.

    Args:
        image: channels, height and width of the images; larger ones than 32 a side are to be :func:`shrunk` first.
        outputs: of the head.
        key: of the initial weights.
    """
    channels, *size = image
    sides = [min(side, SIDE) for side in size]
    layers: list[nn.Module] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key_seed(*key))
        for width in WIDTHS:
            stride = 2 if min(sides) > 4 else 1
            layers += [nn.Conv2d(channels, width, 3, stride, 1), nn.ReLU()]
            channels, sides = width, [math.ceil(side / stride) for side in sides]
        trunk = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * math.prod(sides), FEATURES), nn.ReLU())
        return nn.ModuleDict({"trunk": trunk, "head": nn.Linear(FEATURES, outputs)})


def features_and_outputs(network: nn.ModuleDict, images: Tensor) -> tuple[Tensor, Tensor]:
    """Of images in [0, 1], a few at a time: [n, c, h, w] to float64 [n, 64] and [n, outputs]."""
    features, outputs = [], []
    with torch.no_grad():
        for chunk in torch.split(images, _CHUNK):
            features.append(network["trunk"](shrunk(chunk)))
            outputs.append(network["head"](features[-1]))
    return torch.cat(features).double(), torch.cat(outputs).double()


def train_network(
    network: nn.ModuleDict, pixels: Tensor, target: Tensor, loss: Loss, steps: int, *key: str | int
) -> Tensor:
    """Train a network; returns the features of its training images, float64 [n, 64].

    Args:
        network: is changed.
        pixels: uint8 [n, c, h, w].
        target: [n, ...].
        loss: of a batch.
        steps: updates, by Adam with a rate that falls to 0.
        key: of the order of the images.
    """
    with _one_thread():
        generator = torch.Generator().manual_seed(key_seed(*key))
        optimizer = torch.optim.Adam(network.parameters(), RATE)
        images = torch.cat([shrunk(few.float().div_(255)) for few in torch.split(pixels, _CHUNK)])  # few are as floats
        for step, chosen in zip(range(steps), _batches(len(images), generator), strict=False):
            for group in optimizer.param_groups:
                group["lr"] = RATE * (0.5 + 0.5 * math.cos(math.pi * step / steps))
            optimizer.zero_grad()
            outputs = network["head"](network["trunk"](images[chosen]))
            loss(outputs, target[chosen]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return features_and_outputs(network, images)[0]


def data_fingerprint(version: int, pixels: np.ndarray, known: np.ndarray) -> str:
    """Of uint8 images [n, c, h, w] and what is known of them."""
    digest = hashlib.blake2b(f"{version} {pixels.shape}".encode(), digest_size=16)
    for start in range(0, len(pixels), _CHUNK):
        digest.update(np.ascontiguousarray(pixels[start : start + _CHUNK]).data)
    digest.update(known.tobytes())
    return digest.hexdigest()


def restored(network: nn.Module, file: Path) -> bool:
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


def keep(network: nn.Module, file: Path, what: str) -> None:
    """Write the weights; a folder that cannot be written costs a warning about ``what``."""
    tensors = network.state_dict()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(file, tensors, {CHECKSUM: checksum_of(tensors, {})})
    except (OSError, RunError) as error:
        warnings.warn(f"the {what} is not kept, and will be trained again: {error}", LatentkitWarning, stacklevel=3)


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
