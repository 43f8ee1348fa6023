"""Toy components for 8 x 8 images: one plugin, ``toy``, with every kind of part that a recipe can name."""

from __future__ import annotations

from collections import abc
from typing import ClassVar, NamedTuple

import attrs
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentkit.functions import Scalar, loss, stateless
from latentkit.hooks import hookimpl
from latentkit.interfaces import DataSource, Discriminator, Encoder, Function, Generator, Mapping, Table

IMAGE = "image[channels, height, width]"


class Posterior(NamedTuple):
    mu: Tensor
    logvar: Tensor


class Split(NamedTuple):
    content: Tensor
    style: Tensor


@attrs.frozen(kw_only=True)
class Images(DataSource):
    """Random images with labels, a function of ``seed``."""

    native_size: ClassVar[tuple[int, int]] = (8, 8)
    count: int = 48
    seed: int = 0

    def classes(self) -> int | None:
        return 10

    def offers(self) -> tuple[str, ...]:
        return ("image", "label")

    def open(self, height: int, width: int, channels: int) -> Table:
        rng = np.random.RandomState(self.seed)
        images = rng.randint(0, 256, (self.count, channels, height, width)).astype(np.uint8)
        return Table({"image": images, "label": np.arange(self.count) % 10})


def mlp(inputs: int, outputs: int, hidden: int = 12, bn: bool = False) -> nn.Sequential:
    norm = [nn.BatchNorm1d(hidden)] if bn else []
    return nn.Sequential(nn.Linear(inputs, hidden), *norm, nn.Softplus(), nn.Linear(hidden, outputs))


@attrs.frozen(kw_only=True)
class Gen(Generator):
    ports: ClassVar[str] = f"z: latent[dim] -> x: {IMAGE}"
    dim: int | None = None
    channels: int | None = None
    height: int | None = None
    width: int | None = None
    act: str = "tanh"
    bn: bool = False

    def build(self) -> nn.Module:
        return Draws(self.dim, (self.channels, self.height, self.width), self.act, self.bn)


@attrs.frozen(kw_only=True)
class Gen2(Generator):
    """From content and style together."""

    ports: ClassVar[str] = f"c: latent[content], v: latent[style] -> x: {IMAGE}"
    content: int | None = None
    style: int | None = None
    channels: int | None = None
    height: int | None = None
    width: int | None = None
    act: str = "tanh"

    def build(self) -> nn.Module:
        return Draws(self.content + self.style, (self.channels, self.height, self.width), self.act)


@attrs.frozen(kw_only=True)
class LabelGen(Generator):
    ports: ClassVar[str] = f"z: latent[dim], y: label[classes] -> x: {IMAGE}"
    dim: int | None = None
    classes: int | None = None
    channels: int | None = None
    height: int | None = None
    width: int | None = None

    def build(self) -> nn.Module:
        return Draws(self.dim + self.classes, (self.channels, self.height, self.width), "tanh")


@attrs.frozen(kw_only=True)
class Blobs(Generator):
    """A white blob on black; three numbers of the code say where it is and how large, the others nothing."""

    ports: ClassVar[str] = f"z: latent[dim] -> x: {IMAGE}"
    independent: ClassVar[bool] = True
    dim: int | None = None
    channels: int | None = None
    height: int | None = None
    width: int | None = None

    def build(self) -> nn.Module:
        return Blob((self.channels, self.height, self.width))


class Blob(nn.Module):
    """At ``0.15 z_0`` of the width and ``0.15 z_1`` of the height from the middle, of radius ``0.1 exp(0.3 z_2)``."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape, self.gain = shape, nn.Parameter(torch.ones(()))

    def forward(self, z: Tensor) -> Tensor:
        across, down = (
            torch.arange(side, dtype=z.dtype).add(0.5 - side / 2).div(side) - 0.15 * z[:, axis, None]
            for side, axis in ((self.shape[2], 0), (self.shape[1], 1))
        )
        squares = down.square()[:, :, None] + across.square()[:, None, :]
        blob = torch.exp(-squares / (2 * (0.1 * torch.exp(0.3 * z[:, 2])).square())[:, None, None])
        return self.gain * blob[:, None].expand(-1, *self.shape)


class Draws(nn.Module):
    """Perceptron from all inputs, joined, to an image."""

    def __init__(self, dim: int, shape: tuple[int, ...], act: str, bn: bool = False) -> None:
        super().__init__()
        self.net, self.shape, self.act = mlp(dim, int(np.prod(shape)), bn=bn), shape, getattr(torch, act)

    def forward(self, *codes: Tensor) -> Tensor:
        return self.act(self.net(torch.cat(codes, 1))).reshape(-1, *self.shape)


@attrs.frozen(kw_only=True)
class Translate(Generator):
    ports: ClassVar[str] = f"x: {IMAGE} -> y: {IMAGE}"
    channels: int | None = None
    height: int | None = None
    width: int | None = None

    def build(self) -> nn.Module:
        return Translation((self.channels, self.height, self.width))


class Translation(nn.Module):
    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.net, self.shape = mlp(int(np.prod(shape)), int(np.prod(shape))), shape

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.net(x.flatten(1))).reshape(-1, *self.shape)


@attrs.frozen(kw_only=True)
class Enc(Encoder):
    ports: ClassVar[str] = f"x: {IMAGE} -> w: latent[dim]"
    entries: ClassVar[abc.Mapping[str, str]] = {"features": f"x: {IMAGE} -> h: features[hidden]"}
    channels: int | None = None
    height: int | None = None
    width: int | None = None
    dim: int | None = None
    hidden: int = 12
    bn: bool = False

    def build(self) -> nn.Module:
        return Reads(self.channels * self.height * self.width, self.dim, self.hidden, self.bn)


class Reads(nn.Module):
    def __init__(self, inputs: int, dim: int, hidden: int, bn: bool) -> None:
        super().__init__()
        self.net = mlp(inputs, dim, hidden, bn)

    def features(self, x: Tensor) -> Tensor:
        return self.net[:-1](x.flatten(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.flatten(1))


@attrs.frozen(kw_only=True)
class Post(Encoder):
    ports: ClassVar[str] = f"x: {IMAGE} -> q: posterior[dim]"
    channels: int | None = None
    height: int | None = None
    width: int | None = None
    dim: int | None = None

    def build(self) -> nn.Module:
        return Halves(self.channels * self.height * self.width, (self.dim, self.dim), Posterior)


@attrs.frozen(kw_only=True)
class Splitter(Encoder):
    """Content and style: a record."""

    ports: ClassVar[str] = f"x: {IMAGE} -> content: latent[content], style: latent[style]"
    channels: int | None = None
    height: int | None = None
    width: int | None = None
    content: int = 6
    style: int = 2

    def build(self) -> nn.Module:
        return Halves(self.channels * self.height * self.width, (self.content, self.style), Split)


class Halves(nn.Module):
    def __init__(self, inputs: int, sizes: tuple[int, int], record: type) -> None:
        super().__init__()
        self.net, self.sizes, self.record = mlp(inputs, sum(sizes)), list(sizes), record

    def forward(self, x: Tensor) -> Posterior | Split:
        return self.record(*self.net(x.flatten(1)).split(self.sizes, 1))


@attrs.frozen(kw_only=True)
class Disc(Discriminator):
    ports: ClassVar[str] = f"x: {IMAGE} -> score"
    channels: int | None = None
    height: int | None = None
    width: int | None = None

    def build(self) -> nn.Module:
        return Judges(self.channels * self.height * self.width)


@attrs.frozen(kw_only=True)
class CodeDisc(Discriminator):
    ports: ClassVar[str] = "w: latent[dim] -> score"
    dim: int | None = None

    def build(self) -> nn.Module:
        return Judges(self.dim)


@attrs.frozen(kw_only=True)
class PairDisc(Discriminator):
    ports: ClassVar[str] = f"x: {IMAGE}, z: latent[dim] -> score"
    channels: int | None = None
    height: int | None = None
    width: int | None = None
    dim: int | None = None

    def build(self) -> nn.Module:
        return Judges(self.channels * self.height * self.width + self.dim)


@attrs.frozen(kw_only=True)
class LabelDisc(Discriminator):
    ports: ClassVar[str] = f"x: {IMAGE}, y: label[classes] -> score"
    channels: int | None = None
    height: int | None = None
    width: int | None = None
    classes: int | None = None

    def build(self) -> nn.Module:
        return Judges(self.channels * self.height * self.width + self.classes)


class Judges(nn.Module):
    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.net = mlp(inputs, 1)

    def forward(self, *values: Tensor) -> Tensor:
        return self.net(torch.cat([value.flatten(1) for value in values], 1))[:, 0]


@attrs.frozen(kw_only=True)
class Map(Mapping):
    ports: ClassVar[str] = "z: latent[dim] -> w: latent[dim]"
    dim: int | None = None

    def build(self) -> nn.Module:
        return mlp(self.dim, self.dim)


@attrs.frozen(kw_only=True)
class Pool(Function):
    """Replays earlier images, those with ``u`` below 0.5; keeps the last batch in a buffer."""

    ports: ClassVar[str] = f"x: {IMAGE}, u: score -> y: {IMAGE}"
    independent: ClassVar[bool] = False
    channels: int | None = None
    height: int | None = None
    width: int | None = None
    size: int = 8

    def build(self) -> nn.Module:
        return Replay((self.size, self.channels, self.height, self.width))


class Replay(nn.Module):
    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("store", torch.zeros(shape))

    def forward(self, x: Tensor, u: Tensor) -> Tensor:
        mixed = torch.where(u[:, None, None, None] < 0.5, self.store.clone(), x)
        self.store.copy_(x.detach())
        return mixed


@attrs.frozen(kw_only=True)
class StyleGen(Generator):
    """Two levels; ``lod`` chooses, ``blend`` mixes the upper one in."""

    ports: ClassVar[str] = (
        f"w: styles[layers, dim], noise: map[1, height, width], lod: scalar, blend: scalar -> x: {IMAGE}"
    )
    layers: int | None = None
    dim: int | None = None
    channels: int | None = None
    height: int | None = None
    width: int | None = None

    def build(self) -> nn.Module:
        return Levels(self.layers * self.dim, (self.channels, self.height, self.width))


class Levels(nn.Module):
    def __init__(self, dim: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape, size = shape, int(np.prod(shape))
        self.low, self.high, self.strength = mlp(dim, size), mlp(dim, size), nn.Parameter(torch.ones(()))

    def forward(self, w: Tensor, noise: Tensor, lod: int, blend: Tensor) -> Tensor:
        x = self.low(w.flatten(1)).reshape(-1, *self.shape)
        if lod:
            x = torch.lerp(x, self.high(w.flatten(1)).reshape(-1, *self.shape), blend)
        return torch.tanh(x + 0.1 * self.strength * noise)


@attrs.frozen(kw_only=True)
class StyleEnc(Encoder):
    ports: ClassVar[str] = f"x: {IMAGE}, lod: scalar, blend: scalar -> w: latent[dim]"
    channels: int | None = None
    height: int | None = None
    width: int | None = None
    dim: int | None = None

    def build(self) -> nn.Module:
        return LevelsBack(self.channels * self.height * self.width, self.dim)


class LevelsBack(nn.Module):
    def __init__(self, inputs: int, dim: int) -> None:
        super().__init__()
        self.low, self.high = mlp(inputs, dim), mlp(inputs, dim)

    def forward(self, x: Tensor, lod: int, blend: Tensor) -> Tensor:
        w = self.low(x.flatten(1))
        return torch.lerp(w, self.high(x.flatten(1)), blend) if lod else w


@attrs.frozen(kw_only=True)
class Mixing(Function):
    """Styles of the first code up to ``cut``, of the second from there."""

    ports: ClassVar[str] = "w: latent[dim], w2: latent[dim], cut: score, lod: scalar -> styles[layers, dim]"
    layers: int = 2
    dim: int | None = None

    def build(self) -> nn.Module:
        return Mixes(self.layers)


class Mixes(nn.Module):
    def __init__(self, layers: int) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, w: Tensor, w2: Tensor, cut: Tensor, lod: int) -> Tensor:
        level = torch.arange(self.layers, device=w.device)
        first = (level < cut[:, None] * (lod + 1) + 0.5)[..., None]
        return torch.where(first, w[:, None], w2[:, None])


@attrs.frozen(kw_only=True)
class Repeat(Function):
    ports: ClassVar[str] = "w: latent[dim] -> styles[layers, dim]"
    layers: int = 2
    dim: int | None = None

    def build(self) -> nn.Module:
        return Repeats(self.layers)


class Repeats(nn.Module):
    def __init__(self, layers: int) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, w: Tensor) -> Tensor:
        return w[:, None].expand(-1, self.layers, -1)


@attrs.frozen(kw_only=True)
class NoisyEnc(Encoder):
    """Draws numbers of its own, and counts its calls."""

    ports: ClassVar[str] = f"x: {IMAGE} -> w: latent[dim]"
    stochastic: ClassVar[bool] = True
    channels: int | None = None
    height: int | None = None
    width: int | None = None
    dim: int | None = None

    def build(self) -> nn.Module:
        inputs = self.channels * self.height * self.width
        return nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(inputs, self.dim))


@stateless("function", f"x: {IMAGE} -> {IMAGE}")
def fade(x: Tensor, lod: Scalar, blend: Scalar) -> Tensor:
    """Half the resolution below level 1, mixed in above."""
    low = F.interpolate(F.avg_pool2d(x, 2), scale_factor=2.0)
    return torch.lerp(low, x, blend) if lod else low


@stateless("function", "w: styles[layers, dim], average: A -> styles[layers, dim]")
def truncate(w: Tensor, average: Tensor, psi: Scalar) -> Tensor:
    """Towards the average."""
    return average + psi * (w - average)


@stateless("function", f"x: {IMAGE}, p: scalar, u: latent[3] -> {IMAGE}")
def ada(x: Tensor, p: Tensor, u: Tensor) -> Tensor:
    """Flips with probability p / 2, shifts in brightness with probability p."""
    x = torch.where((u[:, 0] < p / 2)[:, None, None, None], x.flip(3), x)
    return x + torch.where(u[:, 1] < p, u[:, 2], 0 * u[:, 2])[:, None, None, None]


@stateless("function", "mu: latent[dim], logvar: latent[dim] -> posterior[dim]")
def gaussian(mu: Tensor, logvar: Tensor) -> Posterior:
    """A posterior from its two fields."""
    return Posterior(mu, logvar)


@loss("q: posterior[dim] -> score", role="divergence", unit="nats", reduction="sum")
def kl(q: Posterior) -> Tensor:
    """From N(mu, exp(logvar)) to N(0, 1)."""
    return 0.5 * (q.mu.square() + q.logvar.exp() - q.logvar - 1).sum(1)


@loss("of: posterior[dim] -> score", role="divergence", unit="nats", reduction="sum")
def kl_loss(of: Posterior) -> Tensor:
    """The same as a loss."""
    return kl(of)


@loss("of: posterior[dim] -> score", role="divergence", unit="nats", reduction="sum")
def kl_capacity(of: Posterior, capacity: Scalar) -> Tensor:
    """Distance of the divergence from a capacity."""
    return (kl(of) - capacity).abs()


@loss("of: posterior[dim], at: latent[dim], components: posterior[dim] -> score", role="divergence", unit="nats")
def vamp_kl(of: Posterior, at: Tensor, components: Posterior) -> Tensor:
    """One sample's estimate against a mixture."""

    def density(q: Posterior, z: Tensor) -> Tensor:
        return -0.5 * ((z - q.mu).square() / q.logvar.exp() + q.logvar).sum(-1)

    mixture = density(Posterior(*(field[None] for field in components)), at[:, None]).logsumexp(1)
    return density(of, at) - mixture


@stateless("function", "a: T, b: T -> score")
def l1(a: Tensor, b: Tensor) -> Tensor:
    """Absolute error."""
    return (a - b).abs().flatten(1).mean(1)


@loss("h: latent[n] -> scalar", role="divergence", unit="nats", reduction="mean")
def batch_kl(h: Tensor) -> Tensor:
    """From the batch's moments to N(0, 1)."""
    mean, variance = h.mean(0), h.var(0, correction=0) + 1e-6
    return 0.5 * (mean.square() + variance - variance.log() - 1).mean()


@loss("of: A, to: B -> scalar")
def distance(of: Tensor, to: Tensor) -> Tensor:
    """Squared difference of the two matrices of distances."""

    def squared(value: Tensor) -> Tensor:
        flat = value.flatten(1)
        return (flat[:, None] - flat[None]).square().mean(-1)

    return (squared(of) - squared(to)).square().mean()


class Plugin:
    """What the registry is given."""

    title = "Toys"

    @hookimpl
    def latentkit_components(self) -> abc.Mapping[str, object]:
        return {
            "images": Images, "gen": Gen, "gen2": Gen2, "label-gen": LabelGen, "blobs": Blobs,
            "translate": Translate, "enc": Enc,
            "post": Post, "split": Splitter, "disc": Disc, "code-disc": CodeDisc, "pair-disc": PairDisc,
            "label-disc": LabelDisc, "map": Map, "pool": Pool, "style-gen": StyleGen, "style-enc": StyleEnc,
            "mixing": Mixing, "repeat": Repeat, "noisy-enc": NoisyEnc, "fade": fade, "truncate": truncate, "ada": ada,
            "gaussian": gaussian, "kl": kl, "kl-loss": kl_loss, "kl-capacity": kl_capacity, "vamp-kl": vamp_kl,
            "l1": l1, "batch-kl": batch_kl, "distance": distance,
        }  # fmt: skip
