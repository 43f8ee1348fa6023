"""The modules behind the parts."""

from __future__ import annotations

from collections import abc
from functools import partial

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from latentkit.components.layers import SameConv2d, SameConvTranspose2d, SelfModulatedBatchNorm
from latentkit_plugins.dcgan._layout import BASE

NormMaker = abc.Callable[[int], nn.Module]
_DEVIATION = 0.02
_ACTIVATIONS: dict[str, abc.Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh, "sigmoid": torch.sigmoid, "linear": lambda x: x,
}  # fmt: skip


class Trunk(nn.Module):
    """Halves the side until it is 4, flattens, and ends in a linear layer: ``b c h w -> b outputs``."""

    def __init__(
        self,
        channels: int,
        hidden: abc.Sequence[int],
        outputs: int,
        kernel: int,
        make_norm: NormMaker,
        normalize_first: bool,
    ) -> None:
        super().__init__()
        pairs = zip([channels, *hidden], hidden, strict=False)
        self.convs = nn.ModuleList(SameConv2d(a, b, kernel, _DEVIATION) for a, b in pairs)
        norms = [make_norm(width) for width in hidden]
        self.norms = nn.ModuleList(norms if normalize_first else [Plain(nn.Identity()), *norms[1:]])
        self.linear = _linear(BASE * BASE * hidden[-1], outputs)

    def features(self, x: Tensor) -> Tensor:
        """``b c h w -> b flat``, activated."""
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.leaky_relu(norm(conv(x)), 0.2)
        return rearrange(x, "b c h w -> b (c h w)")

    def forward(self, x: Tensor) -> Tensor:
        """``b c h w -> b outputs``."""
        y: Tensor = self.linear(self.features(x))
        return y


class Score(nn.Module):
    """A trunk of one output as a score, ``b c h w -> b``."""

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, x: Tensor) -> Tensor:
        """One unbounded number per sample."""
        score: Tensor = rearrange(self.trunk(x), "b 1 -> b")
        return score


class PairScore(nn.Module):
    """What a trunk says of an image, beside a latent, through two layers to a score: ``b c h w, b n -> b``."""

    def __init__(self, trunk: Trunk, hidden: int, dim: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.latent = _linear(dim, hidden)
        self.joint = nn.ModuleList([_linear(2 * hidden, hidden), _linear(hidden, 1)])

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """One unbounded number per pair."""
        both = F.leaky_relu(torch.cat([self.trunk(x), self.latent(z)], 1), 0.2)
        score: Tensor = rearrange(self.joint[1](F.leaky_relu(self.joint[0](both), 0.2)), "b 1 -> b")
        return score


class Deconvolutions(nn.Module):
    """A 4x4 map from the latent, doubled until it is an image, then activated: ``b dim -> b c h w``."""

    def __init__(
        self,
        dim: int,
        hidden: abc.Sequence[int],
        channels: int,
        kernel: int,
        make_norm: NormMaker,
        activation: str = "tanh",
    ) -> None:
        super().__init__()
        self.activate = _ACTIVATIONS[activation]
        self.linear = _linear(dim, BASE * BASE * hidden[0])
        self.norms = nn.ModuleList(make_norm(width) for width in hidden)
        pairs = zip(hidden, [*hidden[1:], channels], strict=True)
        self.deconvs = nn.ModuleList(SameConvTranspose2d(a, b, kernel, _DEVIATION) for a, b in pairs)

    def forward(self, w: Tensor) -> Tensor:
        """Every map is normalised, given the latent, and rectified before it is doubled."""
        h = rearrange(self.linear(w), "b (c h w) -> b c h w", h=BASE, w=BASE)
        for norm, deconv in zip(self.norms, self.deconvs, strict=True):
            h = deconv(F.relu(norm(h, w)))
        return self.activate(h)


class Plain(nn.Module):
    """A normalisation that does not look at the latent, called like one that does."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, h: Tensor, w: Tensor | None = None) -> Tensor:
        """``b c h w -> b c h w``."""
        y: Tensor = self.norm(h)
        return y


def make_norms(normalization: str, eps: float, momentum: float, z_dim: int | None = None) -> NormMaker:
    """What makes the normalisation of a map of given channels; with ``z_dim`` the latent modulates it."""
    if normalization == "none":
        return lambda channels: Plain(nn.Identity())
    if z_dim is not None:
        return partial(SelfModulatedBatchNorm, z_dim=z_dim, eps=eps, momentum=momentum)
    return lambda channels: Plain(nn.BatchNorm2d(channels, eps=eps, momentum=momentum))


def _linear(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=_DEVIATION)
    nn.init.zeros_(layer.bias)
    return layer
