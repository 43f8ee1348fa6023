"""Layers of GAIA's networks, which are those of MUNIT (Huang et al. 2018, https://arxiv.org/abs/1804.04732)."""

from __future__ import annotations

import math

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

_CUT = 0.8796256610342398
"""Deviation of N(0, 1) truncated at 2."""
_EPS = 1e-5
_LAYER_EPS = 1e-12


def adaptive_norm(h: Tensor, mu: Tensor, sigma: Tensor) -> Tensor:
    """Instance norm with a scale and a shift for each sample: ``mu IN(h) + sigma``.

    The names are those of the released code, which hands them over in this order: mu scales and sigma shifts.

    Args:
        h: ``b c h w``, of two pixels or more.
        mu: ``b c``.
        sigma: ``b c``.

    Returns:
        ``b c h w``.
    """
    return rearrange(mu, "b c -> b c 1 1") * F.instance_norm(h, eps=_EPS) + rearrange(sigma, "b c -> b c 1 1")


def layer_norm(width: int) -> nn.GroupNorm:
    """Over channels, height and width of each sample together, then a scale and a shift for each channel."""
    return nn.GroupNorm(1, width, eps=_LAYER_EPS)


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """Convolution with reflected borders; a stride divides the side, rounding down."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding=(kernel - 1) // 2, padding_mode="reflect")
    _start(layer, inputs * kernel**2)
    return layer


def linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer."""
    layer = nn.Linear(inputs, outputs)
    _start(layer, inputs)
    return layer


def _start(layer: nn.Conv2d | nn.Linear, inputs: int) -> None:
    """Variance 2 / inputs, normal, truncated at two deviations; biases 0."""
    deviation = math.sqrt(2 / inputs) / _CUT
    nn.init.trunc_normal_(layer.weight, std=deviation, a=-2 * deviation, b=2 * deviation)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)


class Residual(nn.Module):
    """``h + f(h)`` at one size, with instance norms that have weights: ``b c h w -> b c h w``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            conv(width, width, 3), nn.InstanceNorm2d(width, _EPS, affine=True), nn.ReLU(),
            conv(width, width, 3), nn.InstanceNorm2d(width, _EPS, affine=True),
        )  # fmt: skip

    def forward(self, h: Tensor) -> Tensor:
        """``b c h w -> b c h w``."""
        y: Tensor = h + self.layers(h)
        return y


class AdaptiveResidual(nn.Module):
    """``h + f(h, style)`` at one size: ``b c h w, b c, b c -> b c h w``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = conv(width, width, 3), conv(width, width, 3)

    def forward(self, h: Tensor, mu: Tensor, sigma: Tensor) -> Tensor:
        """Both norms have the same scale and shift."""
        inner = F.relu(adaptive_norm(self.first(h), mu, sigma))
        return h + adaptive_norm(self.second(inner), mu, sigma)
