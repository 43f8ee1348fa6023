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
        s = variance.sqrt()
        ctx.save_for_backward(x, mean, s)
        return d.mul_((variance + eps).rsqrt()).to(x.dtype), mean, s

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
    def forward(
        ctx: Any, eps: float, x: Tensor, mean: Tensor, s: Tensor, g: Tensor | None, a: Tensor | None, t: Tensor | None
    ) -> Tensor:
        ctx.eps = eps
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, mean, s, g, t)
        n, d = x[0, 0].numel(), _wide(x) - mean
        slope = torch.zeros_like(mean) if t is None else t / (n * s)
        if g is not None:
            g, r = _centred(g), _reciprocal(s, eps)
            slope = slope - r**3 * _mean(g * d)
        of_x = d.mul_(slope)
        of_x = of_x if g is None else of_x.add_(g.mul_(r))
        return (of_x if a is None else of_x.add_(a / n)).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, u: Tensor | None) -> tuple[Tensor | None, ...]:
        if u is None:
            return (None,) * 7
        x, mean, s, g, t = ctx.saved_tensors
        n, wide, mean_u, u = x[0, 0].numel(), _wide(x), _mean(_wide(u)), _centred(u)
        if torch.is_grad_enabled():  # a third derivative is wanted, for which these are not constants
            mean = _mean(wide)
            s = _mean((wide - mean).square()).sqrt()
        d, of_g = wide - mean, None
        ud = _mean(u * d)
        of_u = torch.zeros_like(mean) if t is None else t / (n * s)
        slope = of_u if t is None else -of_u * ud / s**2
        if g is not None:
            g, r = _centred(g), _reciprocal(s, ctx.eps)
            gd, cube = _mean(g * d), r**3
            slope = slope - cube * _mean(u * g) + 3 * r**5 * gd * ud
            of_u = of_u - cube * gd
            of_g = (u * r).sub_(d * (cube * ud)).to(x.dtype)
        of_x = (d * slope).add_(u * of_u)
        of_x = of_x if g is None else of_x.sub_(g * (cube * ud))
        of_a, of_t = (mean_u if ctx.needs_input_grad[5] else None), (None if t is None else ud / s)
        return None, of_x.to(x.dtype), None, None, of_g, of_a, of_t


def _wide(x: Tensor) -> Tensor:
    # Sums over pixels want more digits than bfloat16 has; on a CPU they are also several times faster with them.
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def _mean(x: Tensor) -> Tensor:
    return x.mean(_PIXELS, keepdim=True)


def _centred(x: Tensor) -> Tensor:
    wide = _wide(x)
    return wide - _mean(wide)


def _reciprocal(s: Tensor, eps: float) -> Tensor:
    return (s * s + eps).rsqrt()
