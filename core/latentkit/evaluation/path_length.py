"""Perceptual path length: how evenly images change along paths between codes.

Karras, Laine, Aila 2019, https://arxiv.org/abs/1812.04948, section 4.1, for any recipe whose samples come from one
latent draw; other draws (noise, a component) are the same at both ends of a step. Paths in z keep the length of their
first code, where the released code scales both to 1: that is the same where the mapping normalises its input, as
StyleGAN's does, and elsewhere it stays where the prior's codes are.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import attrs
import torch
from torch import Tensor

from latentkit.components.priors import Bernoulli, Index, OneHot
from latentkit.engine.samples import Samples
from latentkit.engine.streams import Streams, key_seed
from latentkit.evaluation.dependence import drawn_code, draws_behind
from latentkit.evaluation.network_choice import lacks_network, network_of
from latentkit.evaluation.networks import FeatureNetwork
from latentkit.evaluation.paths import CROPS, EPSILON, Crop, along_sphere, averaged_down, central_mean, cropped
from latentkit.evaluation.perceptual import distances
from latentkit.evaluation.protocols import is_network, of_network, resolution_of
from latentkit.evaluation.subjects import NO_DATA, data_needed, finite
from latentkit.interfaces import Figure, Metric
from latentkit.latents import lerp
from latentkit.model import Model
from latentkit.wiring.graph import Node

Where = Literal["full", "end"]
_CHUNK = 256
_STRAIGHT = ("latent", "features", "styles")
"""Spaces in which codes are on straight lines."""
_LEAST_SIDE = 8
"""Of an image that is cropped."""


@attrs.frozen(kw_only=True)
class PathLength(Metric):
    """Perceptual distance per squared step along paths between codes: straight in w, on great circles in z."""

    slow: ClassVar[bool] = True
    figures: ClassVar[tuple[str, ...]] = ("path-length-w", "path-length-z")

    features: str | FeatureNetwork | None = attrs.field(default=None, validator=is_network)
    """A file with a network's weights, or a network, in place of the self-trained classifier."""
    where: Where = attrs.field(default="full", validator=attrs.validators.in_(("full", "end")))
    """Steps anywhere on the paths, or at their starts."""
    crop: Crop = attrs.field(default="none", validator=attrs.validators.in_(CROPS))
    """The part of the images: all, the face, or the face as celeba-128 has it."""

    def applies(self, model: Model, samples: Samples | None) -> str:
        """Needs samples that are made of codes, and a network: labels, or a file."""
        w, z = _without(model)
        if w and z:
            return w if w == z else f"in w, {w}; in z, {z}"
        space = model.wiring.spaces[model.wiring.inference["sample"]]
        if space.kind != "image" or not isinstance(space.range, tuple):
            return f"the role 'sample' is {space}, and no image of a known value range"
        if self.crop != "none" and min(side for side in space.dims[1:] if isinstance(side, int)) < _LEAST_SIDE:
            return f"images of less than {_LEAST_SIDE} pixels a side cannot be cropped"
        if self.features is None and samples is None:
            return NO_DATA
        return lacks_network(samples, self.features, "maps", model.device)

    def measure(self, model: Model, samples: Samples | None, *, n: int, seed: int) -> list[Figure]:
        """``path-length-w`` and ``path-length-z``, or the one that this recipe has, over ``n`` pairs of codes.

        Images are not quantised, as the step is far below that of 8 bits. Distances beyond the 1st and 99th percentile
        are left out.

        Raises:
            LatentkitError: the network does not take such images.
            NotFiniteError: an image is not finite.
        """
        network = network_of(samples, self.features, model.device)
        space = model.wiring.spaces[model.wiring.inference["sample"]]
        height, width = (int(side) for side in space.dims[1:] if isinstance(side, int))
        protocol: dict[str, object] = {
            **of_network(network), "n": n, "seed": seed, "resolution": resolution_of(height, width),
            "quantisation": "none",
            "where": self.where, "epsilon": EPSILON, "crop": self.crop,
        }  # fmt: skip
        t = torch.zeros(n)
        if self.where == "full":
            t = torch.rand(n, generator=Streams(seed, torch.device("cpu")).at("path-length", "t"))
        reasons = dict(zip("wz", _without(model), strict=True))
        without = {f"none_in_{letter}": reason for letter, reason in reasons.items() if reason}
        found = []
        for letter, reason in reasons.items():
            if reason:
                continue
            value, kept = central_mean(self._steps(model, network, letter, t, seed))
            path = {"w": "straight", "z": "great circle"}[letter]
            notes = {**protocol, "path": path, "kept": kept, **without}
            found.append(Figure(name=f"path-length-{letter}", value=value, protocol=notes))
        return found

    def _steps(self, model: Model, network: FeatureNetwork, letter: str, t: Tensor, seed: int) -> Tensor:
        """Distance over squared step, per pair: float64 [n]."""
        node = drawn_code(model.wiring) if letter == "w" else _drawn(model)
        assert node is not None
        n = len(t)
        ends: Tensor = model.values([node], 2 * n, seed=seed)[0].cpu()
        a, b = ends[:n].double(), ends[n:].double()
        codes = []
        for place in (t.double(), t.double() + EPSILON):
            straight = place.reshape(-1, *[1] * (a.ndim - 2))
            codes.append(lerp(a, b, straight) if letter == "w" else along_sphere(a, b, place) * _lengths(a))
        found = []
        for start in range(0, n, _CHUNK):
            part = slice(start, start + _CHUNK)
            fixed = key_seed(seed, "path-length", start)
            first, second = (self._images(model, letter, node, code[part].to(ends), fixed) for code in codes)
            found.append(distances(network, first, second))
        return torch.cat(found) / EPSILON**2

    def _images(self, model: Model, letter: str, node: Node, codes: Tensor, seed: int) -> Tensor:
        """From a value range to [0, 1], neither clipped nor rounded; cropped, and at most 256 pixels a side."""
        role, name = ("decode", model.wiring.recipe.inference["code"]) if letter == "w" else ("sample", node.source[1])
        given = {str(name): codes}
        images = model.role(role, len(codes), seed=seed, **given)
        span = model.wiring.spaces[model.wiring.inference["sample"]].range
        assert isinstance(span, tuple)
        scaled = (finite(images, "the generator").float().cpu() - span[0]) / (span[1] - span[0])
        return averaged_down(cropped(scaled, self.crop))


def _without(model: Model) -> tuple[str, str]:
    """Why there are no paths in w, and why none in z; empty where there are."""
    inference = model.wiring.inference
    if "sample" not in inference:
        return ("there is no role 'sample'",) * 2
    sample = inference["sample"]
    others = data_needed([sample])
    if others:
        return (f"the role 'sample' needs {', '.join(sorted(others))}",) * 2
    z = _lacks_draw(model, sample)
    if "decode" not in inference or model.wiring.code is None:
        return "there is no role 'decode' of a code", z
    others = data_needed([inference["decode"]])
    if others:
        return f"the role 'decode' needs {', '.join(sorted(others))} besides codes", z
    mapped = drawn_code(model.wiring)
    if mapped is None:
        return "nothing tells which value of a sample is its code", z
    if mapped.is_source("draw"):
        return "the code is the draw itself", z
    space = model.wiring.spaces[mapped]
    return "" if space.kind in _STRAIGHT else f"the code is {space}", z


def _lacks_draw(model: Model, sample: Node) -> str:
    draws = _latent_draws(model, sample)
    names = ", ".join(str(node.source[1]) for node in draws)
    if len(draws) != 1:
        return f"a sample is made of {len(draws)} latent draws{f' ({names})' if names else ''}, and not of one"
    return "" if model.wiring.spaces[draws[0]].dims[0] != 1 else "a circle needs codes of two numbers or more"


def _latent_draws(model: Model, sample: Node) -> list[Node]:
    """The continuous draws of latent codes behind a sample."""
    wiring = model.wiring
    return [
        node
        for node in sorted(draws_behind([sample]))
        if wiring.spaces[node].kind == "latent"
        and not isinstance(wiring.draws[node.source[1]].prior, Bernoulli | Index | OneHot)
    ]


def _drawn(model: Model) -> Node:
    return _latent_draws(model, model.wiring.inference["sample"])[0]


def _lengths(codes: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(codes, dim=-1, keepdim=True)
    return length
