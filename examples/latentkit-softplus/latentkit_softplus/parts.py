"""Softplus of sharpness beta, ``log(1 + exp(beta s)) / beta``: a critic made of it, and a GAN loss.

With beta = 1 it is the function of Dugas et al. 2001, Incorporating second-order functional knowledge for better option
pricing, NIPS 13. Its derivative is ``sigmoid(beta s)``, its limit for large beta is ``relu(s)``.
"""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

import attrs
import latentkit as lk
import torch.nn.functional as F
from attrs.validators import ge, gt
from latentkit.components.sizes import known_sizes
from latentkit.functions import Scalar
from torch import Tensor, nn


@lk.loss("of: score -> score")
def scaled_softplus(of: Tensor, beta: Scalar = 1.0) -> Tensor:
    """Softplus of a score, of adjustable sharpness: ``log(1 + exp(beta of)) / beta``.

    ``of``: b, unbounded; ``beta``: above 0, per unit of score; returns b. With beta = 1, ``-real`` plus ``fake`` is the
    logistic objective of a discriminator, and ``-fake`` that of a generator (Goodfellow et al. 2014, eq. 1 and
    section 3). With larger beta, samples on the right side of 0 count less and less.
    """
    return F.softplus(beta * of, threshold=40.0) / beta  # from there on the identity, to float64's precision


@attrs.frozen(kw_only=True)
class SmoothDiscriminator(lk.Discriminator):
    """Perceptron from image to score with softplus activations.

    It has no corners, so that a penalty on its gradient (R1, Mescheder et al. 2018) moves the hidden layers' biases
    too. Of a perceptron with ReLU it does not: there the gradient is constant in pieces.
    """

    ports: ClassVar[str] = "x: image[channels, height, width] in range -> score"
    independent: ClassVar[bool] = True
    channels: int | None = None
    height: int | None = None
    width: int | None = None
    hidden: int = attrs.field(default=256, validator=ge(1))
    layers: int = attrs.field(default=3, validator=ge(2))
    beta: float = attrs.field(default=4.0, validator=gt(0.0))
    """Sharpness of the activations."""

    def build(self) -> nn.Module:
        """``x: b channels height width -> score: b``, unbounded."""
        channels, height, width = known_sizes(self, "channels", "height", "width")
        widths = [channels * height * width, *[self.hidden] * (self.layers - 1)]
        layers: list[nn.Module] = [nn.Flatten()]
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.Softplus(self.beta)]
        return nn.Sequential(*layers, nn.Linear(self.hidden, 1), nn.Flatten(0))
