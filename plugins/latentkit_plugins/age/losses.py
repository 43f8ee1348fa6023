"""AGE, Ulyanov et al. 2018, https://arxiv.org/abs/1704.02304: an encoder's batch of codes as a fitted Gaussian.

The released code puts the variance where the formula of the divergence has the deviation. Both have their only
minimum, 0, at mean 0 and variance 1, but not the same value and gradient elsewhere. ``released = true`` is the code,
the default is the formula.
"""

from __future__ import annotations

import torch
from torch import Tensor

from latentkit.functions import loss


@loss("of: latent[n] -> scalar", role="divergence", unit="nats", reduction=lambda part: "mean" if part.mean else "sum")
def kl_moments(of: Tensor, released: bool = False, reverse: bool = False, mean: bool = True) -> Tensor:
    """KL divergence from a diagonal Gaussian, fitted to a batch of codes, to N(0, I).

    With the batch's mean m and variance v (divisor b): ``1/2 (v + m^2 - 1 - ln v)`` per coordinate. Infinite where a
    coordinate is the same in all codes, and so for a batch of one.

    Args:
        of: the codes, ``b n``.
        released: as the released code: ``1/2 (v^2 + m^2) - 1/2 - ln v``.
        reverse: from N(0, I) to the fitted Gaussian: ``1/2 ((1 + m^2) / v - 1 + ln v)``, and released
            ``1/2 (1 + m^2) / v^2 - 1/2 + ln v``.
        mean: averaged over coordinates, as the paper's weights suppose; else summed.

    Returns:
        One number, at least 0; nats per coordinate, or with ``mean`` off, nats.
    """
    variance, m = torch.var_mean(of, 0, correction=0)
    if released:
        variance = variance.square()  # what the code takes for the variance
    square, log = m.square(), variance.log()
    each = (1 + square) / variance - 1 + log if reverse else variance + square - 1 - log
    return 0.5 * (each.mean() if mean else each.sum())
