"""StyleALAE's encoder: instance statistics of every level are styles, and their sum is the code."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from latentkit.components.layers import EqualizedLinear, blur
from latentkit_plugins.style._layers import SLOPE, EqualizedConv2d, activated, blended, downsample, fading, per_level
from latentkit_plugins.style._norm import standardized
from latentkit_plugins.style._sizes import Layout

_EPS = 1e-5


class Block(nn.Module):
    """One resolution, halved at its end."""

    def __init__(self, inputs: int, outputs: int, dim: int, runtime: bool) -> None:
        super().__init__()
        self.conv_1 = EqualizedConv2d(inputs, inputs, 3, runtime=runtime)
        self.bias_1 = nn.Parameter(torch.zeros(1, inputs, 1, 1))
        self.style_1 = EqualizedLinear(2 * inputs, dim, runtime=runtime)
        self.conv_2 = EqualizedConv2d(inputs, outputs, 3, scaling="down", runtime=runtime)
        self.bias_2 = nn.Parameter(torch.zeros(1, outputs, 1, 1))
        self.style_2 = EqualizedLinear(2 * outputs, dim, runtime=runtime)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """``b inputs h w -> b outputs h/2 w/2``, and the code's share ``b dim``."""
        x, *style_1 = standardized(activated(self.conv_1(x, self.bias_1)), _EPS)
        x, *style_2 = standardized(activated(self.conv_2(blur(x), self.bias_2)), _EPS)
        code: Tensor = self.style_1(torch.cat(style_1, 1)) + self.style_2(torch.cat(style_2, 1))
        return x, code


class StyleEncoding(nn.Module):
    """Images of one level to a code; the weights are those of all levels."""

    def __init__(self, layout: Layout, dim: int, last: int) -> None:
        super().__init__()
        self.level, runtime = layout.level, layout.runtime
        outputs = [last, *layout.features[:-1]]
        self.blocks = nn.ModuleList(
            Block(inputs, outputs[at], dim, runtime) for at, inputs in enumerate(layout.features)
        )
        self.from_rgb = per_level(
            layout, lambda width: EqualizedConv2d(layout.channels, width, 1, bias=True, runtime=runtime)
        )

    def forward(self, x: Tensor, blend: Tensor | int) -> Tensor:
        """``x``: b channels h w; ``blend``: scalar. Returns b dim."""
        w: Tensor
        h, w = self.blocks[self.level](self._read(x, self.level))
        if fading(self.from_rgb, self.level, blend):
            w = w * blend
            h = blended(self._read(downsample(x), self.level - 1), h, blend)
        for block in reversed(self.blocks[: self.level]):
            h, share = block(h)
            w = w + share
        return w

    def _read(self, x: Tensor, level: int) -> Tensor:
        return activated(self.from_rgb[str(level)](x), SLOPE**2)  # activated twice, as released
