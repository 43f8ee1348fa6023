"""Layers of both networks: the condition's embedding, batch norm that it drives, and self-attention."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn


class Embedding(nn.Module):
    """A linear map without bias of a condition's row, so that several classes at once, or shares of them, add up.

    The rows of its weight are the classes', from N(0, 1) as torch's embeddings are. ``b classes -> b width``.
    """

    def __init__(self, classes: int, width: int, spectral_norm: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, width))
        self.spectral_norm = spectral_norm

    def forward(self, y: Tensor) -> Tensor:
        """``b classes -> b width``."""
        return y @ self.weight


class ConditionalBatchNorm(nn.Module):
    """``(1 + A c) BN(h) + B c`` of a condition c, with BN, A and B all without constants of their own."""

    def __init__(self, channels: int, condition: int, eps: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, eps=eps, affine=False)
        self.gain = nn.Linear(condition, channels, bias=False)
        self.shift = nn.Linear(condition, channels, bias=False)

    def forward(self, h: Tensor, c: Tensor) -> Tensor:
        """``h``: b channels h w; ``c``: b condition; returns the shape of ``h``."""
        gain = rearrange(self.gain(c), "b c -> b c 1 1")
        shift = rearrange(self.shift(c), "b c -> b c 1 1")
        return torch.addcmul(shift, self.norm(h), 1 + gain)


class SelfAttention(nn.Module):
    """Every place looks at all others, which are pooled two by two (Zhang et al. 2019); at first the identity.

    ``h + gamma o(sum_j beta_ij g_j)`` with ``beta_ij = softmax_j(theta_i phi_j)``. ``b c h w -> b c h w``.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        few, some = max(channels // 8, 1), max(channels // 2, 1)
        self.theta = nn.Conv2d(channels, few, 1, bias=False)
        self.phi = nn.Conv2d(channels, few, 1, bias=False)
        self.g = nn.Conv2d(channels, some, 1, bias=False)
        self.o = nn.Conv2d(some, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, h: Tensor) -> Tensor:
        """``b c h w -> b c h w``; the sides are even."""
        theta = rearrange(self.theta(h), "b c h w -> b (h w) c")
        phi = rearrange(F.max_pool2d(self.phi(h), 2), "b c h w -> b c (h w)")
        g = rearrange(F.max_pool2d(self.g(h), 2), "b c h w -> b (h w) c")
        # Written out: torch's fused attention has no second derivative, which penalties on gradients need.
        seen = (theta @ phi).softmax(-1) @ g  # b (h w) c
        y: Tensor = h + self.gamma * self.o(rearrange(seen, "b (h w) c -> b c h w", h=h.shape[-2]))
        return y


def conv(inputs: int, outputs: int, kernel: int = 3) -> nn.Conv2d:
    """A convolution that keeps the side."""
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
