"""Reading an image where its coordinates are transformed: exactly between pixels, or resampled in between.

Linear in the image, and differentiable with respect to it as often as one likes; not with respect to coordinates.
"""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from latentkit_plugins.ada._matrices import LEAD, doubling, halving, period, reflected, wrapped

_HOW = (0, 0, True)
"""Linear, nothing beyond the edges, and -1 and 1 are the middles of the outermost pixels."""


def copied(x: Tensor, inverse: Tensor) -> Tensor:
    """Pixels from other places, as they are. ``x: b c h w, inverse: b 3 3 -> b c h w``.

    ``inverse`` takes places of the result to places of ``x``, both counted from the middle, (across, down, 1); what
    falls between two pixels is the right or lower one.
    """
    height, width = x.shape[-2:]
    across, down = _places(_centred(width, x), _centred(height, x), inverse)
    columns, rows = (
        reflected(torch.floor(place + size / 2), size).long() for place, size in ((across, width), (down, height))
    )
    index = rearrange(rows * width + columns, "b h w -> b 1 (h w)").expand(-1, x.shape[1], -1)
    return x.flatten(2).gather(2, index).reshape(x.shape)


class Resampling(nn.Module):
    """Affine resampling of reflected images, at twice the resolution (Karras et al. 2020, appendix B).

    Up by an orthonormal wavelet filter, linearly interpolated there, and down by the same filter.
    """

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        for name, size in (("down", height), ("across", width)):
            self.register_buffer(f"double_{name}", doubling(size), persistent=False)
            self.register_buffer(f"halve_{name}", halving(size), persistent=False)
        self.size = (height, width)

    def forward(self, x: Tensor, inverse: Tensor) -> Tensor:
        """``x: b c h w, inverse: b 3 3 -> b c h w``, ``inverse`` as in :func:`copied`."""
        wide = self._matrix("double_down", x) @ x @ self._matrix("double_across", x).T
        height, width = self.size
        across, down = _places(_doubled(width, x), _doubled(height, x), inverse)
        grid = torch.stack([_within(across, width), _within(down, height)], -1)
        found = _Read.apply(wide, grid)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        done: Tensor = self._matrix("halve_down", x) @ found @ self._matrix("halve_across", x).T
        return done

    def _matrix(self, name: str, like: Tensor) -> Tensor:
        found: Tensor = self.get_buffer(name).to(like.dtype)
        return found


def _centred(size: int, like: Tensor) -> Tensor:
    """The places of an axis' pixels, counted from its middle."""
    return torch.arange(size, device=like.device, dtype=like.dtype) - (size - 1) / 2


def _doubled(size: int, like: Tensor) -> Tensor:
    """The places of samples of twice the resolution, with what halving wants before and after."""
    return (torch.arange(2 * (size + LEAD), device=like.device, dtype=like.dtype) - LEAD - (size - 1)) / 2


def _places(across: Tensor, down: Tensor, inverse: Tensor) -> tuple[Tensor, Tensor]:
    """``w``, ``h`` and ``b 3 3`` to two times ``b h w``. No matrix product, which may be coarse in float32."""
    rows = rearrange(inverse[:, :2], "b to by -> to by b 1 1")
    first, second = (row[0] * across + row[1] * down[:, None] + row[2] for row in rows)
    return first, second


def _within(place: Tensor, size: int) -> Tensor:
    """A place, counted from the middle, to -1 ... 1 over one period of the reflected axis."""
    return wrapped(2 * place + (size - 1), 2 * period(size)) / period(size) - 1


class _Read(torch.autograd.Function):
    """Linear interpolation. Its derivative is its adjoint, whose derivative it is: so there is one of any order."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, grid: Tensor) -> Tensor:
        """``b c h w, b h' w' 2 -> b c h' w'``."""
        ctx.save_for_backward(grid)
        ctx.shape = image.shape
        # The very function whose derivative is taken below; F.grid_sample may choose another library's.
        found: Tensor = torch.ops.aten.grid_sampler_2d(image, grid, *_HOW)
        return found

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """The adjoint; none for the grid."""
        (grid,) = ctx.saved_tensors
        return _Write.apply(gradient, grid, ctx.shape), None  # type: ignore[no-untyped-call]


class _Write(torch.autograd.Function):
    """The adjoint: what would be read from four pixels is added to them."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, grid: Tensor, shape: torch.Size) -> Tensor:
        """``b c h' w', b h' w' 2 -> b c h w``."""
        ctx.save_for_backward(grid)
        image = value.new_zeros(()).expand(shape)  # of which only the shape is looked at
        found: Tensor = torch.ops.aten.grid_sampler_2d_backward(value, image, grid, *_HOW, [True, False])[0]
        return found

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """The reading; none for the grid."""
        (grid,) = ctx.saved_tensors
        return _Read.apply(gradient, grid), None, None  # type: ignore[no-untyped-call]
