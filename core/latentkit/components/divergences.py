"""Kullback-Leibler divergences of diagonal Gaussians, closed form, in nats.

The sum runs over coordinates and the mean over the batch, as the variational bound has it. Code that averages over
coordinates too has a weight that is smaller by their number.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import reduce
from torch import Tensor

from latentkit.components.posteriors import Posterior
from latentkit.functions import Scalar, loss


@loss("of: posterior[dim] -> score", role="divergence", unit="nats", reduction="sum")
def kl(of: Posterior) -> Tensor:
    """KL divergence from a diagonal Gaussian to N(0, I) (Kingma and Welling 2014, appendix B).

    ``1/2 sum_n (mu^2 + exp(logvar) - 1 - logvar)``. https://arxiv.org/abs/1312.6114

    Args:
        of: the posterior, ``b n`` in each field.

    Returns:
        ``b``, nats per sample, summed over coordinates; at least 0.
    """
    return reduce(_to_standard(of), "b n -> b", "sum")


@loss("of: posterior[dim], to: posterior[dim] -> score", role="divergence", unit="nats", reduction="sum")
def kl_two(of: Posterior, to: Posterior) -> Tensor:
    """KL divergence between two diagonal Gaussians, KL(of || to).

    ``1/2 sum_n [logvar2 - logvar1 + (exp(logvar1) + (mu1 - mu2)^2) / exp(logvar2) - 1]``.

    Args:
        of: the first, ``b n`` in each field; expectations are taken under it.
        to: the second, ``b n`` in each field.

    Returns:
        ``b``, nats per sample, summed over coordinates; at least 0.
    """
    ratio = of.logvar - to.logvar
    shift = (of.mu - to.mu).square() * (-to.logvar).exp()
    return 0.5 * reduce(shift + torch.expm1(ratio) - ratio, "b n -> b", "sum")


@loss("of: posterior[dim] -> scalar", role="divergence", unit="nats", reduction="sum")
def kl_free_bits(of: Posterior, nats: Scalar) -> Tensor:
    """KL divergence to N(0, I) with free bits: below ``nats`` a coordinate costs no more (Kingma et al. 2016).

    ``sum_n max(nats, mean_b KL_bn)``: the mean over the batch comes before the maximum, and each coordinate is a
    group of its own. Below the threshold the gradient is 0. https://arxiv.org/abs/1606.04934

    Args:
        of: the posterior, ``b n`` in each field.
        nats: the threshold per coordinate; one bit is 0.693 nats.

    Returns:
        One number, nats per sample, at least ``nats`` times n.
    """
    per_coordinate = reduce(_to_standard(of), "b n -> n", "mean")
    return (F.relu(per_coordinate - nats) + nats).sum()


@loss("of: posterior[dim] -> scalar", role="divergence", unit="nats", reduction="sum")
def kl_capacity(of: Posterior, capacity: Scalar) -> Tensor:
    """Distance of the KL divergence to N(0, I) from a capacity (Burgess et al. 2018).

    ``|mean_b KL_b - capacity|``, the mean inside; the weight is their gamma, and the capacity usually a schedule
    from 0. https://arxiv.org/abs/1804.03599

    Args:
        of: the posterior, ``b n`` in each field.
        capacity: nats per sample, summed over coordinates.

    Returns:
        One number, in nats, at least 0.
    """
    return (kl(of).mean() - capacity).abs()


def _to_standard(q: Posterior) -> Tensor:
    """``b n -> b n``; near N(0, 1) the two large terms cancel inside expm1, not in the sum."""
    return 0.5 * (q.mu.square() + torch.expm1(q.logvar) - q.logvar)
