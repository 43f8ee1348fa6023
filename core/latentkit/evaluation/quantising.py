"""Images in steps of 8 bits: as this library writes them, and as published code rounds before it measures."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Quantisation = Literal["round", "truncate-127"]
KINDS: tuple[Quantisation, ...] = ("round", "truncate-127")
_HALF = 127
"""Not 127.5: white becomes 254."""


def as_pictures(images: Tensor, span: tuple[float, float]) -> Tensor:
    """Images as a file has them: from a value range to [0, 1], clipped, in steps of 1 / 255."""
    low, high = span
    return ((images - low) / (high - low)).clamp(0, 1).mul(255).round() / 255


def truncated(images: Tensor, span: tuple[float, float]) -> Tensor:
    """``uint8(clip((x + 1) 127, 0, 255))`` with x in [-1, 1]: the conversion of the code of PGGAN, StyleGAN and ALAE.

    Args:
        images: in the value range ``span``, which is mapped to [-1, 1] first; outside of it they are clipped.
        span: darkest and brightest value.

    Returns:
        uint8, of the same shape.
    """
    low, high = span
    return ((images - low) * (2 * _HALF / (high - low))).clamp(0, 255).to(torch.uint8)


def quantised(images: Tensor, span: tuple[float, float], kind: Quantisation) -> Tensor:
    """Images in [0, 1], in steps of 1 / 255, by one of the two conversions."""
    return as_pictures(images, span) if kind == "round" else truncated(images, span).float() / 255
