"""GAIA, Sainburg et al. 2018, https://arxiv.org/abs/1807.06650: generator and discriminator are autoencoders.

The released networks are for images of 128 x 128, with the sizes that the recipe `gaia-128` states; these are the same
at any side that 4 divides, as narrow as their options say. They follow MUNIT (Huang et al. 2018), but for these
peculiarities of the released code, which are kept: one pair of scale and shift for all adaptive norms, and no norm
before the residual blocks.
"""

from __future__ import annotations

from typing import ClassVar

import attrs
from attrs.validators import ge, le
from torch import nn

from latentkit.components.sizes import MOST_LAYERS, known_sizes
from latentkit.errors import Mismatch
from latentkit.interfaces import Discriminator, Encoder, Generator, Part
from latentkit_plugins.gaia._networks import Autoencoding, ContentMap, Decoder, Decoding, Encoding, Style


@attrs.frozen(kw_only=True)
class _Split(Part):
    """What all networks have: an image's sizes, widths, blocks, and a style's size."""

    independent: ClassVar[bool] = True
    channels: int | None = None
    height: int | None = None
    width: int | None = None
    channels_base: int = attrs.field(default=16, validator=ge(1))
    """Channels at full size; two halvings double them twice. Published: 64, and 32 in the discriminator."""
    blocks: int = attrs.field(default=2, validator=[ge(0), le(MOST_LAYERS)])
    """Residual blocks at a quarter of the side. Published: 4."""
    style: int = attrs.field(default=16, validator=ge(1))
    """Numbers that say the style. Published: 512."""
    halvings: int = attrs.field(default=2, validator=ge(0))
    """Of the style's network after the first two; fewer where the map gets too small."""

    def content_map(self) -> tuple[int, int, int]:
        """Channels and sides of the map that is the content.

        Raises:
            Mismatch: a side that 4 does not divide, or below 8.
        """
        height, width = known_sizes(self, "height", "width")
        if height % 4 or width % 4 or min(height, width) < 8:
            raise Mismatch(f"gaia: image of {height} x {width}; expected sides of 8 or more that 4 divides")
        return 4 * self.channels_base, height // 4, width // 4

    def contents(self) -> ContentMap:
        """The network from image to content."""
        (channels,) = known_sizes(self, "channels")
        return ContentMap(channels, self.channels_base, self.blocks)

    def styles(self) -> Style:
        """The network from image to style."""
        channels, height, width = known_sizes(self, "channels", "height", "width")
        return Style(channels, self.channels_base, self.halvings, min(height, width), self.style)

    def decoder(self) -> Decoder:
        """The network from both to image."""
        (channels,) = known_sizes(self, "channels")
        return Decoder(channels, self.channels_base, self.blocks, self.style)


@attrs.frozen(kw_only=True)
class GaiaEncoder(_Split, Encoder):
    """Image to code: first the content, then the style, which has no place. ``E(x).content`` is the content alone."""

    ports: ClassVar[str] = "x: image[channels, height, width] in range -> code: latent[dim], content: latent[content]"
    content: int = attrs.field(default=16, validator=ge(1))
    """Numbers that say the content. Published: 512."""

    def sizes(self) -> dict[str, object]:
        """The options, and ``dim``, the numbers of content and style."""
        return super().sizes() | {"dim": self.content + self.style}

    def build(self) -> nn.Module:
        """``x: b channels height width -> code: b content+style, content: b content``, unbounded.

        Raises:
            Mismatch: a side that 4 does not divide, or below 8.
        """
        width, rows, columns = self.content_map()
        return Encoding(self.contents(), width * rows * columns, self.content, self.styles())


@attrs.frozen(kw_only=True)
class GaiaGenerator(_Split, Generator):
    """Code to image in [0, 1]: the content makes a map, the style drives its adaptive norms."""

    ports: ClassVar[str] = "code: latent[dim] -> x: image[channels, height, width] in range"
    content: int = attrs.field(default=16, validator=ge(1))
    """Numbers that say the content, as in the encoder."""

    def sizes(self) -> dict[str, object]:
        """The options, ``dim``, the numbers of content and style, and the range of the sigmoid."""
        return super().sizes() | {"dim": self.content + self.style, "range": (0.0, 1.0)}

    def build(self) -> nn.Module:
        """``code: b content+style -> x: b channels height width``.

        Raises:
            Mismatch: a side that 4 does not divide, or below 8.
        """
        return Decoding(self.content, self.content_map(), self.decoder())


@attrs.frozen(kw_only=True)
class GaiaDiscriminator(_Split, Discriminator):
    """Autoencoder of images in [0, 1] whose error is the score. Its content stays a map."""

    ports: ClassVar[str] = "x: image[channels, height, width] in range -> y: image[channels, height, width] in range"
    channels_base: int = attrs.field(default=8, validator=ge(1))
    """Channels at full size; two halvings double them twice."""

    def sizes(self) -> dict[str, object]:
        """The options and the range of the sigmoid."""
        return super().sizes() | {"range": (0.0, 1.0)}

    def build(self) -> nn.Module:
        """``x: b channels height width -> y``, of the same shape.

        Raises:
            Mismatch: a side that 4 does not divide, or below 8.
        """
        self.content_map()
        return Autoencoding(self.contents(), self.styles(), self.decoder())
