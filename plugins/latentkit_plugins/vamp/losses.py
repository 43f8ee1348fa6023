"""VampPrior, Tomczak and Welling 2018, https://arxiv.org/abs/1705.07120: a prior that is a mixture of posteriors.

The released code leaves -n/2 ln(2 pi) out of both log-densities. It cancels in the divergence and is missing in log
p(z) alone; here it is there.
"""

from __future__ import annotations

import math

from torch import Tensor

from latentkit.components.posteriors import Posterior, log_density
from latentkit.functions import loss, stateless


# Of the components, which are a batch of their own, every one counts for every sample.
@loss(
    "of: posterior[dim], at: latent[dim], components: posterior[dim], weight_logits?: score -> score",
    independent=False, role="divergence", unit="nats", reduction="sum",
)  # fmt: skip
def kl(of: Posterior, at: Tensor, components: Posterior, weight_logits: Tensor | None = None) -> Tensor:
    """One sample's estimate of the KL divergence from a posterior to a mixture of Gaussians.

    ``ln q(z|x) - ln p(z)`` with z a sample of q. Its mean over samples is the divergence; single values may be
    negative.

    Args:
        of: the posterior q(z|x), ``b n`` in each field.
        at: the sample z, ``b n``.
        components: the mixture, ``k n`` in each field: the posteriors of the pseudo-inputs, ``E(U())``.
        weight_logits: ``k``, logits of the components' weights, say a learnable tensor; equal weights by default.

    Returns:
        ``b``, nats per sample, summed over coordinates.
    """
    return log_density(of, at) - mixture_log_density(at, components, weight_logits)


@stateless("function", "z: latent[dim], components: posterior[dim], weight_logits?: score -> score", independent=False)
def log_prob(z: Tensor, components: Posterior, weight_logits: Tensor | None = None) -> Tensor:
    """Log-density of a mixture of Gaussians, as estimates of the likelihood want it.

    Args:
        z: ``b n``.
        components: ``k n`` in each field.
        weight_logits: ``k``, logits of the components' weights; equal weights by default.

    Returns:
        ``b``, in nats, with the constants.
    """
    return mixture_log_density(z, components, weight_logits)


def mixture_log_density(z: Tensor, components: Posterior, weight_logits: Tensor | None = None) -> Tensor:
    """``ln sum_k w_k N(z; mu_k, exp(logvar_k))``, ``b n -> b``; see :func:`log_prob`."""
    return joint_log_density(z, components, weight_logits).logsumexp(1)


def joint_log_density(z: Tensor, components: Posterior, weight_logits: Tensor | None = None) -> Tensor:
    """``ln w_k + ln N(z; mu_k, exp(logvar_k))``, ``b n -> b k``; its softmax over k are the responsibilities."""
    each = log_density(components, z[:, None])  # b k
    if weight_logits is None:
        return each - math.log(each.shape[1])
    return each + weight_logits.log_softmax(0)
