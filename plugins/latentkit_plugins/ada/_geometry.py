"""Places: pixel blitting and general geometric transformations (Karras et al. 2020, appendix B).

Matrices take places of the result to places of the image, (across, down, 1), counted from the middle: they are the
inverses of what is done, so that what is done later is multiplied from the right.
"""

from __future__ import annotations

import math
from collections import abc

import torch
from torch import Tensor

from latentkit_plugins.ada._numbers import Drawn


def blits(drawn: abc.Mapping[str, Drawn], height: int, width: int) -> abc.Iterator[Tensor]:
    """``b 3 3`` each: flip, quarter turns, translation by whole pixels."""
    if "xflip" in drawn:
        yield _scaling(1 - 2 * drawn["xflip"].choice(2), 1)
    if "rotate90" in drawn:
        quarter = math.pi / 2 * drawn["rotate90"].choice(4)
        yield _rotation(quarter.cos().round(), quarter.sin().round())
    if "xint" in drawn:
        across, down = drawn["xint"].where(drawn["xint"].even(), 0.0).unbind(1)
        yield _translation((across * width).round(), (down * height).round())


def geometry(drawn: abc.Mapping[str, Drawn], height: int, width: int) -> abc.Iterator[Tensor]:
    """``b 3 3`` each: scaling, a turn, scaling along one axis against the other, a turn, translation."""
    if "scale" in drawn:
        factor = _factor(drawn["scale"])
        yield _scaling(1 / factor, 1 / factor)
    if "rotate" in drawn:
        yield _turn(drawn["rotate"])
    if "aniso" in drawn:
        factor = _factor(drawn["aniso"])
        yield _scaling(1 / factor, factor)
    if "rotate_again" in drawn:
        yield _turn(drawn["rotate_again"])
    if "xfrac" in drawn:
        across, down = drawn["xfrac"].where(drawn["xfrac"].normal(), 0.0).unbind(1)
        yield _translation(across * width, down * height)


def product(matrices: abc.Iterable[Tensor]) -> Tensor:
    """``b 3 3``. In single multiplications, as products of matrices may be coarse in float32."""
    first, *rest = matrices
    for other in rest:
        first = (first[:, :, :, None] * other[:, None]).sum(2)
    return first


def _factor(drawn: Drawn) -> Tensor:
    return drawn.where(torch.exp2(drawn.normal()[:, 0]), 1.0)


def _turn(drawn: Drawn) -> Tensor:
    angle = math.pi * drawn.where(drawn.even()[:, 0], 0.0)
    return _rotation(angle.cos(), angle.sin())


def _scaling(across: Tensor, down: Tensor | float) -> Tensor:
    return _matrix(across, 0, 0, 0, down, 0)


def _rotation(cos: Tensor, sin: Tensor) -> Tensor:
    return _matrix(cos, -sin, 0, sin, cos, 0)


def _translation(across: Tensor, down: Tensor) -> Tensor:
    return _matrix(1, 0, -across, 0, 1, -down)


def _matrix(*entries: Tensor | float) -> Tensor:
    """``b 3 3`` from the first two rows; each entry ``b`` or a number."""
    like = next(entry for entry in entries if isinstance(entry, Tensor))
    every = [entry if isinstance(entry, Tensor) else torch.full_like(like, entry) for entry in (*entries, 0, 0, 1)]
    return torch.stack(every, 1).reshape(-1, 3, 3)
