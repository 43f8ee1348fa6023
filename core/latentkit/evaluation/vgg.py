"""VGG16 with the linear heads of LPIPS, whose distance stands for what people see.

Simonyan, Zisserman 2015, https://arxiv.org/abs/1409.1556, and Zhang, Isola, Efros, Shechtman, Wang 2018,
https://arxiv.org/abs/1801.03924. Names of weights are those of torchvision's VGG16, ``features.N``, and of the
published heads, ``linN.model.1.weight``.
"""

from __future__ import annotations

import attrs
from torch import Tensor, nn

from latentkit.evaluation.networks import Ability, resized, with_three_channels

TITLE = "VGG16 with the heads of LPIPS"
MARKS = ("features.", "lin0.", "lin1.")
UNUSED: dict[str, tuple[int, ...] | None] = {
    f"classifier.{number}.{kind}": None for number in (0, 3, 6) for kind in ("weight", "bias")
}
STAGES = (2, 64), (2, 128), (3, 256), (3, 512), (3, 512)
"""Convolutions, and their channels, between two poolings; each stage ends in a map."""
LEAST = 16
"""The smallest side of which four poolings leave something."""
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)


class _Head(nn.Module):
    """A convolution of kernel 1 behind a dropout that is not used; the names tell of it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Identity(), nn.Conv2d(channels, 1, 1, bias=False))


class Vgg(nn.Module):
    """Images [n, 3, h, w] as the network was trained on them, to the maps after ReLU 1_2, 2_2, 3_3, 4_3 and 5_3."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        ends, inputs = [], 3
        for number, (count, channels) in enumerate(STAGES):
            layers += [nn.MaxPool2d(2)] if number else []
            for _ in range(count):
                layers += [nn.Conv2d(inputs, channels, 3, padding=1), nn.ReLU()]
                inputs = channels
            ends.append(len(layers) - 1)
            self.add_module(f"lin{number}", _Head(channels))
        self.features, self.ends = nn.Sequential(*layers), ends

    def forward(self, x: Tensor) -> list[Tensor]:
        """``b 3 h w`` to five maps, ``b c h' w'`` each."""
        found = []
        for place, layer in enumerate(self.features):
            x = layer(x)
            if place in self.ends:
                found.append(x)
        return found


@attrs.frozen(kw_only=True, eq=False)
class VggNetwork:
    """The maps and heads of LPIPS, version 0.1: images of any side of 16 or more, smaller ones enlarged."""

    module: nn.Module
    sha256: str
    name: str = "vgg16-lpips"
    abilities: tuple[Ability, ...] = ("maps",)
    gain: float = 1.0

    @property
    def heads(self) -> list[Tensor]:
        """Weights of the channels, [c] per map."""
        return [self.module.get_parameter(f"lin{n}.model.1.weight").reshape(-1) for n in range(len(STAGES))]

    def features(self, images: Tensor) -> Tensor:
        """Not asked for: it has no ability ``features``."""
        raise NotImplementedError("vgg16-lpips has no features")

    def maps(self, images: Tensor) -> list[Tensor]:
        """[n, c, h, w] in [0, 1] to five maps of 64, 128, 256, 512 and 512 channels."""
        x = with_three_channels(images.to(next(self.module.parameters())))
        x = resized(x, max(x.shape[-2], LEAST), max(x.shape[-1], LEAST))
        shift, scale = (x.new_tensor(row)[:, None, None] for row in (_SHIFT, _SCALE))
        found: list[Tensor] = self.module((2 * x - 1 - shift) / scale)
        return found
