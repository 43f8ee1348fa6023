"""Adversarial Latent Autoencoders, Pidhorskyi, Adjeroh and Doretto 2020, https://arxiv.org/abs/2004.04467.

The form for permutation-invariant MNIST. Constants are those of the released code that runs (its branch
``mnist_ref``); the fully connected classes of its main branch have ``slope = output_slope = 0.2`` and
``side = 28``, and are the same otherwise.
"""

from __future__ import annotations

from collections import abc
from itertools import pairwise
from typing import ClassVar

import attrs
import torch.nn.functional as F
from attrs.validators import ge, le, optional
from einops import rearrange
from torch import Tensor, nn

from latentkit.components.layers import EqualizedLinear, MappingNetwork, nearest_resize
from latentkit.components.sizes import MOST_LAYERS, known_sizes
from latentkit.interfaces import Discriminator, Encoder, Generator, Mapping


@attrs.frozen(kw_only=True)
class AlaeMlpMapping(Mapping):
    """ALAE's F: pixel norm, then equalised linear layers as wide as the latent."""

    ports: ClassVar[str] = "z: latent[dim] -> w: latent[dim]"
    independent: ClassVar[bool] = True
    dim: int | None = None
    layers: int = attrs.field(default=6, validator=[ge(1), le(MOST_LAYERS)])
    slope: float = 0.2
    lrmul: float = 0.1
    """Its steps are this much smaller than those of other parts."""

    def build(self) -> nn.Module:
        """``z: b dim -> w: b dim``, the last layer activated too."""
        (dim,) = known_sizes(self, "dim")
        return MappingNetwork([dim] * (self.layers + 1), self.slope, self.lrmul)


@attrs.frozen(kw_only=True)
class AlaeMlpGenerator(Generator):
    """ALAE's G for small images: equalised linear layers, the last without activation."""

    ports: ClassVar[str] = "w: latent[dim] -> x: image[channels, height, width] in range"
    independent: ClassVar[bool] = True
    dim: int | None = None
    channels: int | None = None
    height: int | None = None
    width: int | None = None
    hidden: int = attrs.field(default=1024, validator=ge(1))
    layers: int = attrs.field(default=3, validator=[ge(2), le(MOST_LAYERS)])
    slope: float = 0.01
    side: int | None = attrs.field(default=None, validator=optional(ge(1)))
    """Makes images of this side and resizes them by nearest neighbour."""

    def build(self) -> nn.Module:
        """``w: b dim -> x: b channels height width``, unbounded."""
        dim, channels, height, width = known_sizes(self, "dim", "channels", "height", "width")
        inner = (channels, self.side or height, self.side or width)
        widths = [dim, *[self.hidden] * (self.layers - 1), inner[0] * inner[1] * inner[2]]
        return _Generator(widths, self.slope, inner, (height, width))


@attrs.frozen(kw_only=True)
class AlaeMlpEncoder(Encoder):
    """ALAE's E for small images: equalised linear layers, the output activated."""

    ports: ClassVar[str] = "x: image[channels, height, width] in range -> w: latent[dim]"
    independent: ClassVar[bool] = True
    entries: ClassVar[abc.Mapping[str, str]] = {
        "features": "x: image[channels, height, width] in range -> h: features[hidden]"
    }
    channels: int | None = None
    height: int | None = None
    width: int | None = None
    dim: int | None = None
    hidden: int = attrs.field(default=1024, validator=ge(1))
    layers: int = attrs.field(default=3, validator=[ge(2), le(MOST_LAYERS)])
    slope: float = 0.2
    output_slope: float = 0.01
    side: int | None = attrs.field(default=None, validator=optional(ge(1)))
    """Resizes images to this side by nearest neighbour before it reads them."""

    def build(self) -> nn.Module:
        """``x: b channels height width -> w: b dim``; ``features`` (the long ones): last hidden layer."""
        channels, height, width, dim = known_sizes(self, "channels", "height", "width", "dim")
        inner = (self.side or height, self.side or width)
        widths = [channels * inner[0] * inner[1], *[self.hidden] * (self.layers - 1), dim]
        return _Encoder(widths, self.slope, self.output_slope, inner)


@attrs.frozen(kw_only=True)
class AlaeMlpDiscriminator(Discriminator):
    """ALAE's D in latent space: equalised linear layers without activations; the score is output 0."""

    ports: ClassVar[str] = "w: latent[dim] -> score"
    independent: ClassVar[bool] = True
    entries: ClassVar[abc.Mapping[str, str]] = {"outputs": "w: latent[dim] -> h: features[dim]"}
    dim: int | None = None
    layers: int = attrs.field(default=3, validator=[ge(1), le(MOST_LAYERS)])
    lrmul: float = 0.1
    """Its steps are this much smaller than those of other parts."""

    def build(self) -> nn.Module:
        """``w: b dim -> score: b``, unbounded; ``outputs`` are all ``dim`` numbers of the last layer."""
        (dim,) = known_sizes(self, "dim")
        return _Discriminator([dim] * (self.layers + 1), self.lrmul)


@attrs.frozen(kw_only=True)
class AlaeDiscriminator(AlaeMlpDiscriminator):
    """StyleALAE's D: as that of the MLP form, with twice the outputs, of which the middle one is the score."""

    entries: ClassVar[abc.Mapping[str, str]] = {"outputs": "w: latent[dim] -> h: features[outputs]"}

    def sizes(self) -> dict[str, object]:
        """The options, and the number of outputs."""
        return {**super().sizes(), "outputs": None if self.dim is None else 2 * self.dim}

    def build(self) -> nn.Module:
        """``w: b dim -> score: b``, unbounded; ``outputs`` are all ``2 dim`` numbers of the last layer."""
        (dim,) = known_sizes(self, "dim")
        return _Discriminator([*[dim] * self.layers, 2 * dim], self.lrmul, score=dim)


def _layers(widths: abc.Sequence[int], lrmul: float = 1.0) -> nn.ModuleList:
    return nn.ModuleList(EqualizedLinear(before, after, lrmul=lrmul) for before, after in pairwise(widths))


class _Generator(nn.Module):
    def __init__(
        self, widths: abc.Sequence[int], slope: float, inner: tuple[int, int, int], outer: tuple[int, int]
    ) -> None:
        super().__init__()
        self.layers, self.slope, self.inner, self.outer = _layers(widths), slope, inner, outer

    def forward(self, w: Tensor) -> Tensor:
        *hidden, last = self.layers
        for layer in hidden:
            w = F.leaky_relu(layer(w), self.slope)
        c, height, width = self.inner
        x = rearrange(last(w), "b (c h w) -> b c h w", c=c, h=height, w=width)
        return nearest_resize(x, *self.outer)


class _Encoder(nn.Module):
    def __init__(self, widths: abc.Sequence[int], slope: float, output_slope: float, inner: tuple[int, int]) -> None:
        super().__init__()
        self.layers, self.slope, self.output_slope, self.inner = _layers(widths), slope, output_slope, inner

    def features(self, x: Tensor) -> Tensor:
        h = rearrange(nearest_resize(x, *self.inner), "b c h w -> b (c h w)")
        for layer in self.layers[:-1]:
            h = F.leaky_relu(layer(h), self.slope)
        return h  # b hidden

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.layers[-1](self.features(x)), self.output_slope)  # b d


class _Discriminator(nn.Module):
    def __init__(self, widths: abc.Sequence[int], lrmul: float, score: int = 0) -> None:
        super().__init__()
        self.layers, self.score = _layers(widths, lrmul), score

    def outputs(self, w: Tensor) -> Tensor:
        for layer in self.layers:
            w = layer(w)
        return w  # b d

    def forward(self, w: Tensor) -> Tensor:
        return self.outputs(w)[:, self.score]  # b
