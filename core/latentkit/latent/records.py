"""What trajectories leave behind: pairs of codes whose images differ by a known amount, and how well each was found."""

from __future__ import annotations

from collections import abc

import attrs
import torch
from torch import Tensor

from latentkit.errors import LatentkitError


@attrs.frozen(kw_only=True, eq=False)
class Steps:
    """Pairs of codes: the image of ``end`` is that of ``start``, changed by ``change``.

    Attributes:
        start: [n, dim].
        end: [n, dim].
        change: the amount t, [n].
        error: of the image of ``end`` against what it should be, [n].
        asked: the same error of the image of ``start``, [n]: what there was to change; 1 unless it is known.
    """

    start: Tensor
    end: Tensor = attrs.field()
    change: Tensor = attrs.field()
    error: Tensor = attrs.field()
    asked: Tensor = attrs.field(default=attrs.Factory(lambda self: torch.ones_like(self.error), takes_self=True))

    @end.validator
    def _like_start(self, _: object, value: Tensor) -> None:
        if self.start.ndim != 2 or value.shape != self.start.shape:
            raise LatentkitError(
                f"steps: expected codes [n, dim] at both ends, found {list(self.start.shape)} and {list(value.shape)}"
            )

    @change.validator
    @error.validator
    @asked.validator
    def _one_each(self, attribute: attrs.Attribute[Tensor], value: Tensor) -> None:
        if value.shape != (len(self.start),):
            found = list(value.shape)
            raise LatentkitError(f"steps: expected {attribute.name} [{len(self.start)}], one per pair, found {found}")

    def __len__(self) -> int:
        return len(self.start)

    def only(self, chosen: Tensor) -> Steps:
        """Some of the pairs, by a mask or by indices [m]."""
        return Steps(**{field.name: getattr(self, field.name)[chosen] for field in attrs.fields(Steps)})

    def without_worst(self, one_in: int = 10, *, relative: bool = False) -> Steps:
        """Without the pairs of largest error, one in so many; those without a finite error are the worst.

        Args:
            one_in: at least 2.
            relative: errors over what there was to change, as what large things leave undone weighs more than all that
                was to be done to small ones. Where it was next to nothing (of an empty image, shifted, every code is an
                answer), a pair is among the worst.

        Raises:
            LatentkitError: nothing would be left.
        """
        chosen = kept(self.relative if relative else self.error, one_in)
        if not chosen.any():
            raise LatentkitError(f"steps: none of {len(self)} errors is below the others'; there is nothing to fit")
        return self.only(chosen)

    @property
    def relative(self) -> Tensor:
        """Errors over what there was to change, [n]; infinite where that was next to nothing."""
        enough = self.asked > _NOTHING * self.asked.nanmedian()
        return torch.where(enough, self.error / self.asked, torch.inf)


_NOTHING = 0.01
"""Of what there was to change, over its median."""


def joined(parts: abc.Iterable[Steps]) -> Steps:
    """All pairs together, of several classes for instance.

    Raises:
        LatentkitError: there are none.
    """
    parts = list(parts)
    if not parts:
        raise LatentkitError("steps: expected pairs of at least one trajectory, found none")
    return Steps(**{name.name: torch.cat([getattr(part, name.name) for part in parts]) for name in attrs.fields(Steps)})


def threshold(error: Tensor, one_in: int = 10) -> Tensor:
    """The error that pairs must stay below: the one at place ``(one_in - 1) n // one_in`` of the sorted, from 0.

    With 10 that is the worst decile, as released with Plumerault et al. 2020, https://arxiv.org/abs/2001.10238.

    Args:
        error: [n], n at least 1.
        one_in: at least 2.

    Raises:
        LatentkitError: neither is so.
    """
    if one_in < 2 or not len(error):
        raise LatentkitError(
            f"rejection: expected one in 2 or more of 1 or more, found one in {one_in} of {len(error)}"
        )
    return error.sort().values[(one_in - 1) * len(error) // one_in]  # NaN is sorted as the largest


def kept(error: Tensor, one_in: int = 10) -> Tensor:
    """Which errors are strictly below the :func:`threshold`: [n] to bool [n]."""
    bound = threshold(error, one_in)
    # Where the worst share is not finite, all that is finite is below it.
    return (error < bound) | (error.isfinite() & ~bound.isfinite())
