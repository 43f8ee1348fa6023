"""Paths between latent codes: straight, and along a great circle."""

from __future__ import annotations

import torch
from torch import Tensor


def lerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Straight line from ``a`` (t = 0) to ``b`` (t = 1).

    Args:
        a: ``... n``.
        b: ``... n``.
        t: ``...``, broadcast against the axes before ``n``: two codes ``n`` and positions ``k`` give ``k n``.

    Returns:
        ``... n``.
    """
    return a + t[..., None] * (b - a)


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Great circle from ``a`` to ``b``, the angle taken between directions (Shoemake 1985).

    ``sin((1 - t) omega) / sin(omega) a + sin(t omega) / sin(omega) b``: the codes are not normalised, so both
    ends are met. Parallel codes give :func:`lerp`; between opposite ones no path is distinguished, and the
    result is useless.

    Args:
        a: ``... n``, not zero.
        b: ``... n``, not zero.
        t: ``...``, broadcast as in :func:`lerp`.

    Returns:
        ``... n``.
    """
    t = t[..., None]
    u, v = _unit(a), _unit(b)
    # Half angle by both chords: exact for small angles, where the arc cosine of u.v is not.
    omega = 2 * torch.atan2(_norm(u - v), _norm(u + v))  # ... 1
    apart = omega > 1e-7
    omega = torch.where(apart, omega, torch.ones_like(omega))
    arc = (torch.sin((1 - t) * omega) * a + torch.sin(t * omega) * b) / torch.sin(omega)
    return torch.where(apart, arc, a + t * (b - a))


def _norm(x: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return norm


def _unit(x: Tensor) -> Tensor:
    return x / _norm(x)
