"""Straight lines between the codes of held-out images, for metrics that look at what is decoded there."""

from __future__ import annotations

from collections import abc

import numpy as np
import torch
from torch import Tensor

from latentkit.engine.samples import Samples
from latentkit.errors import LatentkitError
from latentkit.evaluation.quantising import as_pictures
from latentkit.evaluation.subjects import finite, images, lacks_held_out, lacks_labels, lacks_role
from latentkit.latents import lerp
from latentkit.model import Model

PAIRS = "random, of two classes"
"""In protocols. Within a class a line hardly leaves what is an image."""


def lacks_lines(model: Model, samples: Samples | None) -> str:
    """Why there are no lines between images of two classes; empty where there are."""
    reason = lacks_role(model, "encode", "decode") or lacks_held_out(samples)
    return reason if reason or samples is None else lacks_labels(samples)


def partners(known: np.ndarray, generator: torch.Generator) -> Tensor:
    """For each image the place of one of another class, all such equally likely: classes [n] to int64 [n].

    Raises:
        LatentkitError: they are all of one class.
    """
    kinds, own = np.unique(known, return_inverse=True)
    if len(kinds) < 2:
        few = f"{len(known)} held-out images" if len(known) > 1 else "a single held-out image"
        raise LatentkitError(f"lines go between images of two classes, and of {few} there is one: take more, -n")
    places = [np.flatnonzero(own != kind) for kind in range(len(kinds))]
    drawn = torch.rand(len(known), generator=generator, dtype=torch.float64).numpy()
    return torch.tensor([int(places[kind][int(u * len(places[kind]))]) for kind, u in zip(own, drawn, strict=True)])


def codes_of(model: Model, samples: Samples, chosen: np.ndarray) -> Tensor:
    """What ``encode`` gives for these images, in its own shape, [n, ...].

    Raises:
        NotFiniteError: a code is not finite.
    """
    found = torch.cat([model.encode(x) for x in images(model, samples, chosen)])
    return finite(found, "the role 'encode'")


def between(model: Model, a: Tensor, b: Tensor, alphas: abc.Sequence[float], span: tuple[float, float]) -> Tensor:
    """Pictures of ``a + alpha (b - a)``, in steps of 8 bits, [n, ...] twice to float32 [n, k, c, h, w] on the CPU.

    Raises:
        NotFiniteError: an image is not finite.
    """
    codes = torch.stack([lerp(a, b, torch.tensor(alpha).to(a)) for alpha in alphas], 1)
    made = finite(model.decode(codes.flatten(0, 1)), "the role 'decode'").float().cpu()
    return as_pictures(made, span).reshape(*codes.shape[:2], *made.shape[1:])
