"""GAIA written by hand: the released joint objective, in the order of the released code, eager, float32.

What a careful author writes for one system: one forward pass, then the gradient of each player's loss for that player's
weights only, and torch's fused Adam with the step's own rate. The weights p and q carry no gradient, as in the recipe.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE, SIGMA, MIXED, SPREAD = 20.0, 0.5, 0.5, 0.25
CUT = 0.8796256610342398


def initialised(layer: nn.Module) -> nn.Module:
    deviation = math.sqrt(2 / layer.weight[0].numel()) / CUT
    nn.init.trunc_normal_(layer.weight, std=deviation, a=-2 * deviation, b=2 * deviation)
    nn.init.zeros_(layer.bias)
    return layer


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Module:
    return initialised(nn.Conv2d(inputs, outputs, kernel, stride, padding=(kernel - 1) // 2, padding_mode="reflect"))


def linear(inputs: int, outputs: int) -> nn.Module:
    return initialised(nn.Linear(inputs, outputs))


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            conv(width, width, 3), nn.InstanceNorm2d(width, affine=True), nn.ReLU(inplace=True),
            conv(width, width, 3), nn.InstanceNorm2d(width, affine=True),
        )  # fmt: skip

    def forward(self, h: Tensor) -> Tensor:
        return h + self.layers(h)


class AdaptiveResidual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = conv(width, width, 3), conv(width, width, 3)

    def forward(self, h: Tensor, mu: Tensor, sigma: Tensor) -> Tensor:
        y = F.relu(torch.addcmul(sigma, F.instance_norm(self.first(h)), mu), inplace=True)
        return h + torch.addcmul(sigma, F.instance_norm(self.second(y)), mu)


def content_layers(channels: int, base: int, blocks: int) -> nn.Module:
    return nn.Sequential(
        conv(channels, base, 7), nn.ReLU(inplace=True),
        conv(base, 2 * base, 4, 2), nn.ReLU(inplace=True),
        conv(2 * base, 4 * base, 4, 2), nn.ReLU(inplace=True),
        *[Residual(4 * base) for _ in range(blocks)],
    )  # fmt: skip


def style_layers(channels: int, base: int, side: int, style: int) -> nn.Module:
    layers = [conv(channels, base, 7), nn.ReLU(inplace=True)]
    widths = [base, 2 * base, 4 * base, *[4 * base] * min(2, (side // 4).bit_length() - 1)]
    for inputs, outputs in pairwise(widths):
        layers += [conv(inputs, outputs, 4, 2), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear(4 * base, style))


class Decoder(nn.Module):
    def __init__(self, channels: int, base: int, blocks: int, style: int) -> None:
        super().__init__()
        width = 4 * base
        self.perceptron = nn.Sequential(
            linear(style, width), nn.ReLU(inplace=True), linear(width, width), nn.ReLU(inplace=True),
            linear(width, 2 * width),
        )  # fmt: skip
        self.blocks = nn.ModuleList(AdaptiveResidual(width) for _ in range(blocks))
        layers: list[nn.Module] = []
        for inputs in (width, width // 2):
            layers += [nn.Upsample(scale_factor=2), conv(inputs, inputs // 2, 5)]
            layers += [nn.GroupNorm(1, inputs // 2, eps=1e-12), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, conv(base, channels, 7), nn.Sigmoid())

    def forward(self, h: Tensor, style: Tensor) -> Tensor:
        mu, sigma = self.perceptron(style)[..., None, None].chunk(2, 1)
        for block in self.blocks:
            h = block(h, mu, sigma)
        return self.layers(h)


class Encoder(nn.Module):
    def __init__(self, channels: int, base: int, blocks: int, side: int, content: int, style: int) -> None:
        super().__init__()
        self.content = content_layers(channels, base, blocks)
        self.style = style_layers(channels, base, side, style)
        self.linear = linear(4 * base * (side // 4) ** 2, content)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.linear(self.content(x).flatten(1)), self.style(x)


class Generator(nn.Module):
    def __init__(self, channels: int, base: int, blocks: int, side: int, content: int, style: int) -> None:
        super().__init__()
        self.shape = (4 * base, side // 4, side // 4)
        self.linear = linear(content, math.prod(self.shape))
        self.decoder = Decoder(channels, base, blocks, style)

    def forward(self, content: Tensor, style: Tensor) -> Tensor:
        return self.decoder(self.linear(content).unflatten(1, self.shape), style)


class Discriminator(nn.Module):
    def __init__(self, channels: int, base: int, blocks: int, side: int, style: int) -> None:
        super().__init__()
        self.content = content_layers(channels, base, blocks)
        self.style = style_layers(channels, base, side, style)
        self.decoder = Decoder(channels, base, blocks, style)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.content(x), self.style(x))


def midpoints(z: Tensor, t_1: Tensor, t_2: Tensor) -> Tensor:
    a, b = z.chunk(2)
    return torch.cat([b + t_1 * (a - b), b + t_2 * (a.flip(0) - b)])


def relative_distances(of: Tensor) -> Tensor:
    rows = of.flatten(1)
    squares = (rows[:, None] - rows).square().mean(2)
    return squares / squares.mean()


class Baseline:
    """``widths``: channels at full size of the generator's networks and of the discriminator's."""

    def __init__(
        self, images: Tensor, batch: int, widths: tuple[int, int], blocks: int, content: int, style: int, rate: float
    ) -> None:
        self.images, self.batch, self.rate = images, batch, rate
        channels, side = images.shape[1], images.shape[-1]
        self.E = Encoder(channels, widths[0], blocks, side, content, style)
        self.G = Generator(channels, widths[0], blocks, side, content, style)
        self.D = Discriminator(channels, widths[1], blocks, side, style)
        self.generating = [*self.E.parameters(), *self.G.parameters()]
        self.discriminating = list(self.D.parameters())
        self.optimizer_g = torch.optim.Adam(self.generating, lr=rate, fused=True)
        self.optimizer_d = torch.optim.Adam(self.discriminating, lr=rate, fused=True)
        self.order, self.at = torch.randperm(len(images)), 0

    def next_batch(self) -> Tensor:
        if self.at + self.batch > len(self.images):
            self.order, self.at = torch.randperm(len(self.images)), 0
        chosen = self.order[self.at : self.at + self.batch]
        self.at += self.batch
        return self.images[chosen].float().div_(255)

    def losses(self, x: Tensor, t_1: Tensor, t_2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of D, of E and G, and D's share of the rate."""
        content, style = self.E(x)
        content_mix, style_mix = midpoints(content, t_1, t_2), midpoints(style, t_1, t_2)
        x_rec, x_mix = self.G(content, style), self.G(content_mix, style_mix)
        d, d_rec, d_mix = self.D(x), self.D(x_rec), self.D(x_mix)
        distance = (relative_distances(x).log1p() - relative_distances(content).log1p()).square().mean()
        fake_rec, fake_mix, real = F.l1_loss(d_rec, x), (d_mix - x_mix).abs().mean(), F.l1_loss(d, x)
        fake = (fake_rec + fake_mix) / 2
        with torch.no_grad():
            share = torch.sigmoid(SLOPE * (real - fake))
            p = torch.sigmoid(SLOPE * (SIGMA * fake_mix - real)).clamp(0, 0.9)
            q = torch.sigmoid(SLOPE * (fake_mix - fake_rec))
        loss_d = real - p * fake
        loss_g = q * fake_mix + (1 - q) * fake_rec + self.rate / 2 * distance
        return loss_d, loss_g, share

    def step(self) -> tuple[Tensor, Tensor]:
        x = self.next_batch()
        t_1, t_2 = MIXED + SPREAD * torch.randn(2, self.batch // 2, 1)
        loss_d, loss_g, share = self.losses(x, t_1, t_2)
        gradients_d = torch.autograd.grad(loss_d, self.discriminating, retain_graph=True)
        gradients_g = torch.autograd.grad(loss_g, self.generating)
        for optimizer, parameters, gradients, rate in (
            (self.optimizer_d, self.discriminating, gradients_d, self.rate * share),
            (self.optimizer_g, self.generating, gradients_g, self.rate * (1 - share)),
        ):
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
            optimizer.param_groups[0]["lr"] = rate
            optimizer.step()
        return loss_d.detach(), loss_g.detach()
