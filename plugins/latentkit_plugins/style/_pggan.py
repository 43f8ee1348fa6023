"""The generator of Progressive GAN (Karras et al. 2018, table 2, https://arxiv.org/abs/1710.10196)."""

from __future__ import annotations

import math

import torch
from einops import rearrange
from torch import Tensor, nn

from latentkit.components.layers import pixel_norm
from latentkit_plugins.style._layers import EqualizedConv2d, Scaling, activated, image_of, per_level
from latentkit_plugins.style._sizes import Layout


class First(nn.Module):
    """The lowest resolution, from the latent."""

    def __init__(self, dim: int, outputs: int, base: tuple[int, int], runtime: bool) -> None:
        super().__init__()
        self.base = base
        # The paper's 4 x 4 convolution of a 1 x 1 map. As released: a dense layer with the gain sqrt(2) / 4 that makes
        # its deviation that of the convolution, and one bias a channel.
        places = math.prod(base)
        self.dense = EqualizedConv2d(dim, outputs * places, 1, gain=math.sqrt(2 / places), runtime=runtime)
        self.bias = nn.Parameter(torch.zeros(1, outputs, 1, 1))
        self.conv = EqualizedConv2d(outputs, outputs, 3, bias=True, runtime=runtime)

    def forward(self, z: Tensor) -> Tensor:
        """``b dim -> b outputs h w``."""
        x = self.dense(rearrange(pixel_norm(z), "b dim -> b dim 1 1"))
        x = _normed(rearrange(x, "b (c h w) 1 1 -> b c h w", h=self.base[0], w=self.base[1]) + self.bias)
        return _normed(self.conv(x))


class Block(nn.Module):
    """Every other resolution, from the one below."""

    def __init__(self, inputs: int, outputs: int, transposed: bool, runtime: bool) -> None:
        super().__init__()
        scaling: Scaling = "transposed" if transposed else "up"
        self.conv_1 = EqualizedConv2d(inputs, outputs, 3, bias=True, scaling=scaling, runtime=runtime)
        self.conv_2 = EqualizedConv2d(outputs, outputs, 3, bias=True, runtime=runtime)

    def forward(self, x: Tensor) -> Tensor:
        """``b inputs h w -> b outputs 2h 2w``."""
        return _normed(self.conv_2(_normed(self.conv_1(x))))


class PgganSynthesis(nn.Module):
    """Latents to images of one level; the weights are those of all levels."""

    def __init__(self, layout: Layout, dim: int) -> None:
        super().__init__()
        self.level, runtime = layout.level, layout.runtime
        widths, transposed = layout.features, layout.transposed()
        self.blocks = nn.ModuleList([First(dim, widths[0], layout.base, runtime)])
        self.blocks.extend(Block(widths[at], width, transposed[at + 1], runtime) for at, width in enumerate(widths[1:]))
        self.to_rgb = per_level(
            layout, lambda width: EqualizedConv2d(width, layout.channels, 1, gain=1.0, bias=True, runtime=runtime)
        )

    def forward(self, z: Tensor, blend: Tensor | int) -> Tensor:
        """``z``: b dim; ``blend``: scalar. Returns b channels h w."""
        before = x = z
        for block in self.blocks[: self.level + 1]:
            before, x = x, block(x)
        return image_of(self.to_rgb, self.level, before, x, blend)


def _normed(x: Tensor) -> Tensor:
    return pixel_norm(activated(x))
