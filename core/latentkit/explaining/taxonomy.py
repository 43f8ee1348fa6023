"""A system's place in the taxonomy of autoencoders and GANs: three questions, and what answers them.

What makes generated data follow the data's distribution; where the distribution of the codes that are decoded comes
from, and what makes codes of data follow it; and in which space the encoder is held to be the decoder's inverse.
"""

from __future__ import annotations

from typing import Literal

import attrs

Mechanism = Literal["adversarial", "divergence", "moments", "similarity", "reciprocity"]
"""``adversarial``: a score that one phase tells the two apart by and another moves back. ``divergence``: a term that
declares itself one. ``moments``: a term that compares batches as samples. ``similarity``: nothing but the comparison of
data with their reconstructions. ``reciprocity``: nothing but that of codes with their reconstructions."""
Place = Literal["data", "latent", "adversarial"]
Ways = Literal["imposed", "learned", ""]
Key = tuple[str, str]
"""Phase and name of a term."""


@attrs.frozen(kw_only=True)
class Reason:
    """A mechanism, with what shows it."""

    mechanism: Mechanism
    how: str
    terms: tuple[Key, ...]


@attrs.frozen(kw_only=True)
class Trip:
    """A space in which reciprocity is imposed, with what shows it."""

    space: Place
    features: str = ""
    """The part in whose output images are compared, where that is not done in pixels."""
    how: str
    terms: tuple[Key, ...]


@attrs.frozen(kw_only=True)
class Taxon:
    """A system's place."""

    name: str
    title: str
    data: tuple[Reason, ...]
    """What makes generated data follow the data's distribution."""
    prior: Ways
    """Whether the distribution of decoded codes is fixed, or made by trained parts; empty where nothing is sampled."""
    prior_how: str
    latent: tuple[Reason, ...]
    """What makes codes of data follow it."""
    reciprocity: tuple[Trip, ...]
    beside: tuple[Key, ...]
    """Terms that answer none of the questions: penalties, say."""

    @property
    def cells(self) -> tuple[str, str, str]:
        """The three answers in a few words."""
        data = ", ".join(dict.fromkeys(reason.mechanism for reason in self.data)) or "none"
        latent = ", ".join(dict.fromkeys(reason.mechanism for reason in self.latent)) or "none"
        latent = f"{self.prior} / {latent}" if self.prior else latent
        spaces = [f"{trip.space} (features)" if trip.features else trip.space for trip in self.reciprocity]
        return data, latent, ", ".join(dict.fromkeys(spaces)) or "none"
