"""How sharp reconstructions of unseen images are beside the images themselves.

Two figures, both 1 where a reconstruction is its image, and neither raised by noise: how steep edges are, wherever
they are, and how much of the fine detail is there, at its place.
"""

from __future__ import annotations

import math
from typing import ClassVar

import attrs
import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor

from latentkit.engine.samples import Samples
from latentkit.evaluation.protocols import of_images
from latentkit.evaluation.quantising import as_pictures
from latentkit.evaluation.subjects import finite, images, lacks_held_out, lacks_role
from latentkit.interfaces import Figure, Metric
from latentkit.model import Model

SHARE = 0.95
"""Of an image's places are less steep than the one that counts: edges are few, and noise between them many."""
_SIDE, _LEVELS = 3, 255
_SOBEL = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 8
_LAPLACE = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])


@attrs.frozen(kw_only=True)
class Sharpness(Metric):
    """Steepness of edges, and fine detail at its place, of reconstructions of held-out images; 1 = the originals'."""

    figures: ClassVar[tuple[str, ...]] = ("sharpness-edges", "sharpness-detail")

    def applies(self, model: Model, samples: Samples | None) -> str:
        """Needs a way back and forth, and held-out images with sides of 3 or more."""
        reason = lacks_role(model, "reconstruct") or lacks_held_out(samples)
        if reason or samples is None:
            return reason
        height, width = samples.table.fields["image"].shape[2:]
        small = min(height, width) < _SIDE
        return f"images of {height} x {width} are too small for edges: sides of {_SIDE} or more" if small else ""

    def measure(self, model: Model, samples: Samples | None, *, n: int, seed: int) -> list[Figure]:
        """Ratios to the first ``n`` held-out images, both sides clipped and rounded to 8 bits; no ``seed``.

        ``sharpness-edges`` is the mean steepness of reconstructions divided by that of the images, ``sharpness-detail``
        ``sum <lap(x_rec), lap(x)> / sum |lap(x)|^2``, where noise, and edges elsewhere, count nothing on average.
        ``energy`` in its protocol is ``sum |lap(x_rec)|^2 / sum |lap(x)|^2``, which both raise.

        Raises:
            NotFiniteError: a reconstruction is not finite.
        """
        assert samples is not None
        chosen, span = samples.held_out[:n], samples.spec.range
        steep, products = torch.zeros(2, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
        for x in images(model, samples, chosen):
            rebuilt = finite(model.reconstruct(x), "the role 'reconstruct'").float().cpu()
            # Whole numbers, so that a plain image has no edges, and not those of rounding.
            pair = [as_pictures(value, span).mul(_LEVELS).round() for value in (x.float(), rebuilt)]
            steep += torch.stack([steepness(pictures).double().sum() for pictures in pair])
            before, after = (laplacian(pictures).double() for pictures in pair)
            products += torch.stack([(a * b).sum() for a, b in ((before,) * 2, (before, after), (after,) * 2)])
        protocol: dict[str, object] = {**of_images(samples, chosen), "quantisation": "round", "images": "held out"}
        originals = float(steep[0] / (_LEVELS * len(chosen)))
        return [
            Figure(
                name="sharpness-edges", value=float(steep[1] / steep[0]),
                protocol={**protocol, "percentile": 100 * SHARE, "originals": originals},
            ),
            Figure(
                name="sharpness-detail", value=float(products[1] / products[0]),
                protocol={**protocol, "energy": float(products[2] / products[0])},
            ),
        ]  # fmt: skip


def steepness(pictures: Tensor) -> Tensor:
    """95th percentile of the gradient's length over an image, in the unit of brightness per pixel: n c h w to n.

    The gradient is Sobel's, which averages three neighbours across its direction; of several channels the length is
    the root of the mean square. Borders are left out.
    """
    kernels = torch.stack([_SOBEL, _SOBEL.T])[:, None].to(pictures)
    slopes = F.conv2d(rearrange(pictures, "n c h w -> (n c) 1 h w"), kernels)
    squares = rearrange(slopes.square(), "(n c) two h w -> n c two (h w)", n=len(pictures))
    lengths = reduce(squares, "n c two p -> n p", "sum").div(pictures.shape[1]).sqrt()
    return lengths.kthvalue(math.ceil(SHARE * lengths.shape[1]), dim=1).values


def laplacian(pictures: Tensor) -> Tensor:
    """Sum of the four neighbours, less four times the pixel, without borders: n c h w to n c h-2 w-2."""
    flat = F.conv2d(rearrange(pictures, "n c h w -> (n c) 1 h w"), _LAPLACE[None, None].to(pictures))
    return rearrange(flat, "(n c) 1 h w -> n c h w", n=len(pictures))
