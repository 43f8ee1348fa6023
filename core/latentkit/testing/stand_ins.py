"""Stand-ins for what surrounds a component: data, encoders, a generator, and recipes made of them."""

from __future__ import annotations

import copy
from typing import ClassVar

import attrs
import numpy as np
from torch import Tensor, nn

from latentkit.components.posteriors import Posterior
from latentkit.components.sizes import known_sizes
from latentkit.interfaces import Component, DataSource, Encoder, Generator, Table
from latentkit.registry.catalogue import Entry
from latentkit.registry.manager import Registry
from latentkit.registry.quarantine import PluginInfo

PLUGIN = "conformance"
SIDE, DIM = 8, 6


@attrs.frozen(kw_only=True)
class Samples(DataSource):
    """Random images with whatever fields a recipe wants: ``label`` below ``classes``, others as ``width`` numbers."""

    native_size: ClassVar[tuple[int, int]] = (SIDE, SIDE)
    count: int = 64
    fields: tuple[str, ...] = ("image", "label")
    labels: int = 3
    width: int = 5

    def classes(self) -> int | None:
        """As the option says."""
        return self.labels

    def offers(self) -> tuple[str, ...]:
        """As the option says."""
        return self.fields

    def open(self, height: int, width: int, channels: int) -> Table:
        """``image`` uint8 [n, channels, height, width], ``label`` int64 [n], others float32 [n, width]."""
        rng = np.random.default_rng(0)
        shape = (self.count, channels, height, width)
        known = {
            "image": rng.integers(0, 256, shape, np.uint8),
            "label": np.arange(self.count, dtype=np.int64) % self.labels,
        }
        more = {name: rng.random((self.count, self.width), np.float32) for name in self.fields if name not in known}
        return Table({name: value for name, value in (known | more).items() if name in self.fields})


@attrs.frozen(kw_only=True)
class LinearEncoder(Encoder):
    """One linear layer from image to latent."""

    ports: ClassVar[str] = "x: image[channels, height, width] in range -> w: latent[dim]"
    independent: ClassVar[bool] = True
    channels: int | None = None
    height: int | None = None
    width: int | None = None
    dim: int | None = None

    def build(self) -> nn.Module:
        """``x: b channels height width -> w: b dim``."""
        channels, height, width, dim = known_sizes(self, "channels", "height", "width", "dim")
        return nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, dim))


@attrs.frozen(kw_only=True)
class LinearGenerator(Generator):
    """One linear layer from latent to image."""

    ports: ClassVar[str] = "w: latent[dim] -> x: image[channels, height, width] in range"
    independent: ClassVar[bool] = True
    dim: int | None = None
    channels: int | None = None
    height: int | None = None
    width: int | None = None

    def build(self) -> nn.Module:
        """``w: b dim -> x: b channels height width``."""
        dim, *image = known_sizes(self, "dim", "channels", "height", "width")
        size = int(np.prod(image))
        return nn.Sequential(nn.Linear(dim, size), nn.Unflatten(1, image))


class _Halves(nn.Module):
    def __init__(self, inputs: int, dim: int) -> None:
        super().__init__()
        self.layer = nn.Linear(inputs, 2 * dim)

    def forward(self, x: Tensor) -> Posterior:
        return Posterior(*self.layer(x.flatten(1)).chunk(2, 1))


@attrs.frozen(kw_only=True)
class LinearPosterior(Encoder):
    """One linear layer from image to a diagonal Gaussian."""

    ports: ClassVar[str] = "x: image[channels, height, width] in range -> q: posterior[dim]"
    independent: ClassVar[bool] = True
    channels: int | None = None
    height: int | None = None
    width: int | None = None
    dim: int | None = None

    def build(self) -> nn.Module:
        """``x: b channels height width -> mu, logvar: b dim``."""
        channels, height, width, dim = known_sizes(self, "channels", "height", "width", "dim")
        return _Halves(channels * height * width, dim)


STAND_INS: dict[str, type[Component]] = {
    "samples": Samples, "encoder": LinearEncoder, "posterior": LinearPosterior, "generator": LinearGenerator
}  # fmt: skip
ENTRIES = {f"{PLUGIN}.{name}": Entry(f"{PLUGIN}.{name}", kind.kind, kind) for name, kind in STAND_INS.items()}
AUTOENCODER: dict[str, object] = {
    "title": "An encoder and a generator, to look at metrics and observers with",
    "data": {"use": f"{PLUGIN}.samples", "resolution": SIDE, "channels": 1, "split": 0.75},
    "draw": {"z": {"use": "normal", "dim": DIM}},
    "parts": {"E": {"use": f"{PLUGIN}.encoder"}, "G": {"use": f"{PLUGIN}.generator"}},
    "flow": {"x_fake": "G(z)"},
    "phase": {
        "rebuild": {
            "train": ["E", "G"],
            "loss": {
                "pixels": {"use": "l2", "of": "G(E(x))", "to": "x"},
                "latent": {"use": "l2", "of": "E(x_fake)", "to": "z"},
            },
        }
    },
    "train": {"steps": 3, "batch": 4, "log_every": 1},
    "inference": {"sample": "x_fake", "encode": "E(x)", "code": "z", "decode": "G(z)"},
}
VARIATIONAL: dict[str, object] = {
    **AUTOENCODER,
    "title": "A variational autoencoder",
    "draw": {"z": {"use": "normal", "dim": DIM}, "eps": {"use": "normal", "dim": DIM}},
    "parts": {"E": {"use": f"{PLUGIN}.posterior"}, "G": {"use": f"{PLUGIN}.generator"}},
    "flow": {"q": "E(x)", "w": "reparameterize(q, eps)", "x_rec": "G(w)"},
    "phase": {
        "elbo": {
            "train": ["E", "G"],
            "loss": {
                "pixels": {"use": "gaussian-nll", "of": "x_rec", "to": "x"},
                "kl": {"use": "kl", "of": "q"},
            },
        }
    },
    "inference": {"sample": "G(z)", "encode": "q.mu", "code": "w", "decode": "G(w)"},
}
GENERATOR: dict[str, object] = {
    "title": "A generator alone, without data",
    "draw": {"z": {"use": "normal", "dim": DIM}},
    "parts": {"G": {"use": f"{PLUGIN}.generator", "channels": 1, "height": SIDE, "width": SIDE}},
    "phase": {"quieten": {"train": ["G"], "loss": {"size": "mean(square(G(z)))"}}},
    "inference": {"sample": "G(z)"},
}


def with_stand_ins(registry: Registry) -> Registry:
    """The registry with the stand-ins beside what it has; the one given stays as it is."""
    more = copy.copy(registry)
    more.entries = {**registry.entries, **ENTRIES}
    info = PluginInfo(PLUGIN, "Stand-ins", "", "built in", registry.plugins["core"].version)
    more.plugins = {**registry.plugins, PLUGIN: info}
    return more
