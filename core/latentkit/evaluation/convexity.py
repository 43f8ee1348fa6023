"""Whether what lies half-way between two images in latent space passes for real: convexity of the codes of images.

The aim is that of Sainburg, Thielk, Theilman, Migliori, Gentner 2018, https://arxiv.org/abs/1807.06650, who have no
figure for it. This one is a two-sample test by a classifier, as of Lopez-Paz and Oquab 2017,
https://arxiv.org/abs/1610.06545, between images and midpoints.
"""

from __future__ import annotations

import warnings
from typing import ClassVar

import attrs
import numpy as np
import torch
from torch import Tensor

from latentkit._optional import of_sklearn
from latentkit.engine.samples import Samples
from latentkit.engine.streams import Streams
from latentkit.evaluation.network_choice import ClassifierNetwork, classifier_network
from latentkit.evaluation.protocols import of_images, of_network
from latentkit.evaluation.straight_lines import PAIRS, between, codes_of, lacks_lines, partners
from latentkit.evaluation.subjects import labels
from latentkit.interfaces import Figure, Metric
from latentkit.model import Model

C, MAX_ITER = 1.0, 1000
LEAST = 4
"""Images: two in either half."""
_CHUNK = 500
_KINDS = ("real", "midpoints", "reconstructions")


@attrs.frozen(kw_only=True)
class Convexity(Metric):
    """Share of decoded midpoints of two codes that a critic of other images and midpoints takes for real."""

    slow: ClassVar[bool] = True
    figures: ClassVar[tuple[str, ...]] = ("midpoint-real",)

    def applies(self, model: Model, samples: Samples | None) -> str:
        """Needs ``encode`` and ``decode``, and four held-out images or more, with labels."""
        reason = lacks_lines(model, samples)
        if reason or samples is None:
            return reason
        few = len(samples.held_out) < LEAST
        return f"{len(samples.held_out)} images are held out, a critic and its test need {LEAST} or more" if few else ""

    def measure(self, model: Model, samples: Samples | None, *, n: int, seed: int) -> list[Figure]:
        """``midpoint-real`` in percent: 50 where midpoints cannot be told from images, 0 where all of them can.

        The first ``n`` held-out images are halved at random. In either half each image is paired with one of another
        class. A logistic regression, on the features of the classifier of the data, learns to tell the images of one
        half from the midpoints of its pairs, as many; the figure is the share of the other half's midpoints that it
        takes for real, the mean over both ways. In the protocol are the shares of that half's images (``real``) and
        ``reconstructions`` that it takes for real, and its ``balanced_accuracy`` on images and midpoints.

        Raises:
            LatentkitError: the images of a half are all of one class; scikit-learn is not installed.
            NotFiniteError: a code or an image is not finite.
        """
        assert samples is not None
        chosen, network = samples.held_out[: max(n, LEAST)], classifier_network(samples)
        order = torch.randperm(len(chosen), generator=Streams(seed, torch.device("cpu")).at("convexity", "halves"))
        halves = [chosen[part.numpy()] for part in order.chunk(2)]
        known = [_features(model, samples, network, half, _pairs(samples, half, seed)) for half in halves]
        accepted, converged = [], []
        for own, other in (known, known[::-1]):
            shares, ended = judged(own["real"], own["midpoints"], [other[kind] for kind in _KINDS])
            accepted.append(shares)
            converged.append(ended)
        real, midpoints, reconstructions = 100 * np.mean(accepted, 0)
        protocol: dict[str, object] = {
            "unit": "%", **of_network(network), **of_images(samples, chosen), "seed": seed, "quantisation": "round",
            "pairs": PAIRS, "critic": "logistic regression", "C": C, "max_iter": MAX_ITER, "converged": all(converged),
            "real": float(real), "reconstructions": float(reconstructions),
            "balanced_accuracy": float((real + 100 - midpoints) / 2),
        }  # fmt: skip
        return [Figure(name="midpoint-real", value=float(midpoints), protocol=protocol)]


def judged(real: Tensor, made: Tensor, asked: list[Tensor]) -> tuple[list[float], bool]:
    """Shares of other sets that a logistic regression of two equally large ones takes for real; whether it converged.

    Args:
        real: features of images, float64 [n, d].
        made: of midpoints, likewise.
        asked: of others, [m, d] each.

    Raises:
        LatentkitError: scikit-learn is not installed.
    """
    who = "a critic needs"
    late = of_sklearn("sklearn.exceptions", who).ConvergenceWarning
    critic = of_sklearn("sklearn.linear_model", who).LogisticRegression(C=C, max_iter=MAX_ITER)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        critic.fit(torch.cat([real, made]).numpy(), np.repeat([1, 0], [len(real), len(made)]))
    shares = [float(np.mean(critic.predict(features.numpy()))) for features in asked]
    return shares, not any(issubclass(warning.category, late) for warning in caught)


def _pairs(samples: Samples, half: np.ndarray, seed: int) -> Tensor:
    generator = Streams(seed, torch.device("cpu")).at("convexity", "pairs")
    return partners(labels(samples, half), generator)


def _features(
    model: Model, samples: Samples, network: ClassifierNetwork, half: np.ndarray, other: Tensor
) -> dict[str, Tensor]:
    """Of the images, of the midpoints of their pairs, and of what their codes decode to; a variance near 1 each."""
    codes = codes_of(model, samples, half)
    found: dict[str, list[Tensor]] = {kind: [] for kind in _KINDS}
    for places in torch.split(torch.arange(len(half)), _CHUNK):
        real = torch.from_numpy(samples.table.fields["image"][half[places.numpy()]]).float() / 255
        made = between(model, codes[places], codes[other[places]], (0.0, 0.5), samples.spec.range)
        for kind, pictures in zip(_KINDS, (real, made[:, 1], made[:, 0]), strict=True):
            found[kind].append(network.gain * network.features(pictures))
    return {kind: torch.cat(parts) for kind, parts in found.items()}
