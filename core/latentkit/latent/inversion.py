"""Codes of given images, by descent from where the search starts; each image by itself, many at once.

Plumerault, Le Borgne, Hudelot 2020, https://arxiv.org/abs/2001.10238, section 2, and its released code: Adam, whose
state begins anew, and after each update codes are brought back to the root of dim in length. There the mean over the
batch is descended, here the sum, of which every image's share is its own error: a batch gives what its images give
alone.
"""

from __future__ import annotations

from collections import abc

import attrs
import torch
from torch import Tensor

from latentkit.errors import LatentkitError
from latentkit.latent.decoding import Decode, decoder
from latentkit.latent.editing import within_norm
from latentkit.latent.filtered import ErrorOfImages, FilteredError, against
from latentkit.latent.options import above, at_least
from latentkit.model import Model
from latentkit.optimizers import Adam, same_layout

Progress = abc.Callable[[int, Tensor], None]
"""Told the update's number, from 1, and the errors before it, [n]; these stay on their device."""


@attrs.frozen(kw_only=True)
class Inversion:
    """How codes are searched.

    Attributes:
        steps: updates.
        rate: of Adam.
        error: between images and targets, one per image.
        bounded: codes stay within the root of dim in length, where N(0, I) has them on average. Not for codes of
            another distribution, such as mapped latents.
        eps: of Adam.
    """

    steps: int = attrs.field(default=50, validator=at_least(0))
    rate: float = attrs.field(default=0.01, validator=above(0))
    error: ErrorOfImages = attrs.field(factory=FilteredError)
    bounded: bool = True
    eps: float = attrs.field(default=1e-7, validator=above(0))


@attrs.frozen(kw_only=True, eq=False)
class Inverted:
    """What was found.

    Attributes:
        codes: [n, dim].
        errors: of these codes' images, [n].
    """

    codes: Tensor
    errors: Tensor


def invert(
    model: Model | Decode,
    targets: Tensor,
    start: Tensor,
    how: Inversion | None = None,
    *,
    masks: Tensor | None = None,
    given: abc.Mapping[str, Tensor | float] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Inverted:
    """Codes whose images come near to given ones.

    Args:
        model: one with a role ``decode``, or a differentiable function of codes, in evaluation mode.
        targets: [n, channels, height, width].
        start: where each search begins, [n, dim]; it stays as it is.
        how: steps, rate, error and bound.
        masks: how far each value of a target is defined, in [0, 1]; shape of the targets, or 1 where it is the same.
        given: what a model's ``decode`` needs besides codes.
        seed: of draws in a model's ``decode``.
        progress: told of each update. Nothing is asked of the device unless it asks.

    Raises:
        LatentkitError: sizes that do not agree; no ``decode``, or a value that it needs.
    """
    how = how or Inversion()
    decode = decoder(model, seed=seed, given=given)
    codes = start.detach().clone(memory_format=torch.contiguous_format)
    _check(targets, codes, masks)
    measure = against(how.error, targets, masks)

    def errors_of(codes: Tensor) -> Tensor:
        images = decode(codes)
        if images.shape != targets.shape:
            found, made = list(targets.shape[1:]), list(images.shape[1:])
            raise LatentkitError(f"inversion: expected targets of the images' sizes {made}, found {found}")
        return measure(images)

    adam = Adam(eps=how.eps)
    slots = {name: [torch.zeros_like(codes)] for name in adam.slots}
    codes.requires_grad_()
    for step in range(1, how.steps + 1):
        with torch.enable_grad():
            errors = errors_of(codes)
            if not errors.requires_grad:
                raise LatentkitError(
                    "inversion: expected images with a gradient to their codes, found none; "
                    "give the model itself, or a function that keeps the graph"
                )
            (gradient,) = torch.autograd.grad(errors.sum(), codes)
        if progress is not None:
            progress(step, errors.detach())
        with torch.no_grad():
            adam.update([codes], same_layout([gradient], [codes]), slots, step, how.rate)
            if how.bounded:
                codes.copy_(within_norm(codes))
    codes = codes.detach()
    with torch.no_grad():
        return Inverted(codes=codes, errors=errors_of(codes))


def _check(targets: Tensor, start: Tensor, masks: Tensor | None) -> None:
    if len(start) != len(targets) or not len(start):
        raise LatentkitError(f"inversion: expected one start per target, found {len(start)} and {len(targets)}")
    if masks is not None and not _covers(masks.shape, targets.shape):
        raise LatentkitError(f"inversion: expected masks {list(targets.shape)}, found {list(masks.shape)}")


def _covers(mask: torch.Size, image: torch.Size) -> bool:
    return len(mask) == len(image) and all(m in (1, side) for m, side in zip(mask, image, strict=True))
