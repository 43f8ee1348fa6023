"""Negative log-likelihoods in nats: of images summed over pixels, one number per image."""

from __future__ import annotations

import math
from typing import Any, ClassVar, cast

import attrs
import torch
import torch.nn.functional as F
from einops import reduce
from torch import Tensor, nn

from latentkit._apply import Apply
from latentkit.errors import Mismatch
from latentkit.functions import Scalar, loss
from latentkit.interfaces import Loss
from latentkit.interfaces.parts import Likelihood, Reduction, Role, Unit

_LEAST_VARIANCE = 1e-30
"""Of a Bernoulli variable that has a gradient: the inverse times a weight is still a float32 number."""


@loss("of: T, to: T -> score", likelihood="density", unit="nats", reduction="sum")
def gaussian_nll(of: Tensor, to: Tensor, std: Scalar = 1.0) -> Tensor:
    """Negative log-likelihood of a Gaussian with one deviation for all features (Kingma and Welling 2014).

    ``|to - of|^2 / (2 std^2) + D/2 ln(2 pi std^2)`` with D features, https://arxiv.org/abs/1312.6114. With ``std`` 1
    its gradient is that of half of `sse`. A density: values of fewer than 0 nats are possible.

    Args:
        of: the mean, ``b ...``.
        to: what is observed, of the same shape.
        std: the deviation, above 0; a number, a schedule, or an expression that may be learned.

    Returns:
        ``b``, nats per image, summed over features.

    Raises:
        Mismatch: ``std`` is a number that is not above 0.
    """
    if not isinstance(std, Tensor) and std <= 0:
        raise Mismatch(f"gaussian-nll: std must be above 0, found {std:g}")
    log_std = std.log() if isinstance(std, Tensor) else math.log(std)
    squares = reduce(((of - to) / std).square(), "b ... -> b", "sum")
    return 0.5 * squares + of[0].numel() * (log_std + 0.5 * math.log(2 * math.pi))


def bernoulli_nll(of: Tensor, to: Tensor, logits: bool = True) -> Tensor:
    """``-sum [to ln p + (1 - to) ln(1 - p)]``, the binary cross-entropy, ``b ..., b ... -> b`` in nats.

    Args:
        of: logits ``ln(p / (1 - p))``; with ``logits`` off the probabilities p, whose logarithms end at that of the
            smallest normal number.
        to: what is observed, in [0, 1].
        logits: what ``of`` is.
    """
    if logits:
        each = F.binary_cross_entropy_with_logits(of, to, reduction="none")
    else:
        each = cast("Tensor", _CrossEntropy.apply(of, to))  # type: ignore[no-untyped-call]
    return reduce(each, "b ... -> b", "sum")


class _CrossEntropy(torch.autograd.Function):
    """Binary cross-entropy of probabilities, elementwise, ``p, t -> loss`` of one shape.

    By its closed gradient, which costs half of what automatic differentiation of the logarithms does. torch's own is
    slower still, refuses to run under autocast, and stops a program at probabilities that are not numbers.
    """

    @staticmethod
    def forward(ctx: Any, p: Tensor, t: Tensor) -> Tensor:  # with setup_context, apply would inspect this every time
        ctx.save_for_backward(p, t)
        of_zero, of_one = _logarithms(p)
        return torch.lerp(of_zero, of_one, t.to(p.dtype)).neg_()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        ((gradient,), (p, t)) = gradients, ctx.saved_tensors
        of, to = None, None
        if ctx.needs_input_grad[0]:
            variance = p * (1 - p)
            of = (gradient * (p - t) / variance).where(variance > _LEAST_VARIANCE, 0.0)
        if ctx.needs_input_grad[1]:
            of_zero, of_one = _logarithms(p)
            to = gradient * (of_zero - of_one)
        return of, to


def _logarithms(p: Tensor) -> tuple[Tensor, Tensor]:
    """``ln(1 - p)`` and ``ln p``, which end at the logarithm of the smallest normal number."""
    least = torch.finfo(p.dtype).tiny
    return (1 - p).clamp(min=least).log(), p.clamp(min=least).log()


@attrs.frozen(kw_only=True)
class BernoulliNll(Loss):
    """Negative log-likelihood of Bernoulli pixels, the binary cross-entropy (Kingma and Welling 2014, appendix C.1).

    ``-sum [to ln p + (1 - to) ln(1 - p)]``, nats per image, summed over pixels, at least 0. Images in [0, 1] are
    wanted, and a recipe whose data have another range is refused. Grey values are taken as probabilities, as is usual;
    then it is a cross-entropy and no likelihood. https://arxiv.org/abs/1312.6114
    """

    ports: ClassVar[str] = "of: image[channels, height, width], to: image[channels, height, width] in unit -> score"
    independent: ClassVar[bool] = True
    likelihood: ClassVar[Likelihood | None] = "probability"
    role: ClassVar[Role | None] = "distance"
    unit: ClassVar[Unit] = "nats"
    reduction: ClassVar[Reduction] = "sum"
    logits: bool = True
    """Whether ``of`` are the logits of p, which is exact at any size, or p itself, say the output of a sigmoid."""

    def sizes(self) -> dict[str, object]:
        """The range of what a Bernoulli variable may be."""
        return {"unit": (0.0, 1.0)}

    def build(self) -> nn.Module:
        """``of: b c h w, to: b c h w -> b``; see :func:`bernoulli_nll`."""
        return Apply(bernoulli_nll, ("of", "to"), {"logits": self.logits})


@loss("of: latent[classes], to: label[classes] -> score", likelihood="probability", unit="nats")
def cross_entropy(of: Tensor, to: Tensor) -> Tensor:
    """Negative log-likelihood of a class under softmax.

    ``-sum_k to_k ln softmax(of)_k``.

    Args:
        of: logits, ``b k``.
        to: the class as a one-hot row, or a distribution over classes, ``b k``.

    Returns:
        ``b``, nats per sample; at least 0.
    """
    return -(to * F.log_softmax(of, dim=1)).sum(1)
