"""AGE, Ulyanov et al. 2018, https://arxiv.org/abs/1704.02304: codes and draws lie on the unit sphere."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from latentkit.functions import stateless


@stateless("mapping", "h: latent[n] -> z: latent[n]")
def sphere(h: Tensor) -> Tensor:
    """A code divided by its length, ``b n -> b n`` on the unit sphere."""
    return F.normalize(h, dim=1)
