"""What shapes weights from outside a part: initial values, and constraints applied after each update."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import attrs
import torch
from torch import Tensor, nn

from latentkit.interfaces import Component


def weighted_layers(module: nn.Module) -> list[nn.Module]:
    """The layers whose ``weight`` is a matrix or a kernel: linear, convolutional, embedding, whatever their class."""
    return [
        layer
        for layer in module.modules()
        if isinstance(getattr(layer, "weight", None), nn.Parameter) and layer.get_parameter("weight").ndim >= 2
    ]


def normalised_layers(module: nn.Module) -> list[nn.Module]:
    """The weighted layers that spectral norm is for: all that do not say ``spectral_norm = False`` of themselves."""
    return [layer for layer in weighted_layers(module) if getattr(layer, "spectral_norm", True)]


def output_axis(layer: nn.Module) -> int:
    """The axis of a layer's weight that counts its outputs: 1 for transposed convolutions, else 0."""
    transposed = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    return int(getattr(layer, "output_axis", 1 if isinstance(layer, transposed) else 0))


@attrs.frozen(kw_only=True)
class Initializer(Component):
    """Sets the initial weights of a part."""

    kind: ClassVar[str] = "initializer"

    @abstractmethod
    def initialize(self, module: nn.Module) -> None:
        """Set the weights in place, from torch's default generator."""


@attrs.frozen(kw_only=True)
class Constraint(Component):
    """Keeps the weights of a part in a set."""

    kind: ClassVar[str] = "constraint"

    @abstractmethod
    def apply(self, module: nn.Module) -> None:
        """Project the weights in place; called after every update of the part."""


@attrs.frozen(kw_only=True)
class NormalInitializer(Initializer):
    """Weights of linear and convolutional layers from N(0, std^2), biases 0 (DCGAN: std 0.02)."""

    std: float = attrs.field(default=0.02, validator=attrs.validators.ge(0))

    def initialize(self, module: nn.Module) -> None:
        """Draw the weights."""
        for layer in weighted_layers(module):
            nn.init.normal_(layer.get_parameter("weight"), 0.0, self.std)
            _zero_bias(layer)


@attrs.frozen(kw_only=True)
class OrthogonalInitializer(Initializer):
    """Orthogonal weights of linear and convolutional layers (Saxe et al. 2014), biases 0."""

    gain: float = 1.0

    def initialize(self, module: nn.Module) -> None:
        """Draw the weights."""
        for layer in weighted_layers(module):
            nn.init.orthogonal_(layer.get_parameter("weight"), self.gain)
            _zero_bias(layer)


def _zero_bias(layer: nn.Module) -> None:
    bias = getattr(layer, "bias", None)
    if isinstance(bias, nn.Parameter):
        nn.init.zeros_(bias)


@attrs.frozen(kw_only=True)
class ClipWeights(Constraint):
    """Clips every parameter to [-limit, limit] (Wasserstein GAN, Arjovsky et al. 2017)."""

    limit: float = attrs.field(default=0.01, validator=attrs.validators.gt(0))

    def apply(self, module: nn.Module) -> None:
        """Clip in place."""
        with torch.no_grad():
            parameters: list[Tensor] = list(module.parameters())
            torch._foreach_clamp_min_(parameters, -self.limit)
            torch._foreach_clamp_max_(parameters, self.limit)
