"""Saliency without a network: what is bright is what is seen."""

from __future__ import annotations

from torch import Tensor

from latentkit.functions import stateless


@stateless("function", "x: image[channels, height, width] -> map[1, height, width]")
def brightness(x: Tensor) -> Tensor:
    """The image itself, its channels averaged; in [0, 1] it is an exact saliency map of white shapes on black."""
    return x.mean(1, keepdim=True)
