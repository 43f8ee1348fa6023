"""MLP-ALAE written by hand: one plain PyTorch loop, in the order of the released code, eager, float32.

What a careful author writes for one system: parts of the other player are frozen by hand, fakes of the first step are
made without a graph, the equalised Adam is torch's fused Adam with one parameter group per step multiplier.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GAMMA, DECAY_IMAGES = 10.0, 10000


def linear(inputs: int, outputs: int, lrmul: float = 1.0) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=math.sqrt(2 / inputs))
    nn.init.zeros_(layer.bias)
    layer.lrmul = lrmul
    return layer


class Mapping(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([linear(dim, dim, 0.1) for _ in range(6)])

    def forward(self, z: Tensor) -> Tensor:
        w = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
        for layer in self.layers:
            w = F.leaky_relu(layer(w), 0.2)
        return w


class Generator(nn.Module):
    def __init__(self, dim: int, hidden: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.fc_1, self.fc_2 = linear(dim, hidden), linear(hidden, hidden)
        self.fc_3 = linear(hidden, side * side)

    def forward(self, w: Tensor) -> Tensor:
        h = F.leaky_relu(self.fc_1(w), 0.01)
        h = F.leaky_relu(self.fc_2(h), 0.01)
        return self.fc_3(h).view(-1, 1, self.side, self.side)


class Encoder(nn.Module):
    def __init__(self, dim: int, hidden: int, side: int) -> None:
        super().__init__()
        self.fc_1, self.fc_2 = linear(side * side, hidden), linear(hidden, hidden)
        self.fc_3 = linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        h = F.leaky_relu(self.fc_1(x.flatten(1)), 0.2)
        h = F.leaky_relu(self.fc_2(h), 0.2)
        return F.leaky_relu(self.fc_3(h), 0.01)


class Discriminator(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*[linear(dim, dim, 0.1) for _ in range(3)])

    def forward(self, w: Tensor) -> Tensor:
        return self.layers(w)[:, 0]


class EqualizedAdam:
    """Adam with beta1 = 0 and a step per layer; eps outside the bias correction, as the released optimizer has it."""

    def __init__(self, modules: list[nn.Module], lr: float) -> None:
        rates: dict[float, list[Tensor]] = {}
        for layer in (inner for module in modules for inner in module.modules() if isinstance(inner, nn.Linear)):
            scale = math.sqrt(2 / layer.in_features) * layer.lrmul
            rates.setdefault(lr * scale, []).append(layer.weight)
            rates.setdefault(lr * layer.lrmul, []).append(layer.bias)
        groups = [{"params": params, "lr": rate} for rate, params in rates.items()]
        self.adam = torch.optim.Adam(groups, betas=(0.0, 0.99), eps=1e-8, fused=True)
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
    def __init__(self, images: Tensor, batch: int, dim: int = 50, hidden: int = 1024, lazy: int = 1) -> None:
        side = images.shape[-1]
        self.images, self.batch, self.dim, self.lazy, self.steps = images, batch, dim, lazy, 0
        self.F, self.G = Mapping(dim), Generator(dim, hidden, side)
        self.E, self.D = Encoder(dim, hidden, side), Discriminator(dim)
        self.encoder_optimizer = EqualizedAdam([self.E, self.D], 0.002)
        self.decoder_optimizer = EqualizedAdam([self.G, self.F], 0.002)
        self.live = [p for part in (self.D, self.F, self.G, self.E) for p in part.parameters()]
        self.averaged = [p.detach().clone() for p in self.live]
        self.w_avg = torch.zeros(dim)
        self.order, self.at = torch.randperm(len(images)), 0

    def next_batch(self) -> Tensor:
        if self.at + self.batch > len(self.images):
            self.order, self.at = torch.randperm(len(self.images)), 0
        chosen = self.order[self.at : self.at + self.batch]
        self.at += self.batch
        return self.images[chosen].float().div_(255)

    def generate(self) -> tuple[Tensor, Tensor]:
        w = self.F(torch.randn(self.batch, self.dim))
        with torch.no_grad():
            self.w_avg.lerp_(w.mean(0), 0.005)
        return w, self.G(w)

    def freeze(self, frozen: bool) -> None:
        for part in (self.E, self.D):
            part.requires_grad_(not frozen)

    def step(self) -> tuple[Tensor, Tensor, Tensor]:
        x = self.next_batch()

        self.encoder_optimizer.zero_grad()
        with torch.no_grad():
            _, x_fake = self.generate()
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
        _, x_fake = self.generate()
        loss_g = F.softplus(-self.D(self.E(x_fake))).mean()
        loss_g.backward()
        self.decoder_optimizer.step()
        self.freeze(False)

        self.encoder_optimizer.zero_grad()
        self.decoder_optimizer.zero_grad()
        w, x_fake = self.generate()
        loss_ae = F.mse_loss(self.E(x_fake), w.detach())
        loss_ae.backward()
        self.encoder_optimizer.step()
        self.decoder_optimizer.step()

        with torch.no_grad():
            torch._foreach_lerp_(self.averaged, self.live, 1 - 0.5 ** (self.batch / DECAY_IMAGES))
        return loss_d.detach(), loss_g.detach(), loss_ae.detach()
