"""Whether what lies between two images in latent space is still an image of some class, as a classifier sees it.

Evenly spaced codes on straight lines, ends included, as Sainburg, Thielk, Theilman, Migliori, Gentner 2018,
https://arxiv.org/abs/1807.06650, show them; there they are looked at, and not measured.
"""

from __future__ import annotations

from typing import ClassVar

import attrs
import torch
from torch import Tensor

from latentkit.engine.samples import Samples
from latentkit.engine.streams import Streams
from latentkit.evaluation.classifier import Classifier
from latentkit.evaluation.network_choice import classifier_network
from latentkit.evaluation.protocols import of_images, of_network
from latentkit.evaluation.straight_lines import PAIRS, between, codes_of, lacks_lines, partners
from latentkit.evaluation.subjects import labels
from latentkit.interfaces import Figure, Metric
from latentkit.model import Model

POINTS = 10
"""On a line, ends included."""
_CHUNK = 100


@attrs.frozen(kw_only=True)
class Interpolation(Metric):
    """Confidence of a classifier of the data along straight lines between codes of held-out images of two classes."""

    slow: ClassVar[bool] = True
    figures: ClassVar[tuple[str, ...]] = ("path-confidence", "path-confidence-least")

    def applies(self, model: Model, samples: Samples | None) -> str:
        """Needs ``encode`` and ``decode``, and held-out images with labels."""
        return lacks_lines(model, samples)

    def measure(self, model: Model, samples: Samples | None, *, n: int, seed: int) -> list[Figure]:
        """Highest class probability in percent, over one line from each of the first ``n`` held-out images.

        ``path-confidence`` is the mean over all inner points, ``path-confidence-least`` the mean over lines of the
        least of them. ``ends`` in the protocols is the same of what the codes of the images themselves decode to: the
        mean over both ends, and the mean over lines of the lesser one; ``held_out_images`` that of the images.

        Raises:
            LatentkitError: these images are all of one class.
            NotFiniteError: a code or an image is not finite.
        """
        assert samples is not None
        chosen, network = samples.held_out[:n], classifier_network(samples)
        generator = Streams(seed, torch.device("cpu")).at("interpolation", "pairs")
        other = partners(labels(samples, chosen), generator)
        codes = codes_of(model, samples, chosen)
        sure = along(model, network.classifier, codes, codes[other], samples.spec.range)
        real = confidence(network.classifier, torch.from_numpy(samples.table.fields["image"][chosen]).float() / 255)
        inner, ends, originals = sure[:, 1:-1], sure[:, [0, -1]], torch.stack([real, real[other]], 1)
        protocol: dict[str, object] = {
            "unit": "%", **of_network(network), **of_images(samples, chosen), "seed": seed,
            "quantisation": "round", "pairs": PAIRS, "path": "straight", "points": POINTS,
        }  # fmt: skip
        return [
            Figure(
                name="path-confidence", value=_percent(inner),
                protocol={**protocol, "ends": _percent(ends), "held_out_images": _percent(originals)},
            ),
            Figure(
                name="path-confidence-least", value=_percent(inner.amin(1)),
                protocol={
                    **protocol, "ends": _percent(ends.amin(1)), "held_out_images": _percent(originals.amin(1))
                },
            ),
        ]  # fmt: skip


def along(model: Model, classifier: Classifier, a: Tensor, b: Tensor, span: tuple[float, float]) -> Tensor:
    """Confidence at each point of the lines between these codes, float64 [n, points]."""
    alphas = [point / (POINTS - 1) for point in range(POINTS)]
    found = []
    for first, second in zip(torch.split(a, _CHUNK), torch.split(b, _CHUNK), strict=True):
        pictures = between(model, first, second, alphas, span)
        found.append(confidence(classifier, pictures.flatten(0, 1)).reshape(-1, POINTS))
    return torch.cat(found)


def confidence(classifier: Classifier, pictures: Tensor) -> Tensor:
    """Highest class probability, n c h w to float64 n."""
    return classifier(pictures)[1].amax(1)


def _percent(shares: Tensor) -> float:
    return 100 * float(shares.mean())
