"""VampPrior, Tomczak and Welling 2018, https://arxiv.org/abs/1705.07120: the pseudo-inputs, which are learned."""

from __future__ import annotations

from typing import ClassVar

import attrs
import torch
from attrs.validators import ge
from torch import Tensor, nn

from latentkit.components.sizes import known_sizes
from latentkit.interfaces import Function


@attrs.frozen(kw_only=True)
class PseudoInputs(Function):
    """Learned images in [0, 1], called as ``U()``; their number is the batch. A sigmoid keeps them in range.

    The released code uses a sigmoid or a clipped identity. Here the pixels before the sigmoid start at N(mean, std^2);
    by default dark, with contrast enough to tell the images from each other.
    """

    ports: ClassVar[str] = "-> u: image[channels, height, width] in range"
    channels: int | None = None
    height: int | None = None
    width: int | None = None
    count: int = attrs.field(default=500, validator=ge(1))
    mean: float = -2.0
    std: float = attrs.field(default=1.0, validator=ge(0.0))

    def sizes(self) -> dict[str, object]:
        """The options and the range of the sigmoid."""
        return Function.sizes(self) | {"range": (0.0, 1.0)}

    def build(self) -> nn.Module:
        """``-> u: count channels height width``."""
        channels, height, width = known_sizes(self, "channels", "height", "width")
        return _PseudoInputs((self.count, channels, height, width), self.mean, self.std)


class _PseudoInputs(nn.Module):
    def __init__(self, shape: tuple[int, ...], mean: float, std: float) -> None:
        super().__init__()
        self.value = nn.Parameter(mean + torch.randn(shape) * std)

    def forward(self) -> Tensor:
        return torch.sigmoid(self.value)
