"""BigGAN, Brock et al. 2019, https://arxiv.org/abs/1809.11096: class-conditional networks, as they were released.

The condition is a row of numbers, of which the embedding is a linear map; of a one-hot row that is the released code's
look-up. In that code the discriminator for images of 32 takes all its maps for maps of side 16 when it looks for the
one that gets attention; here it is the first one that has the side.
"""

from __future__ import annotations

from typing import ClassVar

import attrs
from attrs.validators import ge, gt, in_
from torch import nn

from latentkit.components.sizes import known_sizes
from latentkit.errors import Mismatch
from latentkit.interfaces import Discriminator, Generator, Part
from latentkit_plugins.biggan._layout import down_maps, up_maps
from latentkit_plugins.biggan._networks import Ascent, Descent

_SIDES = (0, 8, 16, 32, 64, 128)


@attrs.frozen(kw_only=True)
class _Conditional(Part):
    """What both networks have: an image's sizes, the condition's, widths, and where attention is."""

    classes: int | None = None
    """Numbers in a condition."""
    channels: int | None = None
    height: int | None = None
    width: int | None = None
    channels_base: int = attrs.field(default=96, validator=ge(1))
    """Channels of the largest map at 128 and 256; the others have up to 16 times as many."""
    attention: int = attrs.field(default=0, validator=in_(_SIDES))
    """Self-attention on the first map of this side, where the network has one; 0: none."""


@attrs.frozen(kw_only=True)
class BigGenerator(_Conditional, Generator):
    """Residual blocks from a 4x4 map to an image in [-1, 1]; latent and condition drive the batch norms.

    The latent is cut into as many chunks as there are maps, 2 at side 8, 3 at 16, up to 7 at 256. The first makes the
    4x4 map; the others go to one block each, with the embedded condition.
    """

    ports: ClassVar[str] = "z: latent[dim], y: label[classes] -> x: image[channels, height, width] in range"
    batch_norm_only: ClassVar[bool] = True
    dim: int | None = None
    embedding: int = attrs.field(default=128, validator=ge(1))
    """Numbers to which a condition is mapped, without bias, and for all blocks alike."""
    eps: float = attrs.field(default=1e-5, validator=gt(0))
    """Of batch norm."""

    def sizes(self) -> dict[str, object]:
        """The options and the range of tanh."""
        return super().sizes() | {"range": (-1.0, 1.0)}

    def build(self) -> nn.Module:
        """``z: b dim, y: b classes -> x: b channels height width``.

        Raises:
            Mismatch: no square of side 8, 16, ..., 256; a latent that cannot be cut into equal chunks.
        """
        dim, classes, channels, height, width = known_sizes(self, "dim", "classes", "channels", "height", "width")
        maps = up_maps(height, width, self.channels_base)
        chunks = len(maps.widths)
        if dim < 1 or dim % chunks:
            near = " or ".join(str(size) for size in (dim - dim % chunks, dim - dim % chunks + chunks) if size > 0)
            raise Mismatch(
                f"biggan.generator: latent of {dim}; expected a multiple of {chunks}, as its blocks for images of "
                f"{height} x {width} share it in {chunks} equal chunks; choose {near}"
            )
        return Ascent(maps, dim, classes, channels, self.embedding, self.attention, self.eps)


@attrs.frozen(kw_only=True)
class BigDiscriminator(_Conditional, Discriminator):
    """Residual blocks from an image to pooled features, whose product with the embedded condition is in the score."""

    ports: ClassVar[str] = "x: image[channels, height, width] in range, y: label[classes] -> score"
    independent: ClassVar[bool] = True

    def build(self) -> nn.Module:
        """``x: b channels height width, y: b classes -> score: b``, unbounded.

        Raises:
            Mismatch: no square of side 8, 16, ..., 256.
        """
        classes, channels, height, width = known_sizes(self, "classes", "channels", "height", "width")
        maps = down_maps(height, width, self.channels_base)
        return Descent(maps, channels, classes, height, self.attention)
