"""Paths between latent codes: straight, along a great circle, and among normalised codes; and grids of them."""

from __future__ import annotations

from collections import abc
from typing import Literal

import torch
from torch import Tensor

from latentkit.errors import LatentkitError, nearest

Mode = Literal["linear", "spherical", "normalized"]
Interpolant = abc.Callable[[Tensor, Tensor, Tensor], Tensor]
"""From ``a`` and ``b``, ``... n``, and positions ``t`` in [0, 1], ``...``, to codes ``... n``."""


def interpolant(mode: str) -> Interpolant:
    """The path of a mode: :func:`lerp`, :func:`slerp`, or :func:`normalized_lerp`.

    Raises:
        LatentkitError: another mode.
    """
    if mode not in _INTERPOLANTS:
        hint = nearest(mode, _INTERPOLANTS)
        raise LatentkitError(
            f"mode '{mode}': expected linear, spherical or normalized" + (f"\n  {hint}" if hint else "")
        )
    return _INTERPOLANTS[mode]


def bilinear(a: Tensor, b: Tensor, c: Tensor, d: Tensor, across: Tensor, down: Tensor, along: Interpolant) -> Tensor:
    """A place between four codes: ``a`` and ``b`` are the upper corners, ``c`` and ``d`` the lower ones.

    First down the sides, from ``a`` to ``c`` and from ``b`` to ``d``, then across. Straight paths give the same in the
    other order, others need not.

    Args:
        a: ``... n``; so are the other corners.
        b: at ``across`` 1.
        c: at ``down`` 1.
        d: at both 1.
        across: ``...``, broadcast as in :func:`lerp`.
        down: likewise.
        along: what goes between two codes.

    Returns:
        ``... n``.
    """
    return along(along(a, c, down), along(b, d, down), across)


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


def normalized_lerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """``N(lerp(N(a), N(b), t))`` with N of :func:`normalized`: between codes that stand for their direction alone.

    All codes on the way are normalised, the ends too, so an end is met where it was normalised before. Between opposite
    ones no path is distinguished, and the result is useless.

    Args:
        a: ``... n``.
        b: ``... n``.
        t: ``...``, broadcast as in :func:`lerp`.

    Returns:
        ``... n``, each with mean 0 and standard deviation 1.

    Raises:
        LatentkitError: n is below 3, so that mean and deviation leave nothing to go along.
    """
    if a.shape[-1] < 3:
        raise LatentkitError(f"normalised codes: expected 3 numbers or more a code, found {a.shape[-1]}")
    return normalized(lerp(normalized(a), normalized(b), t))


def normalized(z: Tensor) -> Tensor:
    """``(z - mean) / std`` across the coordinates of each code, the deviation with divisor n: ``... n`` to ``... n``.

    A code whose coordinates are all equal has no direction, and becomes 0.
    """
    centred = z - z.mean(-1, keepdim=True)
    deviation = centred.square().mean(-1, keepdim=True).sqrt()  # ... 1
    return centred / torch.where(deviation > 0, deviation, torch.ones_like(deviation))


_INTERPOLANTS: abc.Mapping[str, Interpolant] = {"linear": lerp, "spherical": slerp, "normalized": normalized_lerp}


def _norm(x: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return norm


def _unit(x: Tensor) -> Tensor:
    return x / _norm(x)
