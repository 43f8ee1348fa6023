"""Instance norm together with the statistics that it divides by, by closed formulas for both derivatives.

An encoder of styles reads mean and deviation of what it normalises, and R1 differentiates both twice. All of these
derivatives are the same two or three images with one number per channel before each; automatic differentiation would
make and keep several times as many.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

_PIXELS = (2, 3)


def standardized(x: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Zero mean and unit variance of each channel of each sample, and the mean and deviation there were.

    The deviation has no epsilon: as in ALAE's released code, where a channel is constant its gradient is not a number.

    Args:
        x: ``b c h w``, in any memory format, which the result keeps.
        eps: added to the variance that is divided by.

    Returns:
        ``b c h w``, ``b c``, ``b c``; in half precision the last two are float32.
    """
    y, mean, deviation = cast("tuple[Tensor, Tensor, Tensor]", _Standardize.apply(x, eps))  # type: ignore[no-untyped-call]
    return y, mean.flatten(1), deviation.flatten(1)


def instance_norm(x: Tensor, eps: float) -> Tensor:
    """Zero mean and unit variance of each channel of each sample, ``b c h w -> b c h w``."""
    return standardized(x, eps)[0]


class _Standardize(torch.autograd.Function):
    """``y = r d`` with ``d = x - mean(x)``, ``s^2 = mean(d^2)``, ``r = 1 / sqrt(s^2 + eps)``; also the mean, and s."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        ctx.eps = eps
        ctx.set_materialize_grads(False)
        wide = _wide(x)
        mean = _mean(wide)
        # Centred again: beside a small deviation, what rounding left of the mean is large.
        d = _centred(wide - mean)
        variance = _mean(d * d)
        s, r = variance.sqrt(), (variance + eps).rsqrt()
        ctx.save_for_backward(x, mean, s, r)
        return d.mul_(r).to(x.dtype), mean, s

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, None]:
        if all(gradient is None for gradient in gradients):
            return None, None
        return _Gradient.apply(ctx.eps, *ctx.saved_tensors, *gradients), None  # type: ignore[no-untyped-call]


class _Gradient(torch.autograd.Function):
    """Gradient of the above, from the gradients g, a, t of its results; n pixels, means over them::

        r (g - mean(g)) - r^3 mean(g d) d  +  a / n  +  t / (n s) d

    Its own gradient, for a gradient u, follows from the same few means. All that is summed is centred first: the sum
    over the pixels of what comes back is to be 0 but for a, and is nothing but rounding otherwise.
    """

    @staticmethod
    def forward(ctx: Any, eps: float, x: Tensor, mean: Tensor, s: Tensor, r: Tensor, *given: Tensor | None) -> Tensor:
        g, a, t = given
        ctx.eps = eps
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, mean, s, r, g, t)
        n, d = x[0, 0].numel(), _wide(x) - mean
        slope = 0.0 if t is None else t / (n * s)
        if g is None:
            of_x = d.mul_(slope)
        else:
            g = _centred(g)
            of_x = d.mul_(slope - r * r * r * _mean(g * d)).add_(g.mul_(r))
        return (of_x if a is None else of_x.add_(a / n)).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, u: Tensor | None) -> tuple[Tensor | None, ...]:
        if u is None:
            return (None,) * 8
        x, mean, s, r, g, t = ctx.saved_tensors
        n, wide, mean_u, u = x[0, 0].numel(), _wide(x), _mean(_wide(u)), _centred(u)
        if torch.is_grad_enabled():  # a third derivative is wanted, for which these are not constants
            mean = _mean(wide)
            variance = _mean((wide - mean).square())
            s, r = variance.sqrt(), (variance + ctx.eps).rsqrt()
        d, of_g = wide - mean, None
        ud = _mean(u * d)
        of_u = 0.0 if t is None else t / (n * s)
        slope = 0.0 if t is None else -of_u * ud / s**2
        if g is None:
            of_x = (d * slope).add_(u * of_u)
        else:
            g, cube = _centred(g), r * r * r
            gd = _mean(g * d)
            slope = slope - cube * _mean(u * g) + 3 * cube * r * r * gd * ud
            of_x = (d * slope).add_(u * (of_u - cube * gd)).sub_(g * (cube * ud))
            of_g = (u * r).sub_(d * (cube * ud)).to(x.dtype)
        of_a, of_t = (mean_u if ctx.needs_input_grad[6] else None), (None if t is None else ud / s)
        return None, of_x.to(x.dtype), None, None, None, of_g, of_a, of_t


def _wide(x: Tensor) -> Tensor:
    # Sums over pixels want more digits than bfloat16 has; on a CPU they are also several times faster with them.
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def _mean(x: Tensor) -> Tensor:
    return x.mean(_PIXELS, keepdim=True)


def _centred(x: Tensor) -> Tensor:
    wide = _wide(x)
    return wide - _mean(wide)
