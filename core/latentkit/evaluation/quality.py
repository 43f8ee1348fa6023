"""Samples against held-out images in the features of a network: distances, and how far each covers the other.

With the self-trained classifier, figures compare between models of the same data. With the Inception-v3 of FID from a
file they are FID and KID, of as many images as the protocol says.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import attrs
import torch
from torch import Tensor

from latentkit.engine.samples import Samples
from latentkit.engine.streams import Streams
from latentkit.evaluation.code_prior import KINDS as PRIORS
from latentkit.evaluation.distances import frechet, kernel_distance
from latentkit.evaluation.expost import COMPONENTS
from latentkit.evaluation.manifolds import LEAST, NEAREST, NEAREST_DENSITY, cover
from latentkit.evaluation.network_choice import features_of, lacks_network, network_of
from latentkit.evaluation.networks import FeatureNetwork
from latentkit.evaluation.protocols import is_network, of_images, of_network
from latentkit.evaluation.quantising import KINDS, Quantisation, quantised
from latentkit.evaluation.sampled import lacks_sets, sampled
from latentkit.interfaces import Figure, Metric
from latentkit.model import Model

_COUNT = [attrs.validators.instance_of(int), attrs.validators.ge(1)]


@attrs.frozen(kw_only=True)
class _OfFeatures(Metric):
    """Compares two sets of features, of as many samples as held-out images."""

    slow: ClassVar[bool] = True
    figures: ClassVar[tuple[str, ...]]
    """Their names."""
    least: ClassVar[int] = 2
    """Images of each kind."""

    features: str | FeatureNetwork | None = attrs.field(default=None, validator=is_network)
    """A file with a network's weights, or a network, in place of the self-trained classifier."""
    quantisation: Quantisation = attrs.field(default="round", validator=attrs.validators.in_(KINDS))
    """How samples get steps of 8 bits."""
    prior: str | None = attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.in_(PRIORS)))
    """Decode codes of an ex-post prior of this kind, in place of the recipe's samples."""
    components: int = attrs.field(default=COMPONENTS, validator=_COUNT)
    """Of that prior."""

    def applies(self, model: Model, samples: Samples | None) -> str:
        """Needs samples, held-out images, and a network: labels, or a file."""
        reason = lacks_sets(model, samples, self.prior, self.least)
        return reason or lacks_network(samples, self.features, "features", model.device)

    def measure(self, model: Model, samples: Samples | None, *, n: int, seed: int) -> list[Figure]:
        """As many samples as held-out images, ``n`` at most, clipped and in steps of 8 bits.

        Raises:
            LatentkitError: the prior cannot be fitted; the network does not take such images.
            NotFiniteError: a sample is not finite.
        """
        assert samples is not None
        chosen = samples.held_out[: max(n, self.least)]
        network = network_of(samples, self.features, model.device)
        made = sampled(model, samples, len(chosen), seed, self.prior, self.components)
        real = torch.from_numpy(samples.table.fields["image"][chosen]).float() / 255
        protocol = {
            **of_network(network), **of_images(samples, chosen), "quantisation": self.quantisation, "seed": seed,
            "images": f"decoded from {self.prior}" if self.prior else "samples",
            **({"components": self.components} if self.prior else {}),
        }  # fmt: skip
        rows = features_of(network, real)
        rows_made = features_of(network, quantised(made, samples.spec.range, self.quantisation))
        return self.between(network, rows, rows_made, seed, protocol)

    @abstractmethod
    def between(
        self, network: FeatureNetwork, real: Tensor, made: Tensor, seed: int, protocol: dict[str, object]
    ) -> list[Figure]:
        """Figures of features of real images and samples, float64 [n, d] each, with this protocol and more."""


@attrs.frozen(kw_only=True)
class Frechet(_OfFeatures):
    """Fréchet distance of samples and held-out images in the features of a network (FID, with Inception)."""

    figures: ClassVar[tuple[str, ...]] = ("frechet",)

    def between(
        self, network: FeatureNetwork, real: Tensor, made: Tensor, seed: int, protocol: dict[str, object]
    ) -> list[Figure]:
        """``frechet``, 0 or more."""
        return [Figure(name="frechet", value=frechet(made, real), protocol=protocol)]


@attrs.frozen(kw_only=True)
class KernelDistance(_OfFeatures):
    """Squared MMD of samples and held-out images with a cubic kernel on features (KID, with Inception)."""

    figures: ClassVar[tuple[str, ...]] = ("kernel-distance",)
    least: ClassVar[int] = 4

    subsets: int = attrs.field(default=100, validator=_COUNT)
    """Random subsets of both sets that it is the mean of."""
    subset_size: int = attrs.field(default=1000, validator=[attrs.validators.instance_of(int), attrs.validators.ge(2)])
    """Of each; at most half of the images, so that subsets differ."""

    def between(
        self, network: FeatureNetwork, real: Tensor, made: Tensor, seed: int, protocol: dict[str, object]
    ) -> list[Figure]:
        """``kernel-distance``; unbiased, so slightly below 0 where there is no difference."""
        size = min(self.subset_size, len(real) // 2)
        generator = Streams(seed, torch.device("cpu")).at("kernel-distance", "subsets")
        value, error = kernel_distance(
            network.gain * real, network.gain * made, subsets=self.subsets, size=size, generator=generator
        )
        more = {"standard_error": error, "subsets": self.subsets, "subset_size": size}
        return [Figure(name="kernel-distance", value=value, protocol=protocol | more)]


@attrs.frozen(kw_only=True)
class Manifold(_OfFeatures):
    """Precision, recall, density and coverage: which samples lie among held-out images, and the reverse."""

    figures: ClassVar[tuple[str, ...]] = ("precision", "recall", "density", "coverage")
    least: ClassVar[int] = LEAST

    def between(
        self, network: FeatureNetwork, real: Tensor, made: Tensor, seed: int, protocol: dict[str, object]
    ) -> list[Figure]:
        """``precision`` and ``recall`` with k = 3, ``density`` and ``coverage`` with k = 5."""
        found = cover(real, made)
        return [
            Figure(
                name=name, value=getattr(found, name),
                protocol={**protocol, "k": NEAREST if name in ("precision", "recall") else NEAREST_DENSITY},
            )
            for name in self.figures
        ]  # fmt: skip
