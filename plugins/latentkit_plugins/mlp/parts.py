"""Multilayer perceptrons as mapping, generator, encoder, posterior and discriminator; no paper of their own.

Layers start as ``torch.nn.Linear`` does. All hidden layers have one width and are followed by a leaky ReLU.
"""

from __future__ import annotations

from collections import abc
from itertools import pairwise
from typing import ClassVar, Literal

import attrs
from attrs.validators import ge, in_, le
from einops import rearrange
from torch import Tensor, nn

from latentkit.components.posteriors import ToPosterior
from latentkit.components.sizes import MOST_LAYERS, known_sizes
from latentkit.interfaces import Discriminator, Encoder, Generator, Mapping, Range

Activation = Literal["linear", "tanh", "sigmoid"]
_RANGES: dict[str, Range] = {"tanh": (-1.0, 1.0), "sigmoid": (0.0, 1.0)}


@attrs.frozen(kw_only=True)
class MlpMapping(Mapping):
    """Perceptron from latent to latent of the same size."""

    ports: ClassVar[str] = "z: latent[dim] -> w: latent[dim]"
    independent: ClassVar[bool] = True
    dim: int | None = None
    hidden: int = attrs.field(default=256, validator=ge(1))
    layers: int = attrs.field(default=3, validator=[ge(2), le(MOST_LAYERS)])
    slope: float = 0.2

    def build(self) -> nn.Module:
        """``z: b dim -> w: b dim``, the last of ``layers`` linear layers without activation."""
        (dim,) = known_sizes(self, "dim")
        return _Perceptron(dim, self.hidden, self.layers, dim, self.slope)


@attrs.frozen(kw_only=True)
class MlpGenerator(Generator):
    """Perceptron from latent to image; the activation fixes the value range."""

    ports: ClassVar[str] = "w: latent[dim] -> x: image[channels, height, width] in range"
    independent: ClassVar[bool] = True
    dim: int | None = None
    channels: int | None = None
    height: int | None = None
    width: int | None = None
    hidden: int = attrs.field(default=256, validator=ge(1))
    layers: int = attrs.field(default=3, validator=[ge(2), le(MOST_LAYERS)])
    slope: float = 0.2
    activation: Activation = attrs.field(default="linear", validator=in_(("linear", "tanh", "sigmoid")))

    def sizes(self) -> dict[str, object]:
        """The options, and the range that the activation gives; linear takes the range of what it meets."""
        fixed: dict[str, object] = {"range": _RANGES[self.activation]} if self.activation in _RANGES else {}
        return Generator.sizes(self) | fixed

    def build(self) -> nn.Module:
        """``w: b dim -> x: b channels height width``."""
        dim, channels, height, width = known_sizes(self, "dim", "channels", "height", "width")
        body = _Perceptron(dim, self.hidden, self.layers, channels * height * width, self.slope)
        return _ToImage(body, (channels, height, width), self.activation)


@attrs.frozen(kw_only=True)
class MlpEncoder(Encoder):
    """Perceptron from image to latent."""

    ports: ClassVar[str] = "x: image[channels, height, width] in range -> w: latent[dim]"
    independent: ClassVar[bool] = True
    entries: ClassVar[abc.Mapping[str, str]] = {
        "features": "x: image[channels, height, width] in range -> h: features[hidden]"
    }
    channels: int | None = None
    height: int | None = None
    width: int | None = None
    dim: int | None = None
    hidden: int = attrs.field(default=256, validator=ge(1))
    layers: int = attrs.field(default=3, validator=[ge(2), le(MOST_LAYERS)])
    slope: float = 0.2

    def build(self) -> nn.Module:
        """``x: b channels height width -> w: b dim``; ``features`` is the last hidden layer, activated."""
        channels, height, width, dim = known_sizes(self, "channels", "height", "width", "dim")
        return _Perceptron(channels * height * width, self.hidden, self.layers, dim, self.slope)


@attrs.frozen(kw_only=True)
class MlpPosterior(MlpEncoder):
    """Perceptron from image to a diagonal Gaussian over latents."""

    ports: ClassVar[str] = "x: image[channels, height, width] in range -> q: posterior[dim]"

    def build(self) -> nn.Module:
        """``x: b channels height width -> q``, with ``mu`` and ``logvar`` of ``b dim`` each, unbounded."""
        channels, height, width, dim = known_sizes(self, "channels", "height", "width", "dim")
        return ToPosterior(_Perceptron(channels * height * width, self.hidden, self.layers, 2 * dim, self.slope))


@attrs.frozen(kw_only=True)
class MlpDiscriminator(Discriminator):
    """Perceptron from latent to score."""

    ports: ClassVar[str] = "w: latent[dim] -> score"
    independent: ClassVar[bool] = True
    dim: int | None = None
    hidden: int = attrs.field(default=256, validator=ge(1))
    layers: int = attrs.field(default=3, validator=[ge(2), le(MOST_LAYERS)])
    slope: float = 0.2

    def build(self) -> nn.Module:
        """``w: b dim -> score: b``, unbounded."""
        (dim,) = known_sizes(self, "dim")
        return _ToScore(_Perceptron(dim, self.hidden, self.layers, 1, self.slope))


class _Perceptron(nn.Module):
    """Flattens its input, ``b ...``; returns ``b outputs``."""

    def __init__(self, inputs: int, hidden: int, layers: int, outputs: int, slope: float) -> None:
        super().__init__()
        widths = [inputs, *[hidden] * (layers - 1)]
        self.hidden = nn.Sequential()
        for before, after in pairwise(widths):
            self.hidden.extend([nn.Linear(before, after), nn.LeakyReLU(slope)])
        self.last = nn.Linear(hidden, outputs)

    def features(self, x: Tensor) -> Tensor:
        h: Tensor = self.hidden(rearrange(x, "b ... -> b (...)"))
        return h  # b hidden

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(self.features(x))
        return y  # b outputs


class _ToImage(nn.Module):
    def __init__(self, body: nn.Module, shape: tuple[int, int, int], activation: Activation) -> None:
        super().__init__()
        self.body, self.shape = body, shape
        self.activate = {"linear": nn.Identity(), "tanh": nn.Tanh(), "sigmoid": nn.Sigmoid()}[activation]

    def forward(self, w: Tensor) -> Tensor:
        c, h, w_ = self.shape
        x: Tensor = self.activate(rearrange(self.body(w), "b (c h w) -> b c h w", c=c, h=h, w=w_))
        return x


class _ToScore(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, w: Tensor) -> Tensor:
        score: Tensor = rearrange(self.body(w), "b 1 -> b")
        return score
