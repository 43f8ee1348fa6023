"""Networks that grow, in the papers' order: PGGAN, StyleGAN, StyleALAE.

Karras et al. 2018, https://arxiv.org/abs/1710.10196; Karras et al. 2019, https://arxiv.org/abs/1812.04948; Pidhorskyi,
Adjeroh and Doretto 2020, https://arxiv.org/abs/2004.04467. Constants are those of the released code. A network has the
weights of all its levels. Which level it works at follows from the size of the images it meets, so that a stage of a
recipe says ``data.resolution`` and nothing else.
"""

from __future__ import annotations

from typing import ClassVar

import attrs
from attrs.validators import ge, gt, in_, le
from torch import nn

from latentkit.components.layers import MappingNetwork
from latentkit.components.sizes import MOST_LAYERS, known_sizes
from latentkit.interfaces import Discriminator, Encoder, Generator, Mapping
from latentkit.ports import Signature, parse_together
from latentkit_plugins.style._discriminator import GrowingScore
from latentkit_plugins.style._encoder import StyleEncoding
from latentkit_plugins.style._generator import Noise, StyleSynthesis
from latentkit_plugins.style._growing import EQUALIZED, Equalized, Growing
from latentkit_plugins.style._layers import SLOPE
from latentkit_plugins.style._pggan import PgganSynthesis
from latentkit_plugins.style._sizes import check_halved, noise_numbers


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
    equalized: Equalized = attrs.field(default="implicit", validator=in_(EQUALIZED))
    """Where the equalised learning rate is: in the optimizer's steps (``lreq-adam``), or in every call."""

    def build(self) -> nn.Module:
        """``z: b dim -> w: b dim``."""
        (dim,) = known_sizes(self, "dim")
        return MappingNetwork([dim] * (self.layers + 1), self.slope, self.lrmul, self.equalized == "runtime")


@attrs.frozen(kw_only=True)
class StyleGenerator(Growing, Generator):
    """Synthesis network: a learned constant, and per level two convolutions with noise and styles."""

    ports: ClassVar[str] = (
        "w: styles[layers, dim], blend: scalar, noise?: tensor[noise_numbers] "
        "-> x: image[channels, height, width] in range"
    )
    independent: ClassVar[bool] = True
    dim: int | None = None
    noise: Noise = attrs.field(default="sample", validator=in_(("sample", "batch", "fixed", "none", "bump")))
    """``sample``: the port, maps per sample. ``batch``: likewise, the same for the whole batch. ``fixed``: buffers.
    ``none``: nothing. ``bump``: what the released code of ALAE does where its noise is off, a fixed function of the
    features."""
    rgb_gain: float = 1.0

    def signatures(self, owner: str = "") -> dict[str, Signature]:
        """The ports; with noise per batch that port is one value."""
        ports = self.ports.replace("noise?: ", "noise?: one ") if self.noise == "batch" else self.ports
        return parse_together({"": ports}, self.sizes(), owner)

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
        sample (``batch``: of all samples, ``numbers``) in one row, lowest level first, two a level.

        Raises:
            Mismatch: no level makes images of this size.
        """
        (dim,) = known_sizes(self, "dim")
        return StyleSynthesis(self.layout(), dim, self.rgb_gain, self.noise)


@attrs.frozen(kw_only=True)
class PgganGenerator(Growing, Generator):
    """Generator of PGGAN: per level two convolutions, each activated and pixel-normed; the latent is normed too."""

    ports: ClassVar[str] = "z: latent[dim], blend: scalar -> x: image[channels, height, width] in range"
    independent: ClassVar[bool] = True
    dim: int | None = None

    def build(self) -> nn.Module:
        """``z: b dim, blend: scalar -> x: b channels height width``, unbounded; ``blend`` as in ``style.generator``.

        Raises:
            Mismatch: no level makes images of this size.
        """
        (dim,) = known_sizes(self, "dim")
        return PgganSynthesis(self.layout(), dim)


@attrs.frozen(kw_only=True)
class StyleEncoder(Growing, Encoder):
    """StyleALAE's encoder: statistics of every instance norm are styles, and their sum is the code."""

    ports: ClassVar[str] = "x: image[channels, height, width] in range, blend: scalar -> w: latent[dim]"
    independent: ClassVar[bool] = True
    dim: int | None = None

    def build(self) -> nn.Module:
        """``x: b channels height width, blend: scalar -> w: b dim``.

        Raises:
            Mismatch: no level reads images of this size; the lowest level, halved, has no statistics.
        """
        (dim,) = known_sizes(self, "dim")
        check_halved(self.base)
        last = min(self.max_channels, self.channels_base << self.levels)
        return StyleEncoding(self.layout(), dim, last)


@attrs.frozen(kw_only=True)
class GrowingDiscriminator(Growing, Discriminator):
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
        return GrowingScore(self.layout(), self.blur, self.group)
