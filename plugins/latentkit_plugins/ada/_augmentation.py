"""The pipeline: places first, then values; samples to which nothing is done stay as they are, bit for bit."""

from __future__ import annotations

from collections import abc

import torch
from einops import rearrange
from torch import Tensor, nn

from latentkit_plugins.ada._color import Octaves, colored, cut_out, noisy
from latentkit_plugins.ada._geometry import blits, geometry, product
from latentkit_plugins.ada._matrices import BANDS
from latentkit_plugins.ada._numbers import Drawn, Step, any_done, read
from latentkit_plugins.ada._sampling import Resampling, copied

BLIT = ("xflip", "rotate90", "xint")
GEOMETRY = ("scale", "rotate", "aniso", "rotate_again", "xfrac")
COLOR = ("brightness", "contrast", "lumaflip", "hue", "saturation")
OCTAVES = tuple(f"octave{band}" for band in range(BANDS))
CORRUPTION = ("noise", "cutout")


class Augmentation(nn.Module):
    """Transforms each sample with what its uniform numbers say.

    Args:
        steps: the transformations that there are, in their order.
        height: of the images.
        width: of the images.
        limits: values of black and white.
    """

    def __init__(self, steps: abc.Mapping[str, Step], height: int, width: int, limits: tuple[float, float]) -> None:
        super().__init__()
        self.steps = dict(steps)
        self.middle, self.reach = (limits[0] + limits[1]) / 2, (limits[1] - limits[0]) / 2
        self.resampling = Resampling(height, width) if self.steps.keys() & set(GEOMETRY) else None
        self.octaves = Octaves(height, width) if self.steps.keys() & set(OCTAVES) else None

    def forward(self, x: Tensor, p: float | Tensor, u: Tensor) -> Tensor:
        """``x: b c h w, p: 0 ... 1, u: b numbers -> b c h w``, of the type of x; computed in float32 or float64."""
        kind = torch.promote_types(x.dtype, torch.float32)
        with torch.autocast("cpu" if x.is_meta else x.device.type, enabled=False):
            drawn = read(self.steps, p, u.to(kind))
            return self._valued(self._placed(x.to(kind), drawn), drawn).to(x.dtype)

    def _placed(self, x: Tensor, drawn: abc.Mapping[str, Drawn]) -> Tensor:
        """Whole pixels are copied; only what lies between pixels is resampled, once, from the image as it was."""
        size = (int(x.shape[-2]), int(x.shape[-1]))
        whole, between = list(blits(drawn, *size)), list(geometry(drawn, *size))
        moved = copied(x, product(whole)) if whole else x
        if self.resampling is None:
            return moved
        resampled = self.resampling(x, product([*whole, *between]))
        return _where(_of(drawn, GEOMETRY), resampled, moved)

    def _valued(self, x: Tensor, drawn: abc.Mapping[str, Drawn]) -> Tensor:
        """Colours are around a grey of 0, with black and white at -1 and 1."""
        mine = (*COLOR, *OCTAVES, *CORRUPTION)
        if not drawn.keys() & set(mine):
            return x
        y = (x - self.middle) / self.reach
        if drawn.keys() & set(COLOR):
            y = colored(y, drawn)
        if self.octaves is not None:
            y = self.octaves(y, [drawn[name] for name in OCTAVES])
        if "noise" in drawn:
            y = noisy(y, drawn["noise"])
        if "cutout" in drawn:
            y = cut_out(y, drawn["cutout"])
        return _where(_of(drawn, mine), y * self.reach + self.middle, x)


def _of(drawn: abc.Mapping[str, Drawn], names: abc.Iterable[str]) -> Tensor:
    return any_done(drawn[name] for name in names if name in drawn)


def _where(done: Tensor, value: Tensor, otherwise: Tensor) -> Tensor:
    return torch.where(rearrange(done, "b -> b 1 1 1"), value, otherwise)
