"""The modules behind the parts. An image of ``4 rows x 4 columns`` has a content of ``4 base rows columns``."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from einops import rearrange, reduce
from torch import Tensor, nn

from latentkit_plugins.gaia._layers import AdaptiveResidual, Residual, conv, layer_norm, linear


class Code(NamedTuple):
    """Content and style joined, ``b content+style``, and the content alone, ``b content``."""

    code: Tensor
    content: Tensor


class ContentMap(nn.Module):
    """Two halvings, then residual blocks: ``b c h w -> b 4base h/4 w/4``."""

    def __init__(self, channels: int, base: int, blocks: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            conv(channels, base, 7), nn.ReLU(),
            conv(base, 2 * base, 4, stride=2), nn.ReLU(),
            conv(2 * base, 4 * base, 4, stride=2), nn.ReLU(),
            *[Residual(4 * base) for _ in range(blocks)],
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Unbounded where there are blocks."""
        h: Tensor = self.layers(x)
        return h


class Style(nn.Module):
    """Halvings, and the mean over what is left: ``b c h w -> b style``.

    Two halvings double the channels. Further ones keep them, at most ``halvings``, and as long as a side is 2 or more.
    """

    def __init__(self, channels: int, base: int, halvings: int, side: int, style: int) -> None:
        super().__init__()
        further = min(halvings, (side // 4).bit_length() - 1)
        widths = [base, 2 * base, 4 * base, *[4 * base] * further]
        layers: list[nn.Module] = [conv(channels, base, 7), nn.ReLU()]
        for inputs, outputs in pairwise(widths):
            layers += [conv(inputs, outputs, 4, stride=2), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.linear = linear(4 * base, style)  # the published 1 x 1 convolution of one pixel

    def forward(self, x: Tensor) -> Tensor:
        """Unbounded."""
        s: Tensor = self.linear(reduce(self.layers(x), "b c h w -> b c", "mean"))
        return s


class Decoder(nn.Module):
    """Content map and style to an image in [0, 1]: ``b 4base h w, b style -> b c 4h 4w``.

    The style says one scale and one shift per channel, which all adaptive norms share.
    """

    def __init__(self, channels: int, base: int, blocks: int, style: int) -> None:
        super().__init__()
        width = 4 * base
        self.perceptron = nn.Sequential(
            linear(style, width), nn.ReLU(), linear(width, width), nn.ReLU(), linear(width, 2 * width)
        )
        self.blocks = nn.ModuleList(AdaptiveResidual(width) for _ in range(blocks))
        layers: list[nn.Module] = []
        for inputs in (width, width // 2):
            layers += [nn.Upsample(scale_factor=2), conv(inputs, inputs // 2, 5), layer_norm(inputs // 2), nn.ReLU()]
        self.layers = nn.Sequential(*layers, conv(base, channels, 7))

    def forward(self, h: Tensor, style: Tensor) -> Tensor:
        """Sigmoid at the end."""
        mu, sigma = self.perceptron(style).chunk(2, 1)
        for block in self.blocks:
            h = block(h, mu, sigma)
        return torch.sigmoid(self.layers(h))


class Encoding(nn.Module):
    """Image to content and style as vectors."""

    def __init__(self, content_map: ContentMap, flat: int, content: int, style: Style) -> None:
        super().__init__()
        self.content_map, self.style = content_map, style
        self.linear = linear(flat, content)

    def forward(self, x: Tensor) -> Code:
        """``b c h w -> b content+style, b content``."""
        content = self.linear(rearrange(self.content_map(x), "b c h w -> b (c h w)"))
        return Code(torch.cat([content, self.style(x)], 1), content)


class Decoding(nn.Module):
    """Content and style, as one vector, to an image."""

    def __init__(self, content: int, map_shape: tuple[int, int, int], decoder: Decoder) -> None:
        super().__init__()
        self.content, self.rows, self.columns = content, *map_shape[1:]
        self.linear = linear(content, map_shape[0] * map_shape[1] * map_shape[2])
        self.decoder = decoder

    def forward(self, code: Tensor) -> Tensor:
        """``b content+style -> b c h w``."""
        content, style = code[:, : self.content], code[:, self.content :]
        h = rearrange(self.linear(content), "b (c h w) -> b c h w", h=self.rows, w=self.columns)
        x: Tensor = self.decoder(h, style)
        return x


class Autoencoding(nn.Module):
    """Image to image by a map of contents and a style: ``b c h w -> b c h w``."""

    def __init__(self, content_map: ContentMap, style: Style, decoder: Decoder) -> None:
        super().__init__()
        self.content_map, self.style, self.decoder = content_map, style, decoder

    def forward(self, x: Tensor) -> Tensor:
        """In [0, 1]."""
        y: Tensor = self.decoder(self.content_map(x), self.style(x))
        return y
