"""Style-based networks that grow: Karras et al. 2019, https://arxiv.org/abs/1812.04948, in the form of StyleALAE.

Pidhorskyi, Adjeroh and Doretto 2020, https://arxiv.org/abs/2004.04467; constants are those of the released code. A
network has the weights of all its levels. Which level it works at follows from the size of the images it meets, so that
a stage of a recipe says ``data.resolution`` and nothing else.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import attrs
from attrs.validators import deep_iterable, ge, gt, in_, le, max_len, min_len
from torch import nn

from latentkit.components.layers import MappingNetwork
from latentkit.components.sizes import MOST_LAYERS, known_sizes
from latentkit.interfaces import Discriminator, Encoder, Generator, Mapping, Part
from latentkit_plugins.style._discriminator import GrowingScore
from latentkit_plugins.style._encoder import StyleEncoding
from latentkit_plugins.style._generator import Noise, StyleSynthesis
from latentkit_plugins.style._layers import SLOPE, TRANSPOSED_FROM
from latentkit_plugins.style._sizes import MOST_LEVELS, level_of, noise_numbers, sides, widths

Equalized = Literal["implicit", "runtime"]
_SQUARE = (4, 4)


@attrs.frozen(kw_only=True)
class _Growing(Part):
    """What the networks of the family have: levels, widths, and the image's size."""

    channels: int | None = None
    height: int | None = None
    width: int | None = None
    levels: int = attrs.field(default=4, validator=[ge(1), le(MOST_LEVELS)])
    """Resolutions there are weights for: ``base``, twice that, ...; 4 levels from 4 x 4 reach 32 x 32."""
    base: tuple[int, int] = attrs.field(
        default=_SQUARE, validator=[min_len(2), max_len(2), deep_iterable(ge(1))], converter=tuple
    )
    """Height and width of the lowest level."""
    channels_base: int = attrs.field(default=16, validator=ge(1))
    """Channels of the highest resolution; each halving doubles them."""
    max_channels: int = attrs.field(default=512, validator=ge(1))
    equalized: Equalized = attrs.field(default="implicit", validator=in_(("implicit", "runtime")))
    """Where the equalised learning rate is: in the optimizer's steps (``lreq-adam``), or in every call."""

    def level(self) -> int:
        """The level of the images that are met.

        Raises:
            Mismatch: there is none of this size.
        """
        height, width = known_sizes(self, "height", "width")
        return level_of(type(self).__name__, self.base, self.levels, height, width)

    def features(self) -> list[int]:
        """Channels by level."""
        return widths(self.channels_base, self.max_channels, self.levels)


@attrs.frozen(kw_only=True)
class StyleMapping(Mapping):
    """Mapping network: pixel norm, then equalised linear layers as wide as the latent, each activated."""

    ports: ClassVar[str] = "z: latent[dim] -> w: latent[dim]"
    independent: ClassVar[bool] = True
    dim: int | None = None
    layers: int = attrs.field(default=8, validator=[ge(1), le(MOST_LAYERS)])
    slope: float = SLOPE
    lrmul: float = attrs.field(default=0.01, validator=gt(0))
    """Its steps are this much smaller than those of other parts; 0.1 in ALAE."""
    equalized: Equalized = attrs.field(default="implicit", validator=in_(("implicit", "runtime")))
    """Where the equalised learning rate is: in the optimizer's steps (``lreq-adam``), or in every call."""

    def build(self) -> nn.Module:
        """``z: b dim -> w: b dim``."""
        (dim,) = known_sizes(self, "dim")
        return MappingNetwork([dim] * (self.layers + 1), self.slope, self.lrmul, self.equalized == "runtime")


@attrs.frozen(kw_only=True)
class StyleGenerator(_Growing, Generator):
    """Synthesis network: a learned constant, and per level two convolutions with noise and styles."""

    ports: ClassVar[str] = (
        "w: styles[layers, dim], blend: scalar, noise?: tensor[noise_numbers] "
        "-> x: image[channels, height, width] in range"
    )
    independent: ClassVar[bool] = True
    dim: int | None = None
    noise: Noise = attrs.field(default="sample", validator=in_(("sample", "fixed", "none", "bump")))
    """``sample``: the port, maps per sample. ``fixed``: buffers. ``none``: nothing. ``bump``: what the released code of
    ALAE does where its noise is off, a fixed function of the features."""
    rgb_gain: float = 1.0

    def sizes(self) -> dict[str, object]:
        """The options; ``layers`` and ``noise_numbers``, once the image's size is known."""
        found: dict[str, object] = {**super().sizes(), "layers": None, "noise_numbers": None}
        if isinstance(self.height, int) and isinstance(self.width, int):
            level = self.level()
            found |= {"layers": 2 * (level + 1), "noise_numbers": noise_numbers(self.base, level)}
        return found

    def build(self) -> nn.Module:
        """``w: b 2(level+1) dim, blend: scalar, noise: b numbers -> x: b channels height width``, unbounded.

        ``blend`` mixes the image of this level (1) with the enlarged one of the level below (0). Noise is all maps of a
        sample in one row, lowest level first, two a level.

        Raises:
            Mismatch: no level makes images of this size.
        """
        channels, dim = known_sizes(self, "channels", "dim")
        transposed = [min(size) >= TRANSPOSED_FROM for size in sides(self.base, self.levels)]
        return StyleSynthesis(
            channels, dim, self.features(), self.base, self.level(), transposed, self.rgb_gain, self.noise,
            self.equalized == "runtime",
        )  # fmt: skip


@attrs.frozen(kw_only=True)
class StyleEncoder(_Growing, Encoder):
    """StyleALAE's encoder: statistics of every instance norm are styles, and their sum is the code."""

    ports: ClassVar[str] = "x: image[channels, height, width] in range, blend: scalar -> w: latent[dim]"
    independent: ClassVar[bool] = True
    dim: int | None = None

    def build(self) -> nn.Module:
        """``x: b channels height width, blend: scalar -> w: b dim``.

        Raises:
            Mismatch: no level reads images of this size.
        """
        channels, dim = known_sizes(self, "channels", "dim")
        last = min(self.max_channels, self.channels_base << self.levels)
        return StyleEncoding(channels, dim, self.features(), last, self.level(), self.equalized == "runtime")


@attrs.frozen(kw_only=True)
class GrowingDiscriminator(_Growing, Discriminator):
    """Discriminator of StyleGAN and, without blur, of PGGAN, with a map of the minibatch's deviation."""

    ports: ClassVar[str] = "x: image[channels, height, width] in range, blend: scalar -> score"
    blur: bool = True
    """Before each halving."""
    group: int = attrs.field(default=4, validator=ge(1))
    """Images whose deviation is taken together; 1 leaves it out."""

    @property
    def independent(self) -> bool:  # type: ignore[override]  # an option decides here, not the class
        """False with the minibatch's deviation."""
        return self.group == 1

    def build(self) -> nn.Module:
        """``x: b channels height width, blend: scalar -> score: b``, unbounded.

        Raises:
            Mismatch: no level reads images of this size.
        """
        (channels,) = known_sizes(self, "channels")
        return GrowingScore(
            channels, self.features(), self.base, self.level(), self.blur, self.group,
            self.equalized == "runtime",
        )  # fmt: skip
