"""The roles of ``[inference]``, evaluated on stand-ins for data, and as users call them."""

from __future__ import annotations

import attrs
import torch

from latentkit.engine.evaluating import evaluate
from latentkit.errors import LatentkitError
from latentkit.evaluation.subjects import lacks_role
from latentkit.model import Model
from latentkit.proof.synthetic import Synthetic
from latentkit.runs.observing import can_sample
from latentkit.testing.checks import Nonconforming, require, said
from latentkit.testing.values import disagreement, floats
from latentkit.testing.workplace import seeded
from latentkit.wiring.batching import even_batch
from latentkit.wiring.graph import Node, ancestors

BATCHES = (1, 2, 5)


def roles_are_evaluated(model: Model) -> None:
    """Each role gives finite values of its space, for several batches.

    Raises:
        Nonconforming: one does not.
    """
    wiring = model.wiring
    for wanted in BATCHES:
        batch = even_batch(wiring.graph.nodes, wanted)
        synthetic = Synthetic(wiring, batch, torch.device("cpu"), torch.float32)
        for role, node in wiring.inference.items():
            try:
                with seeded():
                    (value,) = evaluate([node], model.parts, wiring.spaces, synthetic.value)
            except Exception as error:
                raise Nonconforming(f"role '{role}', {batch} samples: raises {said(error)}") from error
            space = attrs.evolve(wiring.spaces[node], range=None)
            fault = disagreement(value, space, _samples(node, batch))
            require(not fault, f"role '{role}' is {space}, but its result is {fault}")
            finite = all(bool(tensor.isfinite().all()) for tensor in floats(value))
            require(finite, f"role '{role}', {batch} samples: is not finite")


def _samples(node: Node, batch: int) -> int | None:
    """How many samples a role gives; not told where its expression cuts or joins batches."""
    found = ancestors([node])
    plain = all(other.op not in ("chunk", "concat", "take") for other in found)
    return batch if plain and any(other.is_source("data", "draw", "kept") for other in found) else None


def methods_work(model: Model) -> None:
    """Sampling, encoding, decoding and interpolating as users do.

    Raises:
        Nonconforming: one raises, or gives another shape.
    """
    try:
        if can_sample(model):
            images = model.sample(3, seed=0)
            require(torch.equal(images, model.sample(3, seed=0)), "sample() gives other images for the same seed")
        if not lacks_role(model, "encode"):
            space = model.image_space
            x = torch.rand(3, *[dim for dim in space.dims if isinstance(dim, int)])
            code = model.encode(x)
            if "decode" in model.roles:
                require(model.decode(code).shape == x.shape, "decode() of a code has another shape than the images")
                between = model.interpolate(x[:1], x[1:2], steps=3)
                require(between.shape == (1, 3, *x.shape[1:]), "interpolate() has another shape than [1, 3, c, h, w]")
    except LatentkitError as error:
        raise Nonconforming(f"a role that should need images or nothing: {error}") from error
