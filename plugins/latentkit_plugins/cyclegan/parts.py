"""CycleGAN, Zhu et al. 2017, https://arxiv.org/abs/1703.10593: translation from image to image, judged in patches.

The released networks, for images of 256 x 256, begin with a 7 x 7 convolution and have nine residual blocks; these are
of the same kind, smaller by their options. Weights start from N(0, 0.02^2) as there.
"""

from __future__ import annotations

from typing import ClassVar

import attrs
from attrs.validators import ge
from torch import nn

from latentkit.components.sizes import known_sizes
from latentkit.errors import Mismatch
from latentkit.interfaces import Discriminator, Function, Generator
from latentkit_plugins.cyclegan._networks import Patches, Replay, Translation

_HALVINGS = 2


def _side(height: int, width: int) -> None:
    least = 2 << _HALVINGS
    if height % (1 << _HALVINGS) or width % (1 << _HALVINGS) or min(height, width) < least:
        raise Mismatch(f"cyclegan: image of {height} x {width}; expected sides of {least} or more that 4 divides")


@attrs.frozen(kw_only=True)
class Translator(Generator):
    """Residual network from image to image of the same size, in [-1, 1], with instance normalisation."""

    ports: ClassVar[str] = "x: image[channels, height, width] in range -> y: image[channels, height, width] in range"
    independent: ClassVar[bool] = True
    channels: int | None = None
    height: int | None = None
    width: int | None = None
    channels_base: int = attrs.field(default=32, validator=ge(1))
    """Channels at full size; two halvings double them twice."""
    blocks: int = attrs.field(default=3, validator=ge(0))
    """Residual blocks at a quarter of the side."""

    def sizes(self) -> dict[str, object]:
        """The options and the range of tanh."""
        return Generator.sizes(self) | {"range": (-1.0, 1.0)}

    def build(self) -> nn.Module:
        """``x: b channels height width -> y``, of the same shape.

        Raises:
            Mismatch: a side that 4 does not divide.
        """
        channels, height, width = known_sizes(self, "channels", "height", "width")
        _side(height, width)
        return Translation(channels, self.channels_base, self.blocks)


@attrs.frozen(kw_only=True)
class PatchDiscriminator(Discriminator):
    """Convolutions from image to a map of scores, one per overlapping patch."""

    ports: ClassVar[str] = "x: image[channels, height, width] in range -> s: map[1, rows, columns]"
    independent: ClassVar[bool] = True
    channels: int | None = None
    height: int | None = None
    width: int | None = None
    channels_base: int = attrs.field(default=32, validator=ge(1))
    """Channels after the first halving; the second one doubles them."""

    def sizes(self) -> dict[str, object]:
        """The options, and the sides of the map once those of the image are known."""
        sides = {"rows": self.height, "columns": self.width}
        known = {name: side >> _HALVINGS for name, side in sides.items() if side is not None}
        return Discriminator.sizes(self) | {"rows": None, "columns": None} | known

    def build(self) -> nn.Module:
        """``x: b channels height width -> s: b 1 height/4 width/4``, unbounded.

        Raises:
            Mismatch: a side that 4 does not divide.
        """
        channels, height, width = known_sizes(self, "channels", "height", "width")
        _side(height, width)
        return Patches(channels, self.channels_base)


@attrs.frozen(kw_only=True)
class Pool(Function):
    """Shows the discriminator earlier images too (section 4; Shrivastava et al. 2017, section 2.3).

    Keeps ``size`` images. Once it is full, an image whose ``u``, uniform in [0, 1), is below 0.5 is exchanged for one
    of them, which ``u`` chooses; the others pass through.
    """

    ports: ClassVar[str] = (
        "x: image[channels, height, width] in range, u: score -> y: image[channels, height, width] in range"
    )
    channels: int | None = None
    height: int | None = None
    width: int | None = None
    size: int = attrs.field(default=50, validator=ge(1))

    def build(self) -> nn.Module:
        """``x: b channels height width, u: b -> y``, of the shape of x. What it keeps is part of its state."""
        channels, height, width = known_sizes(self, "channels", "height", "width")
        return Replay((self.size, channels, height, width))
