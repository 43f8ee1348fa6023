"""Reconstruction errors, one per image: plain squares, and squares behind a Gaussian filter.

Plumerault, Le Borgne, Hudelot 2020, https://arxiv.org/abs/2001.10238, section 2 and appendix A: a small code cannot
match the phases of texture, and plain squares then prefer none, which is blur. Behind the filter high frequencies cost
next to nothing.
"""

from __future__ import annotations

import math
from collections import abc
from typing import Literal, Protocol, runtime_checkable

import attrs
import torch
from torch import Tensor

from latentkit.errors import LatentkitError

ErrorOfImages = abc.Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""Images, targets and a mask or none, b c h w each, to one error per image, b. No image may change another's error."""
Masking = Literal["after", "both"]


@runtime_checkable
class Preparing(Protocol):
    """An error of images that does once what concerns the targets alone, where many images meet the same ones."""

    def against(self, target: Tensor, mask: Tensor | None = None) -> abc.Callable[[Tensor], Tensor]:
        """The error as a function of images; targets and mask must stay as they are."""


def against(error: ErrorOfImages, target: Tensor, mask: Tensor | None = None) -> abc.Callable[[Tensor], Tensor]:
    """Any error as a function of images alone, b c h w to b; see :class:`Preparing`."""
    if isinstance(error, Preparing):
        return error.against(target, mask)
    return lambda x: error(x, target, mask)


def squared_error(x: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean of ``(x - target)^2`` where the mask is 1: b c h w each, to b."""
    return _masked_mean((x - target).square(), mask)


@attrs.frozen(kw_only=True)
class FilteredError:
    """Mean of ``((x - target) * G)^2`` where the mask is 1; ``*`` convolves with a Gaussian, with zeros outside.

    The released form is ``FilteredError(normalized=False, masking="after")``. Its kernel has the factor of one
    dimension, so that errors are those of the normalised one times the square of the kernel's sum, 44.7 at sigma 3;
    and what the target does not define leaks through the filter into what it does. Its mask is averaged over the
    batch, here over the image, which is the same where all masks are. A mask of zeros alone gives NaN.

    Attributes:
        sigma: in pixels, at least 1/3.
        normalized: the kernel's sum is 1, and errors compare with plain squares.
        masking: of the filtered difference alone (``after``), or of the difference too (``both``).
    """

    sigma: float = attrs.field(default=3.0)
    normalized: bool = True
    masking: Masking = attrs.field(default="both")

    @sigma.validator
    def _wide(self, _: object, value: float) -> None:
        if not (math.isfinite(value) and round(6 * value) >= 2):
            raise LatentkitError(f"sigma: expected at least 1/3 of a pixel, found {value:g}")

    @masking.validator
    def _known(self, _: object, value: str) -> None:
        if value not in ("after", "both"):
            raise LatentkitError(f"masking: expected 'after' or 'both', found '{value}'")

    def __call__(self, x: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """One error per image: b c h w each, to b. Channels of the mask may be one, and so may be its batch."""
        return self.against(target, mask)(x)

    def against(self, target: Tensor, mask: Tensor | None = None) -> abc.Callable[[Tensor], Tensor]:
        """The same as a function of images; the filter is made once."""
        kernel = line_kernel(self.sigma, self.normalized, dtype=target.dtype, device=target.device)
        down, across = (_band(kernel, side) for side in target.shape[-2:])
        before = mask if self.masking == "both" else None

        def error(x: Tensor) -> Tensor:
            difference = x - target if before is None else (x - target) * before
            blurred = down.to(difference) @ difference @ across.T.to(difference)
            return _masked_mean(blurred.square(), mask)

        return error


def line_kernel(
    sigma: float, normalized: bool = False, *, dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Tensor:  # fmt: skip
    """The Gaussian along one axis, ``round(6 sigma)`` taps; its outer product with itself is the released kernel.

    That is ``exp(-(x^2 + y^2) / (2 sigma^2)) / (sqrt(2 pi) sigma)`` on ``S`` points from -S/2 to S/2, so each axis gets
    the root of the factor. With an even number of taps none is in the middle.
    """
    taps = round(6 * sigma)
    # Points in float64, whatever the images are.
    places = torch.linspace(-taps / 2, taps / 2, taps, dtype=torch.float64)
    kernel = torch.exp(-places.square() / (2 * sigma**2))
    kernel = kernel / (kernel.sum() if normalized else math.sqrt(math.sqrt(2 * math.pi) * sigma))
    return kernel.to(device=device, dtype=dtype or torch.get_default_dtype())


def filtered(x: Tensor, kernel: Tensor) -> Tensor:
    """Cross-correlation of every channel with the outer product of a kernel with itself, at the same size.

    Zeros outside, ``(S - 1) // 2`` before and the rest after: b c h w and S to b c h w.
    """
    # A band matrix along each axis: up to sides of about a thousand many times faster than convolutions of one channel.
    return _band(kernel, x.shape[-2]) @ x @ _band(kernel, x.shape[-1]).T


def _band(kernel: Tensor, side: int) -> Tensor:
    """The matrix, [side, side], that correlates a column with the kernel."""
    taps, places = len(kernel), torch.arange(side, device=kernel.device)
    tap = places - places[:, None] + (taps - 1) // 2
    return torch.where((tap >= 0) & (tap < taps), kernel[tap.clamp(0, taps - 1)], 0)


def _masked_mean(squares: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return squares.flatten(1).mean(1)
    weights = mask.expand_as(squares)
    return (squares * weights).flatten(1).mean(1) / weights.flatten(1).mean(1)
