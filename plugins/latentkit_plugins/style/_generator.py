"""The style-based synthesis network (Karras et al. 2019), as StyleALAE has it."""

from __future__ import annotations

from collections import abc
from typing import Literal

import torch
from einops import rearrange
from torch import Tensor, nn

from latentkit.components.layers import EqualizedLinear, blur
from latentkit_plugins.style._layers import EqualizedConv2d, activated, bump, image_of, per_level
from latentkit_plugins.style._norm import instance_norm
from latentkit_plugins.style._sizes import Layout, split_maps

Noise = Literal["sample", "batch", "fixed", "none", "bump"]


class Layer(nn.Module):
    """Noise, bias, leaky ReLU, instance norm and style modulation of what a convolution made."""

    def __init__(self, channels: int, dim: int, level: int, noise: Noise, runtime: bool) -> None:
        super().__init__()
        self.noise, self.level = noise, level
        self.strength = nn.Parameter(torch.zeros(1, channels, 1, 1))  # also where it is not used: weights fit all modes
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.style = EqualizedLinear(dim, 2 * channels, gain=1.0, runtime=runtime)

    def forward(self, x: Tensor, w: Tensor, map_: Tensor | None) -> Tensor:
        """``x``: b c h w; ``w``: b dim; ``map_``: b 1 h w. Returns the shape of ``x``."""
        if self.noise == "bump":
            x = x + bump(x, self.level)
        elif map_ is not None:
            x = torch.addcmul(x, self.strength, map_)
        x = instance_norm(activated(x + self.bias), 1e-8)
        scale, shift = rearrange(self.style(w), "b (two c) -> two b c 1 1", two=2)
        return torch.addcmul(shift, x, scale + 1)


class Block(nn.Module):
    """One resolution: all but the first double it."""

    def __init__(
        self, inputs: int, outputs: int, dim: int, level: int, transposed: bool, noise: Noise, runtime: bool
    ) -> None:
        super().__init__()
        if level:
            self.conv_1 = EqualizedConv2d(
                inputs, outputs, 3, scaling="transposed" if transposed else "up", runtime=runtime
            )
        self.layer_1 = Layer(outputs, dim, level, noise, runtime)
        self.conv_2 = EqualizedConv2d(outputs, outputs, 3, runtime=runtime)
        self.layer_2 = Layer(outputs, dim, level, noise, runtime)
        self.level = level

    def forward(self, x: Tensor, styles: Tensor, maps: abc.Sequence[Tensor | None]) -> Tensor:
        """``x``: b inputs h w; ``styles``: b 2 dim; returns b outputs 2h 2w, of the first block b outputs h w."""
        if self.level:
            x = blur(self.conv_1(x))
        x = self.layer_1(x, styles[:, 0], maps[0])
        y: Tensor = self.layer_2(self.conv_2(x), styles[:, 1], maps[1])
        return y


class StyleSynthesis(nn.Module):
    """Styles to images of one level; the weights are those of all levels."""

    def __init__(self, layout: Layout, dim: int, rgb_gain: float, noise: Noise) -> None:
        super().__init__()
        self.level, runtime = layout.level, layout.runtime
        widths, transposed = layout.features, layout.transposed()
        self.maps = split_maps(layout.base, self.level)
        self.const = nn.Parameter(torch.ones(1, widths[0], *layout.base))
        self.blocks = nn.ModuleList(
            Block(widths[max(at - 1, 0)], width, dim, at, transposed[at], noise, runtime)
            for at, width in enumerate(widths)
        )
        self.to_rgb = per_level(
            layout, lambda width: EqualizedConv2d(width, layout.channels, 1, gain=rgb_gain, bias=True, runtime=runtime)
        )
        for at, (height, width) in enumerate(split_maps(layout.base, len(widths) - 1)) if noise == "fixed" else ():
            self.register_buffer(f"noise_{at}", torch.randn(1, 1, height, width))

    def forward(self, w: Tensor, blend: Tensor | int, noise: Tensor | None = None) -> Tensor:
        """``w``: b 2(level+1) dim; ``blend``: scalar; ``noise``: b numbers, or numbers for all samples. Returns
        b channels h w.
        """
        maps = self._maps(noise)
        before = x = self.const.expand(len(w), -1, -1, -1)
        for at, block in enumerate(self.blocks[: self.level + 1]):
            before, x = x, block(x, w[:, 2 * at : 2 * at + 2], maps[2 * at : 2 * at + 2])
        return image_of(self.to_rgb, self.level, before, x, blend)

    def _maps(self, noise: Tensor | None) -> list[Tensor | None]:
        if hasattr(self, "noise_0"):
            return [getattr(self, f"noise_{at}") for at in range(len(self.maps))]
        if noise is None:
            return [None] * len(self.maps)
        pieces = torch.split(noise, [height * width for height, width in self.maps], -1)
        return [piece.reshape(-1, 1, *size) for piece, size in zip(pieces, self.maps, strict=True)]
