"""Deep Convolutional GANs, Radford, Metz and Chintala 2016, https://arxiv.org/abs/1511.06434.

Sizes and constants are those of O-GAN's released networks (Su 2019, https://arxiv.org/abs/1903.01931), which
are this family with TensorFlow's SAME padding: weights from N(0, 0.02^2), biases from 0 (before batch norm
too), batch norm with eps 1e-3 and momentum 0.01, leaky slope 0.2.
"""

from __future__ import annotations

from collections import abc
from typing import ClassVar, Literal

import attrs
from attrs.validators import ge, gt, in_
from torch import nn

from latentkit.components.posteriors import ToPosterior
from latentkit.components.sizes import known_sizes
from latentkit.errors import Mismatch
from latentkit.interfaces import Discriminator, Encoder, Generator, Part, Range
from latentkit_plugins.dcgan._layout import channels_by_level, with_flat
from latentkit_plugins.dcgan._networks import Deconvolutions, PairScore, Score, Trunk, make_norms

Normalization = Literal["batch", "none"]
Activation = Literal["tanh", "sigmoid", "linear"]
_NORMALIZATIONS = ("batch", "none")
_RANGES: dict[str, Range] = {"tanh": (-1.0, 1.0), "sigmoid": (0.0, 1.0)}


@attrs.frozen(kw_only=True)
class _Convolutional(Part):
    """What all parts of the family have: an image's sizes, channels by resolution, a kernel, a normalisation."""

    channels: int | None = None
    height: int | None = None
    width: int | None = None
    channels_base: int = attrs.field(default=64, validator=ge(1))
    """Channels of the largest hidden map; each halving of the side doubles them."""
    max_channels: int = attrs.field(default=2048, validator=ge(1))
    kernel: int = attrs.field(default=5, validator=in_((4, 5)))
    normalization: Normalization = attrs.field(default="batch", validator=in_(_NORMALIZATIONS))
    eps: float = attrs.field(default=1e-3, validator=gt(0))
    momentum: float = 0.01

    batch_norm_only: ClassVar[bool] = True

    @property
    def independent(self) -> bool:  # type: ignore[override]  # an option decides here, not the class
        """False with batch norm, whose statistics couple the batch."""
        return self.normalization != "batch"

    def levels(self) -> list[int]:
        """Channels of the hidden maps, the largest map first.

        Raises:
            Mismatch: the image has another size than 8, 16, 32, ...
        """
        height, width = known_sizes(self, "height", "width")
        return channels_by_level(height, width, self.channels_base, self.max_channels)

    def trunk(self, outputs: int, normalize_first: bool = False) -> Trunk:
        """The convolutions from an image to so many numbers."""
        (channels,) = known_sizes(self, "channels")
        make = make_norms(self.normalization, self.eps, self.momentum)
        return Trunk(channels, self.levels(), outputs, self.kernel, make, normalize_first)


@attrs.frozen(kw_only=True)
class DcganGenerator(_Convolutional, Generator):
    """Transposed convolutions from a 4x4 map to an image; the activation fixes the value range."""

    ports: ClassVar[str] = "w: latent[dim] -> x: image[channels, height, width] in range"
    dim: int | None = None
    self_modulated: bool = False
    """Batch norm's scale and shift come from the latent (Chen et al. 2019)."""
    activation: Activation = attrs.field(default="tanh", validator=in_(("tanh", "sigmoid", "linear")))
    """``tanh`` makes images in [-1, 1], ``sigmoid`` in [0, 1]; ``linear`` takes the range of what it meets."""

    def sizes(self) -> dict[str, object]:
        """The options, and the range that the activation gives."""
        fixed: dict[str, object] = {"range": _RANGES[self.activation]} if self.activation in _RANGES else {}
        return super().sizes() | fixed

    def build(self) -> nn.Module:
        """``w: b dim -> x: b channels height width``.

        Raises:
            Mismatch: the image has another size than 8, 16, 32, ...; ``self_modulated`` without batch norm.
        """
        dim, channels = known_sizes(self, "dim", "channels")
        if self.self_modulated and self.normalization != "batch":
            raise Mismatch(f"dcgan.generator: self_modulated needs normalization = 'batch', not {self.normalization!r}")
        make = make_norms(self.normalization, self.eps, self.momentum, dim if self.self_modulated else None)
        return Deconvolutions(dim, self.levels()[::-1], channels, self.kernel, make, self.activation)


@attrs.frozen(kw_only=True)
class DcganEncoder(_Convolutional, Encoder):
    """Strided convolutions from image to latent."""

    ports: ClassVar[str] = "x: image[channels, height, width] in range -> w: latent[dim]"
    entries: ClassVar[abc.Mapping[str, str]] = {
        "features": "x: image[channels, height, width] in range -> h: features[flat]"
    }
    dim: int | None = None
    normalize_first: bool = False
    """The first convolution is normalised too."""

    def sizes(self) -> dict[str, object]:
        """The options, and ``flat``, the features before the last layer, once the image's size is known."""
        return with_flat(super().sizes(), self.height, self.width, self.channels_base, self.max_channels)

    def build(self) -> nn.Module:
        """``x: b channels height width -> w: b dim``; ``features`` is what the last layer reads.

        Raises:
            Mismatch: the image has another size than 8, 16, 32, ...
        """
        (dim,) = known_sizes(self, "dim")
        return self.trunk(dim, self.normalize_first)


@attrs.frozen(kw_only=True)
class DcganDiscriminator(_Convolutional, Discriminator):
    """Strided convolutions from image to score."""

    ports: ClassVar[str] = "x: image[channels, height, width] in range -> score"
    normalize_first: bool = False
    """The first convolution is normalised too."""

    def build(self) -> nn.Module:
        """``x: b channels height width -> score: b``, unbounded.

        Raises:
            Mismatch: the image has another size than 8, 16, 32, ...
        """
        return Score(self.trunk(1, self.normalize_first))


@attrs.frozen(kw_only=True)
class DcganPosterior(_Convolutional, Encoder):
    """Strided convolutions from image to a diagonal Gaussian over latents."""

    ports: ClassVar[str] = "x: image[channels, height, width] in range -> q: posterior[dim]"
    entries: ClassVar[abc.Mapping[str, str]] = DcganEncoder.entries
    dim: int | None = None
    normalize_first: bool = False
    """The first convolution is normalised too."""

    def sizes(self) -> dict[str, object]:
        """The options, and ``flat``, the features before the last layer, once the image's size is known."""
        return with_flat(super().sizes(), self.height, self.width, self.channels_base, self.max_channels)

    def build(self) -> nn.Module:
        """``x: b channels height width -> q``, with ``mu`` and ``logvar`` of ``b dim`` each, unbounded.

        Raises:
            Mismatch: the image has another size than 8, 16, 32, ...
        """
        (dim,) = known_sizes(self, "dim")
        return ToPosterior(self.trunk(2 * dim, self.normalize_first))


@attrs.frozen(kw_only=True)
class DcganPairDiscriminator(_Convolutional, Discriminator):
    """Strided convolutions on an image, then a perceptron that sees a latent too: one score for the pair."""

    ports: ClassVar[str] = "x: image[channels, height, width] in range, z: latent[dim] -> score"
    dim: int | None = None
    hidden: int = attrs.field(default=512, validator=ge(1))
    """Width of the two layers that join image and latent."""

    def build(self) -> nn.Module:
        """``x: b channels height width, z: b dim -> score: b``, unbounded.

        Raises:
            Mismatch: the image has another size than 8, 16, 32, ...
        """
        (dim,) = known_sizes(self, "dim")
        return PairScore(self.trunk(self.hidden), self.hidden, dim)
