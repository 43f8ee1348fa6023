"""The modules behind the parts."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor, nn

from latentkit_plugins.biggan._layers import ConditionalBatchNorm, Embedding, SelfAttention, conv
from latentkit_plugins.biggan._layout import BASE, Maps


class Ascent(nn.Module):
    """Latent and condition to an image in [-1, 1]: ``b dim, b classes -> b c h w``.

    The latent is cut into equal chunks. The first makes the smallest map; each of the others, behind the embedded
    condition, drives the batch norms of one block.
    """

    def __init__(
        self, maps: Maps, dim: int, classes: int, channels: int, embedding: int, attention: int, eps: float
    ) -> None:
        super().__init__()
        chunk = dim // len(maps.widths)
        self.embedding = Embedding(classes, embedding, spectral_norm=False)  # as released, where it made some runs fail
        self.linear = nn.Linear(chunk, maps.widths[0] * BASE**2)
        self.blocks = nn.ModuleList(Up(a, b, embedding + chunk, eps) for a, b in pairwise(maps.widths))
        place = maps.attended(attention)
        self.attentions = nn.ModuleList(
            SelfAttention(width) if index == place else nn.Identity()
            for index, width in enumerate(maps.widths[1:], start=1)
        )
        self.norm = nn.BatchNorm2d(maps.widths[-1], eps=eps)
        self.to_image = conv(maps.widths[-1], channels)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """``y`` is any row of numbers: one class, several, or shares."""
        first, *others = z.chunk(len(self.blocks) + 1, 1)
        embedded = self.embedding(y)
        h: Tensor = rearrange(self.linear(first), "b (c h w) -> b c h w", h=BASE, w=BASE)
        for block, attend, chunk in zip(self.blocks, self.attentions, others, strict=True):
            h = attend(block(h, torch.cat([embedded, chunk], 1)))
        return torch.tanh(self.to_image(F.relu(self.norm(h))))


class Up(nn.Module):
    """Residual block that doubles the side: ``b c h w, b condition -> b c' 2h 2w``."""

    def __init__(self, inputs: int, outputs: int, condition: int, eps: float) -> None:
        super().__init__()
        self.norms = nn.ModuleList(ConditionalBatchNorm(width, condition, eps) for width in (inputs, outputs))
        self.convs = nn.ModuleList([conv(inputs, outputs), conv(outputs, outputs)])
        self.shortcut = conv(inputs, outputs, 1)

    def forward(self, h: Tensor, c: Tensor) -> Tensor:
        """Normalise, rectify, double, convolve; once more; and what came in, by a 1 x 1 convolution."""
        inner = self.convs[0](_doubled(F.relu(self.norms[0](h, c))))
        inner = self.convs[1](F.relu(self.norms[1](inner, c)))
        y: Tensor = inner + _doubled(self.shortcut(h))  # doubled after 1 x 1: the same, at a quarter of the cost
        return y


class Descent(nn.Module):
    """Image and condition to a score, ``psi(h) + <embedding(y), h>`` of pooled features h (Miyato & Koyama 2018)."""

    def __init__(self, maps: Maps, channels: int, classes: int, height: int, attention: int) -> None:
        super().__init__()
        widths = pairwise((channels, *maps.widths))
        sides = pairwise((height, *maps.sides))
        self.blocks = nn.ModuleList(
            Down(a, b, halve=after < before, first=index == 0)
            for index, ((a, b), (before, after)) in enumerate(zip(widths, sides, strict=True))
        )
        place = maps.attended(attention)
        self.attentions = nn.ModuleList(
            SelfAttention(width) if index == place else nn.Identity() for index, width in enumerate(maps.widths)
        )
        self.psi = nn.Linear(maps.widths[-1], 1)
        self.embedding = Embedding(classes, maps.widths[-1])

    def features(self, x: Tensor) -> Tensor:
        """``b c h w -> b width``, rectified and summed over places."""
        for block, attend in zip(self.blocks, self.attentions, strict=True):
            x = attend(block(x))
        return reduce(F.relu(x), "b c h w -> b c", "sum")

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """One unbounded number per pair."""
        h = self.features(x)
        s: Tensor = rearrange(self.psi(h), "b 1 -> b") + reduce(self.embedding(y) * h, "b c -> b", "sum")
        return s


class Down(nn.Module):
    """Residual block that halves the side, or keeps it: ``b c h w -> b c' h/2 w/2``.

    The ``first`` one takes an image as it is; the others rectify what they are given.
    """

    def __init__(self, inputs: int, outputs: int, halve: bool, first: bool) -> None:
        super().__init__()
        self.first = first
        self.halve = nn.AvgPool2d(2) if halve else nn.Identity()
        self.convs = nn.ModuleList([conv(inputs, outputs), conv(outputs, outputs)])
        changed = halve or inputs != outputs
        self.shortcut = conv(inputs, outputs, 1) if changed else nn.Identity()

    def forward(self, h: Tensor) -> Tensor:
        """Two convolutions, and what came in beside them, each pooled where the block halves."""
        inner = self.convs[0](h if self.first else F.relu(h))
        inner = self.halve(self.convs[1](F.relu(inner)))
        y: Tensor = inner + self.shortcut(self.halve(h))  # pooled before 1 x 1: the same, at a quarter of the cost
        return y


def _doubled(h: Tensor) -> Tensor:
    return F.interpolate(h, scale_factor=2.0, mode="nearest")
