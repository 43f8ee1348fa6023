"""Adversarial objectives on unbounded scores (logits); a high score says real.

Every function takes scores of shape ``b`` and returns one number per sample, ``b``. A discriminator's
objective adds the terms of the i-th real and the i-th fake sample: its batch mean is the sum of the published
expectations.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from latentkit.functions import loss

APART = {"real": "up", "fake": "down"}
"""Where a discriminator's objective moves the scores."""
UP = {"fake": "up"}
"""Where a generator's objective moves them."""
_LINEAR_ABOVE = 40.0
"""Where softplus is the identity to float64 precision; torch's own 20 costs 2e-9 of the gradient."""


def _softplus(x: Tensor) -> Tensor:
    return F.softplus(x, threshold=_LINEAR_ABOVE)


@loss("real: score, fake: score -> score", unit="nats", pushes=APART)
def logistic_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Binary cross-entropy of a discriminator (Goodfellow et al. 2014, eq. 1).

    ``softplus(-real) + softplus(fake)``, both of shape ``b``; returns ``b``, in nats, at least 0.
    """
    return _softplus(-real) + _softplus(fake)


@loss("fake: score -> score", unit="nats", pushes=UP)
def logistic_generator(fake: Tensor) -> Tensor:
    """Non-saturating objective of a generator (Goodfellow et al. 2014, section 3).

    ``softplus(-fake)``, shape ``b``; returns ``b``, in nats, at least 0.
    """
    return _softplus(-fake)


@loss("fake: score -> score", unit="nats", pushes=UP)
def saturating_generator(fake: Tensor) -> Tensor:
    """Minimax objective of a generator, which saturates (Goodfellow et al. 2014, eq. 1).

    ``-softplus(fake)``, shape ``b``; returns ``b``, in nats, at most 0. Its gradient vanishes where the discriminator
    is sure of a fake.
    """
    return -_softplus(fake)


@loss("real: score, fake: score -> score", pushes=APART)
def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Hinge objective of a discriminator (Lim and Ye 2017, https://arxiv.org/abs/1705.02894).

    ``relu(1 - real) + relu(1 + fake)``, both of shape ``b``; returns ``b``, at least 0.
    """
    return F.relu(1 - real) + F.relu(1 + fake)


@loss("fake: score -> score", pushes=UP)
def hinge_generator(fake: Tensor) -> Tensor:
    """Generator's side of the hinge objective, the negated score (Lim and Ye 2017).

    ``-fake``, shape ``b``; returns ``b``.
    """
    return -fake


@loss("real: score, fake: score -> score", pushes=APART)
def wasserstein_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Critic's side of the Wasserstein distance (Arjovsky et al. 2017, eq. 2, negated).

    ``fake - real``, both of shape ``b``; returns ``b``, of either sign, in the unit of the scores. Minus its mean
    estimates the distance, up to the critic's Lipschitz constant.
    """
    return fake - real


@loss("fake: score -> score", pushes=UP)
def wasserstein_generator(fake: Tensor) -> Tensor:
    """Generator's side of the Wasserstein distance (Arjovsky et al. 2017).

    ``-fake``, shape ``b``; returns ``b``.
    """
    return -fake


@loss("real: score, fake: score -> score", pushes={"real": "real_target", "fake": "fake_target"})
def least_squares_discriminator(
    real: Tensor, fake: Tensor, real_target: float = 1.0, fake_target: float = 0.0
) -> Tensor:
    """Least-squares objective of a discriminator (Mao et al. 2017, eq. 2; https://arxiv.org/abs/1611.04076).

    ``(real - real_target)^2 / 2 + (fake - fake_target)^2 / 2``, both of shape ``b``; returns ``b``, at least 0. The
    paper's other coding, which minimises Pearson's chi^2, has 1 and -1, and 0 for the generator.
    """
    return 0.5 * (real - real_target).square() + 0.5 * (fake - fake_target).square()


@loss("fake: score -> score", pushes={"fake": "target"})
def least_squares_generator(fake: Tensor, target: float = 1.0) -> Tensor:
    """Least-squares objective of a generator (Mao et al. 2017, eq. 2).

    ``(fake - target)^2 / 2``, shape ``b``; returns ``b``, at least 0. ``target`` is 1 with targets 1 and 0 of the
    discriminator, and 0 with 1 and -1.
    """
    return 0.5 * (fake - target).square()


@loss("of: score -> score")
def drift(of: Tensor) -> Tensor:
    """Squared score, which keeps a critic from drifting (Karras et al. 2018, appendix A.1, weight 0.001).

    ``of^2``, shape ``b``; returns ``b``, at least 0. Published on real samples only.
    """
    return of.square()
