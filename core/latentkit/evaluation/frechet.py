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

from latentkit.engine.batches import Samples
from latentkit.evaluation.classifier import classifier_of
from latentkit.evaluation.code_prior import KINDS
from latentkit.evaluation.expost import COMPONENTS, fit_prior, lacks_prior
from latentkit.evaluation.subjects import data_needed, finite, labels, lacks_held_out, lacks_labels
from latentkit.interfaces import Figure, Metric
from latentkit.model import Model

CONFIDENT = 0.9
_LEAST = 2


@attrs.frozen(kw_only=True)
class ClassifierFrechet(Metric):
    """Fréchet distance of samples to held-out images on a small classifier's features, and what it takes them for."""

    slow: ClassVar[bool] = True

    prior: str | None = attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.in_(KINDS)))
    """Decode codes of an ex-post prior of this kind, in place of the recipe's samples."""
    components: int = attrs.field(
        default=COMPONENTS, validator=[attrs.validators.instance_of(int), attrs.validators.ge(1)]
    )
    """Of that prior."""

    def applies(self, model: Model, samples: Samples | None) -> str:
        """Needs samples, and held-out images with labels."""
        reason = lacks_prior(model) if self.prior else _lacks_samples(model, samples)
        reason = reason or lacks_held_out(samples)
        if reason or samples is None:
            return reason
        few = f"{len(samples.held_out)} image is held out, a distance needs {_LEAST} or more"
        return lacks_labels(samples) or (few if len(samples.held_out) < _LEAST else "")

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
        made = as_pictures(self._made(model, samples, len(chosen), seed), samples.spec.range)
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

    def _made(self, model: Model, samples: Samples, count: int, seed: int) -> Tensor:
        if self.prior:
            codes = fit_prior(model, self.prior, components=self.components).sample(count, seed)
            images = model.decode(codes)
        else:
            needed = data_needed([model.wiring.inference["sample"]])
            given = {value: samples.field(value, samples.held_out[:count], model.dtype) for value in needed}
            images = model.role("sample", count, seed=seed, **given)
        return finite(images, "the role 'decode'" if self.prior else "the role 'sample'").float().cpu()


def _lacks_samples(model: Model, samples: Samples | None) -> str:
    role = model.wiring.inference.get("sample")
    if role is None:
        return "the recipe has no role 'sample'; a fitted prior can stand in for it: --prior gmm"
    # The classes of the held-out images may be given, but nothing else of them.
    classes = set() if samples is None else {v for v, field in samples.spec.gives.items() if field == "label"}
    others = data_needed([role]) - classes
    return f"the role 'sample' needs {', '.join(sorted(others))}" if others else ""


def as_pictures(images: Tensor, span: tuple[float, float]) -> Tensor:
    """Images as a file has them: from a value range to [0, 1], clipped, in steps of 1 / 255."""
    low, high = span
    return ((images - low) / (high - low)).clamp(0, 1).mul(255).round() / 255


def frechet(a: Tensor, b: Tensor) -> float:
    """Squared Fréchet distance of two Gaussians with the moments of these rows, float64 [n, d] and [m, d]; 0 or more.

    ``|mean_a - mean_b|^2 + tr(A + B - 2 (A^1/2 B A^1/2)^1/2)`` with covariances A, B (divided by n - 1).
    """
    first, second = torch.cov(a.T).reshape(a.shape[1], -1), torch.cov(b.T).reshape(b.shape[1], -1)
    values, vectors = torch.linalg.eigh(first)
    root = vectors @ (values.clamp(min=0).sqrt()[:, None] * vectors.T)
    cross = torch.linalg.eigvalsh(root @ second @ root).clamp(min=0).sqrt().sum()
    distance = (a.mean(0) - b.mean(0)).square().sum() + first.trace() + second.trace() - 2 * cross
    return max(float(distance), 0.0)


def _confident(probabilities: Tensor) -> float:
    return 100 * float((probabilities.amax(1) > CONFIDENT).double().mean())


def _entropy(probabilities: Tensor) -> float:
    """Of the classes that samples are taken for, in nats: log of their number where all are equally frequent."""
    counts = torch.bincount(probabilities.argmax(1), minlength=probabilities.shape[1])
    shares = counts.double() / counts.sum()
    return float(-torch.special.xlogy(shares, shares).sum())
