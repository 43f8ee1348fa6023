"""Fréchet distance of samples and held-out images in the features of a small classifier of the same data.

The distance is that of Heusel, Ramsauer, Unterthiner, Nessler, Hochreiter 2017, https://arxiv.org/abs/1706.08500,
eq. 6, but for the network: not Inception, trained on ImageNet, but a classifier of the run's own images
(:mod:`latentkit.evaluation.classifier`). So it is no FID, and its numbers compare with each other only, for models of
the same data, resolution, split and number of images. They are scaled by the total variance of the features of the
training images: 1 is the distance of a model that makes one image again and again, with the features of the mean.
"""

from __future__ import annotations

import math
from typing import ClassVar

import attrs
import torch
from torch import Tensor

from latentkit.engine.samples import Samples
from latentkit.evaluation.classifier import classifier_of
from latentkit.evaluation.code_prior import KINDS
from latentkit.evaluation.distances import frechet
from latentkit.evaluation.expost import COMPONENTS
from latentkit.evaluation.quantising import as_pictures
from latentkit.evaluation.sampled import lacks_sets, sampled
from latentkit.evaluation.subjects import labels, lacks_labels
from latentkit.interfaces import Figure, Metric
from latentkit.model import Model

CONFIDENT = 0.9
_LEAST = 2


@attrs.frozen(kw_only=True)
class ClassifierFrechet(Metric):
    """Fréchet distance of samples to held-out images on a small classifier's features, and what it takes them for."""

    slow: ClassVar[bool] = True
    figures: ClassVar[tuple[str, ...]] = (
        "classifier-frechet", "classifier-confident", "classifier-entropy", "classifier-accuracy"
    )  # fmt: skip

    prior: str | None = attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.in_(KINDS)))
    """Decode codes of an ex-post prior of this kind, in place of the recipe's samples."""
    components: int = attrs.field(
        default=COMPONENTS, validator=[attrs.validators.instance_of(int), attrs.validators.ge(1)]
    )
    """Of that prior."""

    def applies(self, model: Model, samples: Samples | None) -> str:
        """Needs samples, and held-out images with labels."""
        reason = lacks_sets(model, samples, self.prior, _LEAST)
        return reason if reason or samples is None else lacks_labels(samples)

    def measure(self, model: Model, samples: Samples | None, *, n: int, seed: int) -> list[Figure]:
        """As many samples as held-out images, ``n`` at most (and at least 2), clipped and rounded to 8 bits.

        Raises:
            NotFiniteError: a sample is not finite.
            LatentkitError: the prior cannot be fitted.
        """
        assert samples is not None
        chosen = samples.held_out[: max(n, _LEAST)]
        classifier = classifier_of(samples)
        real = torch.from_numpy(samples.table.fields["image"][chosen]).float() / 255
        made = as_pictures(sampled(model, samples, len(chosen), seed, self.prior, self.components), samples.spec.range)
        (x, p), (x_real, p_real) = classifier(made), classifier(real)
        right = classifier.classes[p_real.argmax(1).numpy()] == labels(samples, chosen)
        count, kinds = len(chosen), len(classifier.classes)
        train = samples.table.fields["image"][samples.training[:count]]
        floor = frechet(classifier(torch.from_numpy(train).float() / 255)[0], x_real)
        protocol: dict[str, object] = {
            "n": count, "seed": seed, "split": samples.spec.split, "trained_on": classifier.trained_on,
            "images": f"decoded from {self.prior}" if self.prior else "samples",
        }  # fmt: skip
        if self.prior:
            protocol["components"] = self.components
        distance, sure, spread = frechet(x, x_real), _confident(p), _entropy(p)
        return [
            Figure(name="classifier-frechet", value=distance, protocol={**protocol, "training_images": floor}),
            Figure(
                name="classifier-confident", value=sure,
                protocol={"unit": "%", "above": CONFIDENT, **protocol, "held_out_images": _confident(p_real)},
            ),
            Figure(
                name="classifier-entropy", value=spread,
                protocol={"unit": "nats", "most": math.log(kinds), **protocol, "held_out_images": _entropy(p_real)},
            ),
            Figure(
                name="classifier-accuracy", value=100 * float(right.mean()),
                protocol={"unit": "%", **protocol, "images": "held out"},
            ),
        ]  # fmt: skip


def _confident(probabilities: Tensor) -> float:
    return 100 * float((probabilities.amax(1) > CONFIDENT).double().mean())


def _entropy(probabilities: Tensor) -> float:
    """Of the classes that samples are taken for, in nats: log of their number where all are equally frequent."""
    counts = torch.bincount(probabilities.argmax(1), minlength=probabilities.shape[1])
    shares = counts.double() / counts.sum()
    return float(-torch.special.xlogy(shares, shares).sum())
