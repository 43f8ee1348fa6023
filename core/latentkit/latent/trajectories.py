"""Trajectories in latent space, along which images change by a growing amount.

Plumerault, Le Borgne, Hudelot 2020, https://arxiv.org/abs/2001.10238, section 2, and its released code:
of every sign of t anew from the first code; each search begins where the one before has ended, and its target is always
the first image, changed. What is recorded is by how much it really was: released, t itself is, of which shifts and
zooms leave out what is no whole pixel.
"""

from __future__ import annotations

import math
from collections import abc

import torch
from torch import Tensor

from latentkit.errors import LatentkitError
from latentkit.latent.decoding import Decode, decoder
from latentkit.latent.editing import within_norm
from latentkit.latent.inversion import Inversion, invert
from latentkit.latent.records import Steps, joined
from latentkit.latent.transformations import Transformation
from latentkit.model import Model

AMOUNTS = (0.1, 0.2, 0.3, 0.4, 0.5)
Progress = abc.Callable[[float, int, Tensor], None]
"""Told the amount t, the update's number, from 1, and the errors before it, [n]."""


def trajectories(
    model: Model | Decode,
    start: Tensor,
    transformation: Transformation,
    *,
    amounts: abc.Sequence[float] = AMOUNTS,
    how: Inversion | None = None,
    given: abc.Mapping[str, Tensor | float] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Steps:
    """Pairs of a code and one whose image is the first one's, changed by t and by -t, for growing amounts t.

    All codes go side by side, and none changes what another finds.

    Args:
        model: one with a role ``decode``, or a differentiable function of codes, in evaluation mode.
        start: [n, dim]; brought within the bound first, where there is one.
        transformation: of images.
        amounts: k of them, above 0 and growing; the first should be small.
        how: steps, rate, error and bound of each search.
        given: what a model's ``decode`` needs besides codes.
        seed: of draws in a model's ``decode``.
        progress: told of each update.

    Returns:
        2 k n pairs: those of t in the order of the amounts, then those of -t, n each. Changes are as realised, errors
        those of the codes found, and before any search.

    Raises:
        LatentkitError: amounts out of order, or so small that they change nothing; what
            :func:`latentkit.latent.inversion.invert` raises.
    """
    if not amounts or not all(a < b for a, b in zip((0.0, *amounts), amounts, strict=False)):
        raise LatentkitError(f"trajectories: expected growing amounts above 0, found {list(amounts)}")
    how = how or Inversion()
    decode = decoder(model, seed=seed, given=given)
    first = within_norm(start.detach()) if how.bounded else start.detach()
    with torch.no_grad():
        images = decode(first)
    size = (images.shape[-2], images.shape[-1])
    _check_changes(transformation, amounts, size)
    parts = []
    for sign in (1, -1):
        codes = first
        for t in (math.copysign(amount, sign) for amount in amounts):
            with torch.no_grad():
                targets, masks = transformation.apply(images, t)
            told = None if progress is None else _at(progress, t)
            found = invert(decode, targets, codes, how, masks=masks, progress=told)
            codes = found.codes
            change = torch.full_like(found.errors, transformation.realised(t, *size))
            asked = how.error(images, targets, masks)
            parts.append(Steps(start=first, end=codes, change=change, error=found.errors, asked=asked))
    return joined(parts)


def _check_changes(transformation: Transformation, amounts: abc.Sequence[float], size: tuple[int, int]) -> None:
    """Refuse amounts whose targets are the images themselves."""
    least = transformation.least(*size)
    if amounts[0] < least:
        # Rounded up, so that what is shown is enough.
        enough = math.ceil(least * 1e4) / 1e4
        raise LatentkitError(
            f"{transformation.name} by {amounts[0]:g}: changes nothing in an image of {size[0]} x {size[1]}; expected "
            f"amounts of at least {enough:g}"
        )


def _at(progress: Progress, t: float) -> abc.Callable[[int, Tensor], None]:
    return lambda step, errors: progress(t, step, errors)
