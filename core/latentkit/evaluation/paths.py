"""What path length is made of: short steps on paths between codes, the part of the image, and the mean.

Karras, Laine, Aila 2019, https://arxiv.org/abs/1812.04948, section 4.1; percentiles and parts of images as in the code
that was released with it and with Adversarial Latent Autoencoders, https://arxiv.org/abs/2004.04467.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from latentkit.latents import slerp

EPSILON = 1e-4
PERCENTILES = 0.01, 0.99
LARGEST = 256
"""Sides of images that a perceptual distance looks at; larger ones are averaged down."""
Crop = Literal["none", "face", "celeba-128"]
CROPS: tuple[Crop, ...] = ("none", "face", "celeba-128")
_CLOSER = 2 / 1.641
"""How much larger the faces of celeba-128 are cut."""


def along_sphere(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Great circle between the directions of two codes, of length 1: ``... n``, ``... n`` and ``...`` to ``... n``."""
    return _unit(slerp(_unit(a), _unit(b), t))


def cropped(images: Tensor, crop: Crop) -> Tensor:
    """The part of images that path length is taken of, [n, c, h, w]; faces of celeba-128 are cut closer."""
    if crop == "none":
        return images
    top, bottom, left, right = crop_box(images.shape[-2], crop)[:2] + crop_box(images.shape[-1], crop)[2:]
    return images[..., top:bottom, left:right]


def crop_box(size: int, crop: Crop) -> tuple[int, int, int, int]:
    """Rows from, to, and columns from, to, of a square image: 3/8 to 7/8 and 2/8 to 6/8."""
    if crop == "none":
        return 0, size, 0, size
    eighth = size // 8
    half = 2 * eighth if crop == "face" else int(2 * eighth * _CLOSER)
    return 5 * eighth - half, 5 * eighth + half, 4 * eighth - half, 4 * eighth + half


def averaged_down(images: Tensor, largest: int = LARGEST) -> Tensor:
    """Means of square blocks of ``side // largest`` pixels, [n, c, h, w]: sides of 512 and 1024 become 256."""
    factor = images.shape[-2] // largest
    return images if factor < 2 else F.avg_pool2d(images, factor)


def central_mean(distances: Tensor) -> tuple[float, int]:
    """Mean of the distances within the 1st and 99th percentile, float64 [n], and how many these are.

    Both percentiles are values that occur, the lower one downwards and the higher one upwards, and both are kept.
    """
    values = distances.double()
    low = torch.quantile(values, PERCENTILES[0], interpolation="lower")
    high = torch.quantile(values, PERCENTILES[1], interpolation="higher")
    kept = values[(values >= low) & (values <= high)]
    return float(kept.mean()), len(kept)


def _unit(x: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / length
