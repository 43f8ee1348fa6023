"""A VAE of perceptrons written by hand: one hidden layer, Bernoulli likelihood, eager, float32."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Baseline:
    def __init__(self, images: Tensor, batch: int, dim: int, hidden: int, lr: float) -> None:
        pixels = images[0].numel()
        self.images, self.batch = images, batch
        self.E = nn.Sequential(nn.Flatten(), nn.Linear(pixels, hidden), nn.ReLU(), nn.Linear(hidden, 2 * dim))
        self.G = nn.Sequential(
            nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, pixels), nn.Sigmoid(), nn.Unflatten(1, images[0].shape)
        )
        parameters = [*self.E.parameters(), *self.G.parameters()]
        self.optimizer = torch.optim.Adam(parameters, lr=lr, fused=True)
        self.order, self.at = torch.randperm(len(images)), 0

    def next_batch(self) -> Tensor:
        if self.at + self.batch > len(self.images):
            self.order, self.at = torch.randperm(len(self.images)), 0
        chosen = self.order[self.at : self.at + self.batch]
        self.at += self.batch
        return self.images[chosen].float().div_(255)

    def step(self) -> Tensor:
        x = self.next_batch()
        mu, logvar = self.E(x).chunk(2, 1)
        z = mu + (0.5 * logvar).exp() * torch.randn_like(mu)
        likelihood = F.binary_cross_entropy(self.G(z), x, reduction="none").sum((1, 2, 3))
        kl = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum(1)
        loss = (likelihood + kl).mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.detach()
