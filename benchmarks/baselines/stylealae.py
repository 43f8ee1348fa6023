"""StyleALAE written by hand: one plain PyTorch loop, in the order of the released code, eager, float32.

At one resolution, not fading: only the levels up to it are there. What a careful author writes for one system: parts of
the other player are frozen by hand, fakes of the first step are made without a graph, the equalised Adam is torch's
fused Adam with one parameter group per step multiplier.
"""

from __future__ import annotations

import math
import random

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GAMMA, DECAY_IMAGES, MIXED, FUSED_FROM = 10.0, 10000, 0.9, 128


def widths(base: int, most: int, levels: int) -> list[int]:
    """Channels of each level, 4 x 4 first."""
    return [min(most, base << (levels - 1 - level)) for level in range(levels)]


def equalised(shape: tuple[int, ...], inputs: int, gain: float = math.sqrt(2), lrmul: float = 1.0) -> nn.Parameter:
    weight = nn.Parameter(torch.randn(shape) * (gain / math.sqrt(inputs)))
    weight.multiplier = gain / math.sqrt(inputs) * lrmul
    return weight


class Linear(nn.Module):
    def __init__(self, inputs: int, outputs: int, gain: float = math.sqrt(2), lrmul: float = 1.0) -> None:
        super().__init__()
        self.weight = equalised((outputs, inputs), inputs, gain, lrmul)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.bias.multiplier = lrmul

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class Conv(nn.Module):
    """3 x 3, with ``scaling`` by two where the published network has it in the convolution itself."""

    def __init__(self, inputs: int, outputs: int, scaling: str = "") -> None:
        super().__init__()
        shape = (inputs, outputs, 3, 3) if scaling == "up" else (outputs, inputs, 3, 3)
        self.weight, self.scaling = equalised(shape, 9 * inputs), scaling

    def forward(self, x: Tensor) -> Tensor:
        if not self.scaling:
            return F.conv2d(x, self.weight, padding=1)
        w = F.pad(self.weight, (1, 1, 1, 1))
        w = w[..., 1:, 1:] + w[..., 1:, :-1] + w[..., :-1, 1:] + w[..., :-1, :-1]
        if self.scaling == "up":
            return F.conv_transpose2d(x, w, stride=2, padding=1)
        return F.conv2d(x, w * 0.25, stride=2, padding=1)


class Pointwise(nn.Module):
    def __init__(self, inputs: int, outputs: int, gain: float = math.sqrt(2)) -> None:
        super().__init__()
        self.weight = equalised((outputs, inputs, 1, 1), inputs, gain)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.bias.multiplier = 1.0

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias)


class Blur(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 2.0, 1.0])
        self.register_buffer("kernel", (taps[:, None] * taps / 16).expand(channels, 1, 3, 3).contiguous())

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.kernel, padding=1, groups=x.shape[1])


class Mapping(nn.Module):
    def __init__(self, dim: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Linear(dim, dim, lrmul=0.1) for _ in range(layers))

    def forward(self, z: Tensor) -> Tensor:
        w = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
        for layer in self.layers:
            w = F.leaky_relu(layer(w), 0.2)
        return w


class Discriminator(nn.Module):
    """The score is the output in the middle, as in the released code."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*[Linear(dim, outputs, lrmul=0.1) for outputs in (dim, dim, 2 * dim)])

    def forward(self, w: Tensor) -> Tensor:
        return self.layers(w)[:, w.shape[1]]


class Layer(nn.Module):
    """Noise, bias, leaky ReLU, instance norm and style."""

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.style = Linear(dim, 2 * channels, gain=1.0)

    def forward(self, x: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        x = torch.addcmul(x, self.strength, noise) + self.bias
        x = F.instance_norm(F.leaky_relu(x, 0.2, inplace=True), eps=1e-8)
        scale, shift = self.style(w)[..., None, None].chunk(2, 1)
        return torch.addcmul(shift, x, scale + 1)


class GeneratorBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, dim: int, level: int) -> None:
        super().__init__()
        self.first, self.fused = level == 0, 4 << level >= FUSED_FROM
        if level:
            self.conv_1, self.blur = Conv(inputs, outputs, "up" if self.fused else ""), Blur(outputs)
        self.layer_1, self.conv_2, self.layer_2 = Layer(outputs, dim), Conv(outputs, outputs), Layer(outputs, dim)

    def forward(self, x: Tensor, w_1: Tensor, w_2: Tensor, noise_1: Tensor, noise_2: Tensor) -> Tensor:
        if not self.first:
            x = self.blur(self.conv_1(x if self.fused else F.interpolate(x, scale_factor=2, mode="nearest")))
        x = self.layer_1(x, w_1, noise_1)
        return self.layer_2(self.conv_2(x), w_2, noise_2)


class Generator(nn.Module):
    def __init__(self, channels: int, dim: int, base: int, most: int, levels: int) -> None:
        super().__init__()
        features = widths(base, most, levels)
        self.const = nn.Parameter(torch.ones(1, features[0], 4, 4))
        self.blocks = nn.ModuleList(
            GeneratorBlock(features[max(level - 1, 0)], width, dim, level) for level, width in enumerate(features)
        )
        self.to_rgb = Pointwise(features[-1], channels, gain=0.03)

    def noise(self, batch: int) -> list[Tensor]:
        return [torch.randn(batch, 1, 4 << level, 4 << level) for level in range(len(self.blocks)) for _ in range(2)]

    def forward(self, w: Tensor, noise: list[Tensor]) -> Tensor:
        """``w``: b layers dim."""
        x, styles = self.const.expand(len(w), -1, -1, -1), w.unbind(1)
        for at, block in enumerate(self.blocks):
            x = block(x, styles[2 * at], styles[2 * at + 1], noise[2 * at], noise[2 * at + 1])
        return self.to_rgb(x)


def statistics(x: Tensor) -> Tensor:
    mean = x.mean((2, 3), keepdim=True)
    deviation = (x - mean).square().mean((2, 3)).sqrt()
    return torch.cat([mean.flatten(1), deviation], 1)


class EncoderBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, dim: int, level: int) -> None:
        super().__init__()
        self.fused = 4 << level >= FUSED_FROM
        self.conv_1, self.style_1 = Conv(inputs, inputs), Linear(2 * inputs, dim)
        self.conv_2, self.style_2 = Conv(inputs, outputs, "down" if self.fused else ""), Linear(2 * outputs, dim)
        self.bias_1 = nn.Parameter(torch.zeros(1, inputs, 1, 1))
        self.bias_2 = nn.Parameter(torch.zeros(1, outputs, 1, 1))
        self.blur = Blur(inputs)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = F.leaky_relu(self.conv_1(x) + self.bias_1, 0.2)
        code = self.style_1(statistics(x))
        x = self.conv_2(self.blur(F.instance_norm(x)))
        x = F.leaky_relu((x if self.fused else F.avg_pool2d(x, 2)) + self.bias_2, 0.2)
        return F.instance_norm(x), code + self.style_2(statistics(x))


class Encoder(nn.Module):
    def __init__(self, channels: int, dim: int, base: int, most: int, levels: int) -> None:
        super().__init__()
        features = widths(base, most, levels)
        outputs = [min(most, base << levels), *features[:-1]]
        self.from_rgb = Pointwise(channels, features[-1])
        self.blocks = nn.ModuleList(
            EncoderBlock(width, outputs[level], dim, level) for level, width in enumerate(features)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(F.leaky_relu(self.from_rgb(x), 0.2), 0.2)  # twice, as released
        w = 0
        for block in reversed(self.blocks):
            x, code = block(x)
            w = w + code
        return w


class EqualizedAdam:
    """Adam with beta1 = 0 and a step per parameter; eps outside the bias correction, as the released optimizer has it.

    ``fused`` is the fastest form that torch has; without it, torch's default on a CPU.
    """

    def __init__(self, modules: list[nn.Module], lr: float, fused: bool) -> None:
        rates: dict[float, list[Tensor]] = {}
        for parameter in (parameter for module in modules for parameter in module.parameters()):
            rates.setdefault(lr * getattr(parameter, "multiplier", 1.0), []).append(parameter)
        groups = [{"params": params, "lr": rate} for rate, params in rates.items()]
        self.adam = torch.optim.Adam(groups, betas=(0.0, 0.99), eps=1e-8, fused=fused)
        self.steps = 0

    def step(self) -> None:
        # D has no gradient in the last step of an iteration, so its count would differ; here it shares the encoder's,
        # which changes eps alone.
        self.steps += 1
        for group in self.adam.param_groups:
            group["eps"] = 1e-8 / math.sqrt(1 - 0.99**self.steps)
        self.adam.step()

    def zero_grad(self) -> None:
        self.adam.zero_grad(set_to_none=True)


class Baseline:
    """``images`` are bytes, n c h w, at the resolution 4 * 2^(levels - 1)."""

    def __init__(
        self, images: Tensor, batch: int, dim: int, layers: int, base: int, most: int, lr: float = 0.0015,
        lazy: int = 1, fused: bool = True,
    ) -> None:  # fmt: skip
        channels, levels = images.shape[1], (images.shape[-1] // 4).bit_length()
        self.images, self.batch, self.dim, self.lazy, self.steps = images, batch, dim, lazy, 0
        self.F, self.G = Mapping(dim, layers), Generator(channels, dim, base, most, levels)
        self.E, self.D = Encoder(channels, dim, base, most, levels), Discriminator(dim)
        self.layers = 2 * levels
        self.encoder_optimizer = EqualizedAdam([self.E, self.D], lr, fused)
        self.decoder_optimizer = EqualizedAdam([self.G, self.F], lr, fused)
        self.live = [p for part in (self.D, self.F, self.G, self.E) for p in part.parameters()]
        self.averaged = [p.detach().clone() for p in self.live]
        self.w_avg = torch.zeros(dim)
        self.order, self.at = torch.randperm(len(images)), 0

    def next_batch(self) -> Tensor:
        if self.at + self.batch > len(self.images):
            self.order, self.at = torch.randperm(len(self.images)), 0
        chosen = self.order[self.at : self.at + self.batch]
        self.at += self.batch
        return self.images[chosen].float().div_(127.5).sub_(1)

    def generate(self, mixing: bool) -> tuple[Tensor, Tensor]:
        w = self.F(torch.randn(self.batch, self.dim))
        with torch.no_grad():
            self.w_avg.lerp_(w.mean(0), 0.005)
        styles = w[:, None].expand(-1, self.layers, -1)
        if mixing and random.random() < MIXED:
            other = self.F(torch.randn(self.batch, self.dim))
            first = torch.arange(self.layers)[:, None] < random.randint(1, self.layers)
            styles = torch.where(first, styles, other[:, None])
        return w, self.G(styles, self.G.noise(self.batch))

    def freeze(self, frozen: bool) -> None:
        for part in (self.E, self.D):
            part.requires_grad_(not frozen)

    def step(self) -> tuple[Tensor, Tensor, Tensor]:
        x = self.next_batch()

        self.encoder_optimizer.zero_grad()
        with torch.no_grad():
            _, x_fake = self.generate(mixing=True)
        penalised = self.steps % self.lazy == 0
        self.steps += 1
        x.requires_grad_(penalised)
        real, fake = self.D(self.E(x)), self.D(self.E(x_fake))
        loss_d = (F.softplus(fake) + F.softplus(-real)).mean()
        if penalised:
            (gradient,) = torch.autograd.grad(real.sum(), x, create_graph=True)
            penalty = gradient.square().sum((1, 2, 3))
            loss_d = loss_d + (0.5 * GAMMA * self.lazy * penalty).mean()
        loss_d.backward()
        self.encoder_optimizer.step()

        self.freeze(True)
        self.decoder_optimizer.zero_grad()
        _, x_fake = self.generate(mixing=True)
        loss_g = F.softplus(-self.D(self.E(x_fake))).mean()
        loss_g.backward()
        self.decoder_optimizer.step()
        self.freeze(False)

        self.encoder_optimizer.zero_grad()
        self.decoder_optimizer.zero_grad()
        w, x_fake = self.generate(mixing=False)
        loss_ae = F.mse_loss(self.E(x_fake), w.detach())
        loss_ae.backward()
        self.encoder_optimizer.step()
        self.decoder_optimizer.step()

        with torch.no_grad():
            torch._foreach_lerp_(self.averaged, self.live, 1 - 0.5 ** (self.batch / DECAY_IMAGES))
        return loss_d.detach(), loss_g.detach(), loss_ae.detach()
