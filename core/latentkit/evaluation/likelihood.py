"""Test log-likelihood by importance sampling (Burda, Grosse, Salakhutdinov 2016, https://arxiv.org/abs/1509.00519)."""

from __future__ import annotations

import math
from collections import abc
from typing import Any, ClassVar

import attrs
import torch
from torch import Tensor

from latentkit.engine.evaluating import evaluate
from latentkit.engine.samples import Samples
from latentkit.engine.streams import Streams, key_seed
from latentkit.errors import LatentkitError
from latentkit.evaluation.densities import Densities, densities_of
from latentkit.evaluation.dependence import computed_from, per_sample
from latentkit.evaluation.subjects import data_needed, finite, image_value, lacks_held_out
from latentkit.interfaces import Figure, Metric, Prior
from latentkit.model import CHUNK, Model
from latentkit.wiring.graph import Node


@attrs.frozen(kw_only=True)
class NegativeLogLikelihood(Metric):
    """-log p(x) of held-out images by importance sampling from the encoder, in nats per image and bits per number."""

    slow: ClassVar[bool] = True

    samples: int = attrs.field(default=200, validator=[attrs.validators.instance_of(int), attrs.validators.ge(1)])
    """Codes per image, K."""

    def applies(self, model: Model, samples: Samples | None) -> str:
        """Needs held-out images, and a recipe that tells p(x | z), p(z) and q(z | x)."""
        try:
            densities = densities_of(model)
        except LatentkitError as error:
            return str(error)
        if samples is None or not len(samples.held_out):
            return lacks_held_out(samples)
        others = data_needed(densities.roots) - set(samples.spec.gives)
        return f"the densities need {', '.join(sorted(others))}, which is not of the images" if others else ""

    def measure(self, model: Model, samples: Samples | None, *, n: int, seed: int) -> list[Figure]:
        """``-mean_x log (1/K sum_k p(x | z_k) p(z_k) / q(z_k | x))``, an upper bound in expectation.

        Raises:
            NotFiniteError: a weight is not a number.
        """
        assert samples is not None
        densities = densities_of(model)
        weights = torch.stack(list(log_weights(model, densities, samples, n, self.samples, seed)))  # n k
        # A weight of 0 is a fact (a code outside the prior); anything else that is not finite is a fault.
        finite(torch.where(weights == -math.inf, 0.0, weights), "log p(x, z) - log q(z | x)")
        nll = math.log(self.samples) - weights.logsumexp(1)  # n
        image, count = densities.image, len(nll)
        error = float(nll.std() / math.sqrt(count)) if count > 1 else None
        protocol: dict[str, object] = {
            "n": count, "samples": self.samples, "seed": seed, "images": "held out", "split": samples.spec.split,
            "likelihood": image.kind,
        }  # fmt: skip
        if image.kind == "probability":
            protocol["grey"] = _grey(model, samples, image.targets, n, seed)
        shares = torch.softmax(weights, 1)
        spread = {"elbo": float(weights.mean()), "effective_samples": float((1 / shares.square().sum(1)).mean())}
        nats = {"unit": "nats per image", "standard_error": error, **protocol, **spread}
        # A density has the unit of the recipe's range; times the step between two levels of 8 bits it has none.
        low, high = samples.spec.range
        level = (high - low) / 255 if image.kind == "density" else 1.0
        scale = 1 / (image.size * math.log(2))
        error = None if error is None else error * scale
        bits = {"unit": "bits per number", "standard_error": error, **protocol, "numbers": image.size, "level": level}
        return [
            Figure(name="nll", value=float(nll.mean()), protocol=nats),
            Figure(name="nll-bits", value=float(nll.mean()) * scale - math.log2(level), protocol=bits),
        ]


def _grey(model: Model, samples: Samples, targets: abc.Sequence[Node], n: int, seed: int) -> float:
    """The share of the numbers, of which there are probabilities, that are neither 0 nor 1."""
    chosen = samples.held_out[:n]
    found = model.values(targets, len(chosen), seed=seed, given=_given(model, samples, n))
    return float(torch.cat([((value != 0) & (value != 1)).flatten() for value in found]).double().mean())


def _given(model: Model, samples: Samples, n: int) -> dict[str, Tensor]:
    """Images, and what else the source gives of them."""
    return {value: samples.field(value, samples.held_out[:n], model.dtype) for value in samples.spec.gives}


def log_weights(
    model: Model, densities: Densities, samples: Samples, n: int, count: int, seed: int
) -> abc.Iterator[Tensor]:
    """log p(x | z) + log p(z) - log q(z | x) of ``count`` codes for each of the first ``n`` held-out images.

    Yields:
        Per image, float64 [count] on the CPU. Its codes are a function of the seed and of its place alone.
    """
    chosen, roots = samples.held_out[:n], densities.roots
    fresh = computed_from(roots, densities.fresh.__contains__)
    border = {arg for node in fresh for arg in node.args if arg not in fresh} | {*roots} - fresh
    mine = sorted(border & per_sample(roots))  # one value per image, for all of its codes: q, say, and x itself
    found = model.values(mine, len(chosen), seed=seed, given=_given(model, samples, n))
    shared = sorted(border - per_sample(roots))  # of no image: the components of a mixture, numbers
    constants = _evaluated(model, shared, count, Streams(seed, model.device), {})
    for index in range(len(chosen)):
        streams = Streams(key_seed(seed, image_value(model), index), model.device)
        draws = {node: model.source(node, count, streams, {}) for node in sorted(densities.fresh)}
        pieces = []
        for start in range(0, count, CHUNK):
            known = {node: value[start : start + CHUNK] for node, value in draws.items()}
            rows = len(next(iter(known.values())))
            known |= {node: _repeated(value, index, rows) for node, value in zip(mine, found, strict=True)}
            known |= dict(zip(shared, constants, strict=True))
            values = dict(zip(roots, _evaluated(model, roots, rows, streams, known), strict=True))
            pieces.append(_weights(densities, values))
        yield torch.cat(pieces)


def _evaluated(
    model: Model, roots: abc.Sequence[Node], rows: int, streams: Streams, known: abc.Mapping[Node, Any]
) -> list[Any]:
    return evaluate(
        roots, model.parts, model.wiring.spaces, lambda node: model.source(node, rows, streams, {}), known=known
    )


def _repeated(value: Any, index: int, rows: int) -> Any:
    if isinstance(value, Tensor):
        return value[index : index + 1].expand(rows, *value.shape[1:])
    return type(value)(*(_repeated(field, index, rows) for field in value))


def _weights(densities: Densities, values: abc.Mapping[Node, Any]) -> Tensor:
    """log p(x | z) + log p(z) - log q(z | x), float64 [rows]."""

    def of(node: Node) -> Tensor:
        value: Tensor = values[node]
        return value.double().cpu()

    image, prior, code = densities.image, densities.prior, densities.code
    total = image.factor * of(image.node) + image.offset
    if isinstance(prior, Prior):
        assert code is not None
        total += prior.log_prob(of(code))
    else:
        total += of(prior)
    if densities.posterior is not None:
        return total - of(densities.posterior)
    assert code is not None
    q, eps = code.args
    # log N(z; mu, sigma^2) through eps, so that a narrow posterior costs no digits.
    logvar: Tensor = values[q].logvar.double().cpu().flatten(1)
    noise = of(eps).flatten(1)
    return total + 0.5 * (noise.square() + logvar + math.log(2 * math.pi)).sum(1)
