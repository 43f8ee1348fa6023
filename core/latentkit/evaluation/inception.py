"""Inception-v3 up to its pooled features, as the Fréchet inception distance has it.

Szegedy, Vanhoucke, Ioffe, Shlens, Wojna 2016, https://arxiv.org/abs/1512.00567. FID is computed with the
TensorFlow graph of 2015-12-05; where that differs from later ones, this follows it: average pooling does not count the
padding, and the last block pools by maximum. Names of weights are those of its port to PyTorch,
``pt_inception-2015-12-05``.
"""

from __future__ import annotations

from collections import abc

import attrs
import torch
from torch import Tensor, nn

from latentkit.evaluation.networks import Ability, resized, with_three_channels

TITLE = "the Inception-v3 of FID"
MARK = ("Conv2d_1a_3x3.", "Mixed_")
UNUSED: dict[str, tuple[int, ...] | None] = {"fc.weight": (1008, 2048), "fc.bias": (1008,)}
"""Its classes, 1008; the networks that were trained later have 1000."""
SIDE, FEATURES = 299, 2048
_EPSILON, _AT_ONCE = 1e-3, 32
Kernel = int | tuple[int, int]
Layer = tuple[str, int, Kernel, int]
"""Name, channels, kernel, stride; padded where the stride is 1."""


class _Convolution(nn.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: Kernel, stride: int, padding: Kernel) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        value: Tensor = torch.relu(self.bn(self.conv(x)))
        return value


class _Mixed(nn.Module):
    """Branches side by side: rows of steps, of which one may fork; and pooling, with a convolution or without."""

    def __init__(
        self, inputs: int, branches: abc.Sequence[abc.Sequence[abc.Sequence[Layer]]], pool: nn.Module, after: int
    ) -> None:
        super().__init__()
        self.branches = [[[layer[0] for layer in step] for step in branch] for branch in branches]
        self.pool = pool
        for branch in branches:
            width = inputs
            for step in branch:
                for name, outputs, kernel, stride in step:
                    self.add_module(name, _Convolution(width, outputs, kernel, stride, _padding(kernel, stride)))
                width = sum(layer[1] for layer in step)
        self.branch_pool = _Convolution(inputs, after, 1, 1, 0) if after else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        found = []
        for branch in self.branches:
            value = x
            for step in branch:
                value = torch.cat([self.get_submodule(name)(value) for name in step], 1)
            found.append(value)
        return torch.cat([*found, self.branch_pool(self.pool(x))], 1)


def _padding(kernel: Kernel, stride: int) -> Kernel:
    height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
    return (height // 2, width // 2) if stride == 1 else 0


def _row(name: str, *layers: tuple[int, Kernel], last_stride: int = 1) -> list[list[Layer]]:
    """``name_1``, ``name_2``, ... one after the other; a single one has the name alone."""
    named = [name] if len(layers) == 1 else [f"{name}_{number}" for number in range(1, len(layers) + 1)]
    strides = [1] * (len(layers) - 1) + [last_stride]
    return [[(label, *layer, stride)] for label, layer, stride in zip(named, layers, strides, strict=True)]


def _fork(name: str, channels: int) -> list[Layer]:
    return [(f"{name}a", channels, (1, 3), 1), (f"{name}b", channels, (3, 1), 1)]


def _average() -> nn.Module:
    return nn.AvgPool2d(3, 1, 1, count_include_pad=False)


def _a(inputs: int, after: int) -> _Mixed:
    branches = [
        _row("branch1x1", (64, 1)), _row("branch5x5", (48, 1), (64, 5)),
        _row("branch3x3dbl", (64, 1), (96, 3), (96, 3)),
    ]  # fmt: skip
    return _Mixed(inputs, branches, _average(), after)


def _b(inputs: int) -> _Mixed:
    branches = [
        _row("branch3x3", (384, 3), last_stride=2), _row("branch3x3dbl", (64, 1), (96, 3), (96, 3), last_stride=2)
    ]  # fmt: skip
    return _Mixed(inputs, branches, nn.MaxPool2d(3, 2), 0)


def _c(width: int) -> _Mixed:
    tall, wide = (7, 1), (1, 7)
    branches = [
        _row("branch1x1", (192, 1)), _row("branch7x7", (width, 1), (width, wide), (192, tall)),
        _row("branch7x7dbl", (width, 1), (width, tall), (width, wide), (width, tall), (192, wide)),
    ]  # fmt: skip
    return _Mixed(768, branches, _average(), 192)


def _d(inputs: int) -> _Mixed:
    branches = [
        _row("branch3x3", (192, 1), (320, 3), last_stride=2),
        _row("branch7x7x3", (192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3), last_stride=2),
    ]
    return _Mixed(inputs, branches, nn.MaxPool2d(3, 2), 0)


def _e(inputs: int, pool: nn.Module) -> _Mixed:
    branches: list[list[list[Layer]]] = [
        _row("branch1x1", (320, 1)), [[("branch3x3_1", 384, 1, 1)], _fork("branch3x3_2", 384)],
        [[("branch3x3dbl_1", 448, 1, 1)], [("branch3x3dbl_2", 384, 3, 1)], _fork("branch3x3dbl_3", 384)],
    ]  # fmt: skip
    return _Mixed(inputs, branches, pool, 192)


class Inception(nn.Sequential):
    """Images [n, 3, h, w] in [-1, 1], sides of 75 or more, to [n, 2048]."""

    def __init__(self) -> None:
        super().__init__()
        layers: dict[str, nn.Module] = {
            "Conv2d_1a_3x3": _Convolution(3, 32, 3, 2, 0), "Conv2d_2a_3x3": _Convolution(32, 32, 3, 1, 0),
            "Conv2d_2b_3x3": _Convolution(32, 64, 3, 1, 1), "pool_1": nn.MaxPool2d(3, 2),
            "Conv2d_3b_1x1": _Convolution(64, 80, 1, 1, 0), "Conv2d_4a_3x3": _Convolution(80, 192, 3, 1, 0),
            "pool_2": nn.MaxPool2d(3, 2), "Mixed_5b": _a(192, 32), "Mixed_5c": _a(256, 64), "Mixed_5d": _a(288, 64),
            "Mixed_6a": _b(288), "Mixed_6b": _c(128), "Mixed_6c": _c(160), "Mixed_6d": _c(160), "Mixed_6e": _c(192),
            "Mixed_7a": _d(768), "Mixed_7b": _e(1280, _average()), "Mixed_7c": _e(2048, nn.MaxPool2d(3, 1, 1)),
            "pool_3": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten(),
        }  # fmt: skip
        for name, layer in layers.items():
            self.add_module(name, layer)


@attrs.frozen(kw_only=True, eq=False)
class InceptionNetwork:
    """The features of FID: images are resized to 299 x 299, bilinear, and scaled to [-1, 1]."""

    module: nn.Module
    sha256: str
    side: int = SIDE
    name: str = "inception-v3"
    abilities: tuple[Ability, ...] = ("features",)
    heads: None = None
    gain: float = 1.0

    def features(self, images: Tensor) -> Tensor:
        """[n, c, h, w] in [0, 1] to float64 [n, 2048]."""
        device, found = next(self.module.parameters()).device, []
        with torch.no_grad():
            for part in torch.split(images, _AT_ONCE):
                x = resized(with_three_channels(part.to(device).float()), self.side, self.side)
                found.append(self.module(2 * x - 1).double().cpu())
        return torch.cat(found)

    def maps(self, images: Tensor) -> list[Tensor]:
        """Not asked for: it has no ability ``maps``."""
        raise NotImplementedError("inception-v3 has no maps")
