"""O-GAN written by hand: the released joint objective, one scalar and one optimizer over E and G, eager, float32."""

from __future__ import annotations

import torch
from torch import Tensor, nn

LAMBDA_QP, EPS = 0.25, 1e-3


def initialised(layer: nn.Module) -> nn.Module:
    nn.init.normal_(layer.weight, std=0.02)
    nn.init.zeros_(layer.bias)
    return layer


def norm(channels: int, used: bool) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels, eps=EPS, momentum=0.01)] if used else []


class Encoder(nn.Module):
    def __init__(self, dim: int, channels: list[int], norms: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for level, (inputs, outputs) in enumerate(zip([1, *channels], channels, strict=False)):
            layers.append(initialised(nn.Conv2d(inputs, outputs, 4, 2, 1)))
            layers += norm(outputs, norms) if level else []
            layers.append(nn.LeakyReLU(0.2))
        self.layers = nn.Sequential(*layers, nn.Flatten(), initialised(nn.Linear(16 * channels[-1], dim)))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Generator(nn.Module):
    def __init__(self, dim: int, channels: list[int], norms: bool) -> None:
        super().__init__()
        widths = channels[::-1]
        layers: list[nn.Module] = [initialised(nn.Linear(dim, 16 * widths[0])), nn.Unflatten(1, (widths[0], 4, 4))]
        for inputs, outputs in zip(widths, [*widths[1:], 1], strict=True):
            layers += [*norm(inputs, norms), nn.ReLU(), initialised(nn.ConvTranspose2d(inputs, outputs, 4, 2, 1))]
        self.layers = nn.Sequential(*layers, nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


def direction(z: Tensor) -> Tensor:
    centred = z - z.mean(1, keepdim=True)
    return centred * centred.square().sum(1, keepdim=True).clamp(min=1e-12).rsqrt()


class Baseline:
    def __init__(
        self, images: Tensor, batch: int, dim: int, channels: list[int], weight: float, lr: float, norms: bool = True
    ) -> None:
        self.images, self.batch, self.dim, self.weight = images, batch, dim, weight
        self.E, self.G = Encoder(dim, channels, norms), Generator(dim, channels, norms)
        parameters = [*self.E.parameters(), *self.G.parameters()]
        self.optimizer = torch.optim.RMSprop(parameters, lr=lr, alpha=0.99, eps=1e-7, foreach=True)
        self.order, self.at = torch.randperm(len(images)), 0

    def next_batch(self) -> Tensor:
        if self.at + self.batch > len(self.images):
            self.order, self.at = torch.randperm(len(self.images)), 0
        chosen = self.order[self.at : self.at + self.batch]
        self.at += self.batch
        return self.images[chosen].float().div_(127.5).sub_(1)

    def step(self) -> Tensor:
        x, z = self.next_batch(), torch.randn(self.batch, self.dim)
        x_fake = self.G(z)
        constant = x_fake.detach()
        real, fake, fake_constant = self.E(x), self.E(x_fake), self.E(constant)
        t1 = real.mean(1) - fake_constant.mean(1)
        t2 = fake.mean(1) - fake_constant.mean(1)
        quotient = LAMBDA_QP * t1.square() / (x - constant).square().mean((1, 2, 3))
        rho = (direction(z) * direction(fake)).sum(1)
        loss = (t1 + t2 - self.weight * rho + quotient).mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.detach()
