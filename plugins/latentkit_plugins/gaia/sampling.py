"""GAIA, Sainburg et al. 2018, https://arxiv.org/abs/1807.06650: codes between those of many samples.

The paper interpolates in pairs, which is an expression in the recipe. Its first author later mixed whole batches,
with weights that sum to 1, of which the largest is three quarters on average.
"""

from __future__ import annotations

import attrs
import torch
from attrs.validators import ge, gt, optional
from torch import Tensor

from latentkit.errors import Mismatch
from latentkit.functions import stateless
from latentkit.interfaces import Prior
from latentkit.spaces import Space


@attrs.frozen(kw_only=True)
class Dirichlet(Prior):
    """Numbers from 0 to 1 whose sum is 1, of a symmetric Dirichlet distribution."""

    dim: int | None = attrs.field(default=None, validator=optional(ge(1)))
    concentration: float | None = attrs.field(default=None, validator=optional(gt(0)))
    """1: uniform; below, few numbers have nearly all of the sum. By default 1 / (2 dim), that of `dim` numbers drawn
    from chi-square with 1 / dim degrees of freedom and divided by their sum."""

    def space(self) -> Space | None:
        """``latent[dim]`` where ``dim`` is stated."""
        return None if self.dim is None else Space("latent", (self.dim,))

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Rows of ``shape`` that sum to 1 along the last axis.

        Raises:
            Mismatch: a number per sample is wanted, not several.
        """
        if len(shape) < 2:
            raise Mismatch("gaia.dirichlet: draws several numbers per sample; state 'dim'")
        concentration = self.concentration or 1 / (2 * shape[-1])
        # A gamma variate of small shape a is often too small for any float. Its logarithm is that of one of shape
        # a + 1, plus log(u) / a with u uniform.
        larger = torch.full(shape, concentration + 1, device=generator.device)
        u = 1 - torch.rand(shape, generator=generator, device=generator.device)
        logs = torch._standard_gamma(larger, generator=generator).log() + u.log() / concentration
        return logs.softmax(-1)


@stateless("function", "of: latent[n], weights: latent[k] -> z: latent[n]", independent=False)
def convex(of: Tensor, weights: Tensor) -> Tensor:
    """Weighted sums of the batch's samples: ``z_i = sum_k weights_ik of_(i + k)``, indices counted round the batch.

    With as many weights as samples each meets all others, with fewer only those that follow it, with more some twice.

    Args:
        of: codes, ``b n``.
        weights: ``b k``, of sum 1 for codes between those that are mixed.

    Returns:
        ``b n``.
    """
    b, k = weights.shape
    numbers = torch.arange(max(b, k), device=of.device)
    return (weights[..., None] * of[(numbers[:b, None] + numbers[:k]) % b]).sum(1)
