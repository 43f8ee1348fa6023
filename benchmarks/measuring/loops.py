"""The hand-written loops, built with the sizes and the images of a recipe.

A maker is made first, which has read the recipe and the images; calling it builds the loop.
"""

from __future__ import annotations

import functools
from collections import abc
from pathlib import Path
from typing import Protocol

import torch
from baselines.alae_mlp import Baseline as AlaeLoop
from baselines.gaia import Baseline as GaiaLoop
from baselines.ogan import Baseline as OganLoop
from baselines.stylealae import Baseline as StyleLoop
from baselines.vae import Baseline as VaeLoop
from torch import Tensor

from latentkit._building import wired
from latentkit.engine.samples import Samples, open_samples
from latentkit.engine.training import Training
from latentkit.registry.manager import default_registry
from latentkit.settings import Settings
from latentkit.wiring.wiring import Wiring
from measuring.variants import Overrides

VAE = str(Path(__file__).parents[1] / "recipes/vae-mlp.toml")


class Loop(Protocol):
    """A loop written by hand."""

    def step(self) -> object:
        """One training step."""


Maker = abc.Callable[[], Loop]


def opened(wiring: Wiring) -> dict[str, Samples]:
    """The data of a recipe."""
    return {name: open_samples(name, wiring.recipe.data[name], source) for name, source in wiring.data.items()}


def training(recipe: str, settings: Settings, overrides: Overrides | None = None) -> Training:
    """A recipe, ready to train."""
    wiring = wired(recipe, overrides)
    return Training(wiring, default_registry(), opened(wiring), settings)


def images_of(wiring: Wiring) -> Tensor:
    """All images, as bytes."""
    return torch.from_numpy(opened(wiring)["data"].array("image"))


def alae(overrides: Overrides, lazy: int = 1) -> Maker:
    wiring = wired("alae-mlp", overrides)
    encoder = wiring.parts["E"]
    batch = wiring.recipe.train.batch
    return functools.partial(AlaeLoop, images_of(wiring), batch, encoder.dim, encoder.hidden, lazy)


def ogan(overrides: Overrides, norms: bool = True) -> Maker:
    wiring = wired("ogan", overrides)
    encoder, phase = wiring.parts["E"], wiring.recipe.phase["encode"]
    channels = [encoder.channels_base << level for level in range((encoder.height // 4).bit_length() - 1)]
    rate, weight = wiring.recipe.optimizer.lr.at(0, 0), phase.loss["latent"].weight.value
    batch = wiring.recipe.train.batch
    return functools.partial(OganLoop, images_of(wiring), batch, encoder.dim, channels, weight, rate, norms)


def vae(overrides: Overrides) -> Maker:
    wiring = wired(VAE, overrides)
    encoder, rate = wiring.parts["E"], wiring.recipe.optimizer.lr.at(0, 0)
    return functools.partial(
        VaeLoop, images_of(wiring), wiring.recipe.train.batch, encoder.dim, encoder.hidden, rate
    )  # fmt: skip


def style(overrides: Overrides, fused: bool = True) -> Maker:
    wiring = wired("stylealae", overrides)
    encoder, layers, batch = wiring.parts["E"], wiring.parts["F"].layers, wiring.recipe.train.batch
    rate, widths = wiring.recipe.optimizer.lr.at(0, 0), (encoder.channels_base, encoder.max_channels)
    return functools.partial(StyleLoop, images_of(wiring), batch, encoder.dim, layers, *widths, rate, fused=fused)


def gaia(overrides: Overrides) -> Maker:
    wiring = wired("gaia", overrides)
    encoder, critic = wiring.parts["E"], wiring.parts["D"]
    widths, rate = (encoder.channels_base, critic.channels_base), wiring.recipe.scalars["rate"].value
    sizes = (widths, encoder.blocks, encoder.content, encoder.style)
    return functools.partial(GaiaLoop, images_of(wiring), wiring.recipe.train.batch, *sizes, rate)
