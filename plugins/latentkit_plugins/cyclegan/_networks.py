"""The modules behind the parts."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_DEVIATION = 0.02


class Translation(nn.Module):
    """Two halvings, residual blocks, two doublings: ``b c h w -> b c h w`` in [-1, 1]."""

    def __init__(self, channels: int, base: int, blocks: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [_conv(channels, base, 3), *_normed(base)]
        for width in (base, 2 * base):
            layers += [_conv(width, 2 * width, 3, stride=2), *_normed(2 * width)]
        layers += [Residual(4 * base) for _ in range(blocks)]
        for width in (4 * base, 2 * base):
            layers += [nn.Upsample(scale_factor=2), _conv(width, width // 2, 3), *_normed(width // 2)]
        self.layers = nn.Sequential(*layers, _conv(base, channels, 3), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        """``b c h w -> b c h w``."""
        y: Tensor = self.layers(x)
        return y


class Residual(nn.Module):
    """``x + f(x)`` at one size."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(_conv(width, width, 3), *_normed(width), _conv(width, width, 3), _norm(width))

    def forward(self, x: Tensor) -> Tensor:
        """``b c h w -> b c h w``."""
        y: Tensor = x + self.layers(x)
        return y


class Patches(nn.Module):
    """Two halvings and a score at every place: ``b c h w -> b 1 h/4 w/4``."""

    def __init__(self, channels: int, base: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _conv(channels, base, 4, stride=2), nn.LeakyReLU(0.2),
            _conv(base, 2 * base, 4, stride=2), _norm(2 * base), nn.LeakyReLU(0.2),
            _conv(2 * base, 1, 3),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Unbounded scores."""
        s: Tensor = self.layers(x)
        return s


class Replay(nn.Module):
    """A store of earlier images."""

    store: Tensor
    count: Tensor

    def __init__(self, shape: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.register_buffer("store", torch.zeros(shape))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def forward(self, x: Tensor, u: Tensor) -> Tensor:
        """``b c h w, b -> b c h w``; one image after the other, as each may be exchanged for the one before it."""
        if not self.training:
            return x
        size = len(self.store)
        shown = []
        for image, number in zip(x, u, strict=True):
            full = self.count >= size
            exchanged = full & (number < 0.5)
            chosen = torch.where(full, (2 * number * size).long(), self.count).clamp(max=size - 1)
            slot = chosen[None]
            kept = self.store.index_select(0, slot)[0]
            shown.append(torch.where(exchanged, kept, image))
            self.store.index_copy_(0, slot, torch.where(exchanged | ~full, image, kept)[None])
            self.count.add_((~full).long())
        return torch.stack(shown)


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding=(kernel - 1) // 2)
    nn.init.normal_(layer.weight, std=_DEVIATION)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


def _norm(width: int) -> nn.InstanceNorm2d:
    return nn.InstanceNorm2d(width, affine=True)


def _normed(width: int) -> list[nn.Module]:
    return [_norm(width), nn.ReLU()]
