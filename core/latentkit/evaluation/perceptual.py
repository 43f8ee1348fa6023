"""Distances of images in the maps of a network, and those of reconstructions.

Zhang, Isola, Efros, Shechtman, Wang 2018, https://arxiv.org/abs/1801.03924, eq. 1. It is LPIPS with the network that
carries its heads. With the self-trained classifier it is of the same form, every channel counting alike.
"""

from __future__ import annotations

from collections import abc
from typing import ClassVar

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor

from latentkit.engine.samples import Samples
from latentkit.evaluation.network_choice import lacks_network, network_of
from latentkit.evaluation.networks import FeatureNetwork
from latentkit.evaluation.paths import LARGEST, averaged_down
from latentkit.evaluation.protocols import is_network, of_images, of_network
from latentkit.evaluation.quantising import KINDS, Quantisation, quantised
from latentkit.evaluation.subjects import finite, images, lacks_held_out, lacks_role
from latentkit.interfaces import Figure, Metric
from latentkit.model import Model

_TINY = 1e-10
_PIXELS = 2**19
"""Of all images that are in a network at once."""


@attrs.frozen(kw_only=True)
class Perceptual(Metric):
    """Distance of held-out images and their reconstructions in the maps of a network (LPIPS, with its network)."""

    slow: ClassVar[bool] = True
    figures: ClassVar[tuple[str, ...]] = ("perceptual",)

    features: str | FeatureNetwork | None = attrs.field(default=None, validator=is_network)
    """A file with a network's weights, or a network, in place of the self-trained classifier."""
    quantisation: Quantisation = attrs.field(default="round", validator=attrs.validators.in_(KINDS))
    """How both images get steps of 8 bits."""

    def applies(self, model: Model, samples: Samples | None) -> str:
        """Needs a way back and forth, held-out images, and a network: labels, or a file."""
        reason = lacks_role(model, "reconstruct") or lacks_held_out(samples)
        return reason or lacks_network(samples, self.features, "maps", model.device)

    def measure(self, model: Model, samples: Samples | None, *, n: int, seed: int) -> list[Figure]:
        """Mean over the first ``n`` held-out images, 0 or more. Above 256 pixels, both are averaged down first.

        Raises:
            LatentkitError: the network does not take such images.
            NotFiniteError: a reconstruction is not finite.
        """
        assert samples is not None
        chosen, found, span = samples.held_out[:n], [], samples.spec.range
        network = network_of(samples, self.features, model.device)
        for x in images(model, samples, chosen):
            rebuilt = finite(model.reconstruct(x), "the role 'reconstruct'").float().cpu()
            pair = [quantised(averaged_down(value), span, self.quantisation) for value in (x.float(), rebuilt)]
            found.append(distances(network, *pair))
        protocol = {
            **of_network(network), **of_images(samples, chosen), "quantisation": self.quantisation, "largest": LARGEST,
            "images": "held out",
        }  # fmt: skip
        return [Figure(name="perceptual", value=float(torch.cat(found).mean()), protocol=protocol)]


def distances(network: FeatureNetwork, a: Tensor, b: Tensor) -> Tensor:
    """Perceptual distance of pairs of images, [n, c, h, w] in [0, 1] each, to float64 [n]; 0 or more.

    ``sum_l mean_{h, w} sum_c weight_lc (u_lc(a) - u_lc(b))^2``, where ``u_l`` is map ``l`` with the channels of each
    place scaled to length 1.
    """
    pieces = zip(_parts(a), _parts(b), strict=True)
    with torch.no_grad():
        return torch.cat([apart(network.maps(x), network.maps(y), network.heads).cpu() for x, y in pieces])


def apart(
    a: abc.Sequence[Tensor], b: abc.Sequence[Tensor], heads: abc.Sequence[Tensor] | None, where: Tensor | None = None
) -> Tensor:
    """How far the maps of pairs of images are apart, with gradients: the sum of :func:`distances`, float64 [n].

    Args:
        a: map by map, [n, c', h', w'].
        b: likewise.
        heads: weights of the channels of each map, [c'], or 1 each.
        where: how much each place counts in the mean over places, [n, 1, h, w] of the images' sizes or any others;
            areas of it are averaged for a place of a map.
    """
    total = torch.zeros(len(a[0]), dtype=torch.float64, device=a[0].device)
    for place, (x, y) in enumerate(zip(a, b, strict=True)):
        squares = _mean_over_places((_unit(x) - _unit(y)).square(), where).double()  # n c
        weights = torch.ones_like(squares[0]) if heads is None else heads[place].to(squares)
        total = total + squares @ weights
    return total


def _mean_over_places(squares: Tensor, where: Tensor | None) -> Tensor:
    if where is None:
        return squares.mean((2, 3))
    share = F.adaptive_avg_pool2d(where.to(squares), (squares.shape[2], squares.shape[3]))
    return (squares * share).mean((2, 3)) / share.mean((2, 3))


def _unit(x: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    return x / (length + _TINY)


def _parts(images: Tensor) -> abc.Sequence[Tensor]:
    return torch.split(images, max(1, min(256, _PIXELS // (images.shape[-2] * images.shape[-1]))))
