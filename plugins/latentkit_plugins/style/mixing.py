"""What is done to codes before they are styles, and to images that fade in."""

from __future__ import annotations

from typing import ClassVar

import attrs
import torch
from attrs.validators import ge, le
from einops import repeat
from torch import Tensor, nn

from latentkit.components.sizes import known_sizes
from latentkit.functions import Scalar, stateless
from latentkit.interfaces import Function
from latentkit_plugins.style._layers import blended, downsample, upsample

IMAGE = "image[channels, height, width] in range"


@attrs.frozen(kw_only=True)
class Repeat(Function):
    """One code for all layers."""

    ports: ClassVar[str] = "w: latent[dim] -> styles[layers, dim]"
    independent: ClassVar[bool] = True
    layers: int | None = None

    def build(self) -> nn.Module:
        """``w: b dim -> styles: b layers dim``."""
        (layers,) = known_sizes(self, "layers")
        return _Repeat(layers)


@attrs.frozen(kw_only=True)
class Mixing(Function):
    """Style mixing: the first code up to a layer, a second one from there (Karras et al. 2019, section 3.1).

    With probability ``p`` for a whole batch; the layer is uniform in 1 ... layers, or with ``inclusive = false`` in
    1 ... layers - 1.
    """

    ports: ClassVar[str] = "w: latent[dim], w2: latent[dim], cut: one latent[2] -> styles[layers, dim]"
    layers: int | None = None
    p: float = attrs.field(default=0.9, validator=[ge(0), le(1)])
    inclusive: bool = True
    """Whether the layer may be ``layers``, which mixes nothing: so it is in ALAE's released code, not in StyleGAN's."""

    def build(self) -> nn.Module:
        """``w: b dim, w2: b dim, cut: 2 -> styles: b layers dim``; ``cut`` are two numbers uniform in [0, 1)."""
        (layers,) = known_sizes(self, "layers")
        return _Mixing(layers, self.p, layers if self.inclusive else max(layers - 1, 1))


class _Repeat(nn.Module):
    def __init__(self, layers: int) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, w: Tensor) -> Tensor:
        return w[:, None].expand(-1, self.layers, -1)


class _Mixing(nn.Module):
    def __init__(self, layers: int, p: float, places: int) -> None:
        super().__init__()
        self.layers, self.p, self.places = layers, p, places

    def forward(self, w: Tensor, w2: Tensor, cut: Tensor) -> Tensor:
        start = torch.where(cut[0] < self.p, 1 + torch.floor(cut[1] * self.places), self.layers)
        first = torch.arange(self.layers, device=w.device) < start  # no branch: the device is not asked
        return torch.where(first[:, None], w[:, None], w2[:, None])


@stateless("function", "w: styles[layers, dim], average: one latent[dim] -> styles[layers, dim]")
def truncate(w: Tensor, average: Tensor, psi: Scalar = 0.7, cutoff: int = 8) -> Tensor:
    """Truncation trick: codes are drawn towards their average (Karras et al. 2019, appendix B).

    ``average + psi (w - average)`` for layers below ``cutoff``.

    Args:
        w: ``b layers dim``.
        average: ``dim``.
        psi: 1 leaves all as it is, 0 is the average.
        cutoff: layers from here on stay as they are.

    Returns:
        ``b layers dim``.
    """
    drawn = torch.lerp(average.expand_as(w), w, psi)
    below = torch.arange(w.shape[1], device=w.device) < cutoff
    return torch.where(repeat(below, "layers -> layers 1"), drawn, w)


@stateless("function", f"x: {IMAGE} -> {IMAGE}")
def fade(x: Tensor, blend: Scalar = 1) -> Tensor:
    """Real images while a resolution fades in: ``blend x + (1 - blend) up(down(x))`` (Karras et al. 2018, section 2).

    Args:
        x: ``b c h w``.
        blend: 0 is the resolution below, 1 this one; the whole number 1 costs nothing.

    Returns:
        ``b c h w``.
    """
    if isinstance(blend, int) and blend == 1:
        return x
    return blended(upsample(downsample(x)), x, blend)
