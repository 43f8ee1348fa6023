"""What is wanted of a network: features of images to compare, and maps for distances that people see."""

from __future__ import annotations

from collections import abc
from typing import Literal, Protocol, runtime_checkable

import torch.nn.functional as F
from torch import Tensor

from latentkit.errors import LatentkitError

Ability = Literal["features", "maps"]


@runtime_checkable
class FeatureNetwork(Protocol):
    """A network with fixed weights, and what it wants of images. It resizes and rescales them itself."""

    @property
    def name(self) -> str:
        """Of the architecture, as protocols state it."""

    @property
    def sha256(self) -> str:
        """Of the file of its weights, or of the weights themselves where there is none, in hexadecimal."""

    @property
    def abilities(self) -> tuple[Ability, ...]:
        """Which of the following methods it has an answer to."""

    @property
    def heads(self) -> abc.Sequence[Tensor] | None:
        """Weights of the channels of each map, [c] each, where a perceptual distance was fitted; else all count 1."""

    @property
    def gain(self) -> float:
        """What features are multiplied by for a kernel of fixed width, so that a typical one has a variance near 1."""

    def features(self, images: Tensor) -> Tensor:
        """One row per image: [n, c, h, w] in [0, 1] to float64 [n, d] on the CPU."""

    def maps(self, images: Tensor) -> list[Tensor]:
        """What its layers find at each place, for perceptual distances: [n, c, h, w] to one [n, c', h', w'] each.

        With a gradient to the images where they ask for one; the weights ask for none.
        """


def with_three_channels(images: Tensor) -> Tensor:
    """Grey images thrice, coloured ones as they are.

    Raises:
        LatentkitError: neither grey nor coloured.
    """
    channels = images.shape[1]
    if channels not in (1, 3):
        raise LatentkitError(f"a network of coloured images takes 1 or 3 channels; these have {channels}")
    return images.expand(-1, 3, -1, -1)


def resized(images: Tensor, height: int, width: int) -> Tensor:
    """Bilinear, with the triangle as wide as a step of the smaller grid, so that nothing is skipped."""
    if tuple(images.shape[-2:]) == (height, width):
        return images
    return F.interpolate(images, (height, width), mode="bilinear", align_corners=False, antialias=True)
