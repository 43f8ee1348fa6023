"""Adaptive discriminator augmentation, Karras et al. 2020, https://arxiv.org/abs/2006.06676: the transformations.

Their order, probabilities and strengths are those of appendix B and of the released code. There, flips, quarter turns
and whole translations pass through the filter too where nothing else is done; here they copy pixels. There, an image is
padded with its reflection by its own size at most, with grey beyond; here the reflection goes on. Random numbers come
in as inputs.
"""

from __future__ import annotations

from typing import ClassVar

import attrs
from attrs.validators import ge, le
from torch import nn

from latentkit.components.sizes import known_sizes
from latentkit.errors import Mismatch
from latentkit.interfaces import Function
from latentkit_plugins.ada._augmentation import BLIT, COLOR, CORRUPTION, GEOMETRY, OCTAVES, Augmentation
from latentkit_plugins.ada._numbers import Step

IMAGE = "image[channels, height, width] in range"
Limits = tuple[float, float] | None
_PAIRS = ("xint", "xfrac", "cutout")
_MOST = 10


def _share(default: float) -> float:
    found: float = attrs.field(default=default, validator=[ge(0), le(1)])
    return found


def _strength(default: float, most: float = _MOST) -> float:
    found: float = attrs.field(default=default, validator=[ge(0), le(most)])
    return found


def _black_and_white(_: object, field: attrs.Attribute[Limits], value: Limits) -> None:
    if value is not None and not value[0] < value[1]:
        raise Mismatch(f"'{field.name}' wants the values of black and white, black below white; found {list(value)}")


@attrs.frozen(kw_only=True)
class Augment(Function):
    """Random transformations of images, each with a probability that is a multiple of ``p`` (Karras et al. 2020).

    An option by the name of a transformation is that multiple; 0 leaves it out. The default is the paper's choice:
    pixel blitting, general geometry and colours. ``u`` are uniform numbers, of which a sample has as many as the
    transformations that are on take together, in the order of the options: for each one number that decides whether
    it is done, and one, or two for ``xint``, ``xfrac`` and ``cutout``, that say how. ``rotate`` takes its two before
    ``aniso`` and two after it, ``imgfilter`` two for each of four octaves, ``noise`` one for its strength and one for
    each number of the image. Images of one channel have no hue and no saturation. Colours may go beyond black and
    white, as published.
    """

    ports: ClassVar[str] = f"x: {IMAGE}, p: scalar, u: latent[numbers] -> {IMAGE}"
    independent: ClassVar[bool] = True
    channels: int | None = None
    height: int | None = None
    width: int | None = None
    range: Limits = attrs.field(default=None, validator=_black_and_white)
    """Values of black and white; from the flow, and [-1, 1] where it does not tell."""
    blit: bool = True
    """Pixels are copied: ``xflip``, ``rotate90``, ``xint``."""
    geometry: bool = True
    """Images are resampled: ``scale``, ``rotate``, ``aniso``, ``xfrac``."""
    color: bool = True
    """``brightness``, ``contrast``, ``lumaflip``, ``hue``, ``saturation``."""
    xflip: float = _share(1)
    rotate90: float = _share(1)
    xint: float = _share(1)
    xint_max: float = _strength(0.125, 1)
    """The longest translation, as a share of the side."""
    scale: float = _share(1)
    scale_std: float = _strength(0.2)
    """Deviation of the binary logarithm of the factor."""
    rotate: float = _share(1)
    """Of a turn before ``aniso`` or after it."""
    rotate_max: float = _strength(1, 1)
    """The largest turn; 1 is half a circle in either direction."""
    aniso: float = _share(1)
    aniso_std: float = _strength(0.2)
    """Deviation of the binary logarithm of the factor."""
    xfrac: float = _share(1)
    xfrac_std: float = _strength(0.125)
    """Deviation of the translation, as a share of the side."""
    brightness: float = _share(1)
    brightness_std: float = _strength(0.2)
    """Deviation of what is added, where black and white are -1 and 1."""
    contrast: float = _share(1)
    contrast_std: float = _strength(0.5)
    """Deviation of the binary logarithm of the factor."""
    lumaflip: float = _share(1)
    hue: float = _share(1)
    hue_max: float = _strength(1, 1)
    """The largest turn; 1 is half a circle in either direction."""
    saturation: float = _share(1)
    saturation_std: float = _strength(1)
    """Deviation of the binary logarithm of the factor."""
    imgfilter: float = _share(0)
    """Amplification of octaves; the paper's choice is without it, noise and cut-outs."""
    imgfilter_std: float = _strength(1)
    """Deviation of the binary logarithm of each octave's factor."""
    noise: float = _share(0)
    noise_std: float = _strength(0.1)
    """Deviation of the noise's deviation, where black and white are -1 and 1."""
    cutout: float = _share(0)
    cutout_size: float = _strength(0.5, 1)
    """Sides of the rectangle that becomes grey, as a share of those of the image."""

    def sizes(self) -> dict[str, object]:
        """The options, and ``numbers``, once the image's size is known.

        Raises:
            Mismatch: colours of an image that is neither grey nor of three channels.
        """
        found: dict[str, object] = {**Function.sizes(self), "numbers": None}
        if all(isinstance(size, int) for size in (self.channels, self.height, self.width)):
            found["numbers"] = sum(step.numbers for step in self.steps().values())
        return found

    def steps(self) -> dict[str, Step]:
        """The transformations that are on, in their order.

        Raises:
            Mismatch: none is; or colours of an image that is neither grey nor of three channels.
        """
        channels, height, width = known_sizes(self, "channels", "height", "width")
        names = [*(BLIT if self.blit else ()), *(GEOMETRY if self.geometry else ())]
        if self.color and channels not in (1, 3):
            raise Mismatch(
                f"ada.augment: colours are those of images of 1 or 3 channels, found {channels}; say color = false"
            )
        names += COLOR[: 5 if channels == 3 else 3] if self.color else ()
        found = {name: self._step(name) for name in (*names, *OCTAVES, *CORRUPTION)}
        if "noise" in found:
            found["noise"] = attrs.evolve(found["noise"], numbers=2 + channels * height * width)
        on = {name: step for name, step in found.items() if step.share > 0}
        if not on:
            raise Mismatch("ada.augment: every transformation is off; expected one at least")
        return on

    def _step(self, name: str) -> Step:
        option = "rotate" if name == "rotate_again" else "imgfilter" if name in OCTAVES else name
        limits = (f"{option}_{end}" for end in ("std", "max", "size"))
        strength = next((getattr(self, limit) for limit in limits if hasattr(self, limit)), 1.0)
        numbers = 3 if name in _PAIRS else 2
        return Step(getattr(self, option), strength, numbers, one_of_two=option == "rotate")

    def build(self) -> nn.Module:
        """``x: b channels height width, p: one number, u: b numbers -> b channels height width``.

        Nothing is differentiated with respect to p and u; with respect to x as often as one likes.

        Raises:
            Mismatch: as :meth:`steps`.
        """
        height, width = known_sizes(self, "height", "width")
        return Augmentation(self.steps(), height, width, self.range or (-1.0, 1.0))
