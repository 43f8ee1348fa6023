"""Distances between two batches as samples of two distributions, one number; for encoders without densities."""

from __future__ import annotations

from collections import abc
from typing import Any, ClassVar, Literal

import attrs
import torch.nn.functional as F
from attrs.validators import gt, in_
from einops import rearrange, reduce
from torch import Tensor, nn

from latentkit._apply import Apply
from latentkit.errors import Mismatch
from latentkit.functions import loss
from latentkit.interfaces import Loss
from latentkit.interfaces.parts import Role, Unit

Kernel = Literal["imq", "rbf"]


def _above_0(_: object, field: attrs.Attribute[tuple[float, ...]], value: tuple[float, ...]) -> None:
    if min(value, default=0.0) <= 0:
        raise ValueError(f"'{field.name}' wants one number above 0, or several, found {list(value)}")


def mmd(
    of: Tensor, to: Tensor, kernel: Kernel = "imq", bandwidth: float = 1.0, scales: abc.Sequence[float] = (1.0,),
    biased: bool = False,
) -> Tensor:  # fmt: skip
    """The squared maximum mean discrepancy of two samples; see :class:`Mmd` for the options.

    Args:
        of: ``m n``.
        to: ``k n``.
        kernel: ``imq`` or ``rbf``.
        bandwidth: sigma.
        scales: one kernel each; their sum is the kernel.
        biased: keep the pairs of a sample with itself.

    Raises:
        Mismatch: not ``biased``, and a batch has one sample only.
    """
    if not biased and min(len(of), len(to)) < 2:
        raise Mismatch("mmd: a batch of one sample has no pairs; make it larger, or set biased = true")
    width = 2 * of.shape[1] * bandwidth**2

    def similarity(a: Tensor, b: Tensor) -> Tensor:
        squares = (rearrange(a, "m n -> m 1 n") - b).square().sum(-1)  # m k
        if kernel == "rbf":
            kernels = [(squares / (-scale * width)).exp() for scale in scales]
        else:
            kernels = [scale * width / (scale * width + squares) for scale in scales]
        return sum(kernels[1:], start=kernels[0])

    def within(a: Tensor) -> Tensor:
        count, own = len(a), similarity(a, a)
        return own.mean() if biased else (own.sum() - own.diagonal().sum()) / (count * (count - 1))

    return within(of) + within(to) - 2 * similarity(of, to).mean()


@attrs.frozen(kw_only=True)
class Mmd(Loss):
    """Squared maximum mean discrepancy between two batches of codes (Gretton et al. 2012; Tolstikhin et al. 2018).

    ``mean k(a, a') + mean k(b, b') - 2 mean k(a, b)``, without unit. The kernel is a sum over ``scales`` s of
    ``C / (C + |a - b|^2)`` (imq) or ``exp(-|a - b|^2 / C)`` (rbf), with C = s 2 n sigma^2 for n coordinates. The mean
    over a and b is over all pairs. https://arxiv.org/abs/1711.01558
    """

    ports: ClassVar[str] = "of: latent[dim], to: latent[dim] -> scalar"
    role: ClassVar[Role | None] = "discrepancy"
    kernel: Kernel = attrs.field(default="imq", validator=in_(("imq", "rbf")))
    """``imq``, the inverse multiquadric, whose tails reach far codes, or ``rbf``, the Gaussian."""
    bandwidth: float = attrs.field(default=1.0, validator=gt(0))
    """Sigma: of the prior, as 2 n sigma^2 is the mean squared distance of two of its samples."""
    scales: tuple[float, ...] = attrs.field(default=(1.0,), validator=_above_0)
    """One kernel each. Released code for images takes 0.1, 0.2, 0.5, 1, 2, 5, 10 with imq."""
    biased: bool = False
    """Keep the pairs of a sample with itself: at least 0, and above it for equal distributions. Without them the mean
    over all batches is right, and single values may be negative."""

    def build(self) -> nn.Module:
        """``of: m n, to: k n -> `` one number; see :func:`mmd`."""
        return Apply(mmd, ("of", "to"), attrs.asdict(self))


def _unit(part: Any) -> Unit:
    return "absolute" if part.p == 1 else "squared" if part.p == 2 else ""


@loss("of: latent[dim], to: latent[dim], projections: latent[dim] -> scalar", role="discrepancy", unit=_unit)
def sliced_wasserstein(of: Tensor, to: Tensor, projections: Tensor, p: int = 2) -> Tensor:
    """Sliced Wasserstein distance between two batches of codes, to the power p (Kolouri et al. 2018).

    ``mean_k mean_i |sort(of theta_k)_i - sort(to theta_k)_i|^p`` over directions theta and sorted samples: W_p^p of
    the projections, averaged over directions. https://arxiv.org/abs/1804.01947

    Args:
        of: ``b n``.
        to: ``b n``, as many, say samples of the prior.
        projections: directions as rows, ``k n``, of any length; a draw of `sphere`, one per sample of the batch.
        p: 2 for squared W2, 1 for W1.

    Returns:
        One number, at least 0, in the unit of the codes to the power p.

    Raises:
        Mismatch: the batches differ in size, or p is below 1.
    """
    if len(of) != len(to):
        raise Mismatch(f"sliced-wasserstein: wants batches of one size, was given {len(of)} and {len(to)} samples")
    if p < 1:
        raise Mismatch(f"sliced-wasserstein: p must be at least 1, found {p}")
    directions = F.normalize(projections, dim=1)
    left, right = (_projected(codes, directions).sort().values for codes in (of, to))  # k b
    return (left - right).abs().pow(p).mean()


def _projected(codes: Tensor, directions: Tensor) -> Tensor:
    """``b n, k n -> k b``; no matrix product, which autocast would take in bfloat16."""
    products = rearrange(codes, "b n -> 1 b n") * rearrange(directions, "k n -> k 1 n")
    return reduce(products, "k b n -> k b", "sum")
