"""Progressive discriminators of images (Karras et al. 2018, 2019)."""

from __future__ import annotations

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from latentkit.components.layers import EqualizedLinear, blur
from latentkit_plugins.style._layers import EqualizedConv2d, activated, blended, downsample, fading, per_level
from latentkit_plugins.style._sizes import Layout

_GROUP = 4


def minibatch_deviation(x: Tensor, group: int = _GROUP) -> Tensor:
    """One more map: how much images of a group differ, averaged over features (Karras et al. 2018, section 3).

    Sample i is in group i mod m of m groups; where they do not come out even, the first samples are counted twice, as
    in ALAE's code. ``b c h w -> b (c+1) h w``.
    """
    b, _, height, width = x.shape
    size = min(group, b)
    filled = torch.cat([x, x[: -b % size]])
    grouped = rearrange(filled, "(g m) c h w -> g m c h w", g=size)
    variance = (grouped - grouped.mean(0)).square().mean(0)
    spread = (variance + 1e-8).sqrt().mean((1, 2, 3))  # m
    maps = repeat(spread, "m -> (g m) 1 h w", g=size, h=height, w=width)
    return torch.cat([x, maps[:b]], 1)


class Block(nn.Module):
    """Two convolutions, the second of which halves the resolution."""

    def __init__(self, inputs: int, outputs: int, blurred: bool, runtime: bool) -> None:
        super().__init__()
        self.blurred = blurred
        self.conv_1 = EqualizedConv2d(inputs, inputs, 3, bias=True, runtime=runtime)
        self.conv_2 = EqualizedConv2d(inputs, outputs, 3, bias=True, scaling="down", runtime=runtime)

    def forward(self, x: Tensor) -> Tensor:
        """``b inputs h w -> b outputs h/2 w/2``."""
        x = activated(self.conv_1(x))
        return activated(self.conv_2(blur(x) if self.blurred else x))


class GrowingScore(nn.Module):
    """Images of one level to a score; the weights are those of all levels."""

    def __init__(self, layout: Layout, blurred: bool, group: int) -> None:
        super().__init__()
        self.level, self.group = layout.level, group
        runtime, (first, *others) = layout.runtime, layout.features
        self.blocks = nn.ModuleList(
            Block(width, layout.features[at], blurred, runtime) for at, width in enumerate(others)
        )
        self.from_rgb = per_level(
            layout, lambda width: EqualizedConv2d(layout.channels, width, 1, bias=True, runtime=runtime)
        )
        self.last = EqualizedConv2d(first + (group > 1), first, 3, bias=True, runtime=runtime)
        self.dense = EqualizedLinear(first * layout.base[0] * layout.base[1], first, runtime=runtime)
        self.score = EqualizedLinear(first, 1, gain=1.0, runtime=runtime)

    def forward(self, x: Tensor, blend: Tensor | int) -> Tensor:
        """``x``: b channels h w; ``blend``: scalar. Returns b."""
        h = self._read(x, self.level)
        if self.level:
            h = self.blocks[self.level - 1](h)
            if fading(self.from_rgb, self.level, blend):
                h = blended(self._read(downsample(x), self.level - 1), h, blend)
        for block in reversed(self.blocks[: max(self.level - 1, 0)]):
            h = block(h)
        h = minibatch_deviation(h, self.group) if self.group > 1 else h
        h = activated(self.last(h))
        h = activated(self.dense(rearrange(h, "b c h w -> b (c h w)")))
        score: Tensor = rearrange(self.score(h), "b 1 -> b")
        return score

    def _read(self, x: Tensor, level: int) -> Tensor:
        return activated(self.from_rgb[str(level)](x))
