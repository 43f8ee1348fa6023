"""The test likelihood of the shipped VAE, against an estimate that is written out with torch's own distributions."""

from __future__ import annotations

import math
from collections import abc
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch import distributions as dist

import latentkit as lk
from latentkit.engine.samples import open_samples

CODES = 200


def by_hand(model: lk.Model, images: Tensor, seed: int) -> float:
    """-mean_x log 1/K sum_k p(x | z_k) p(z_k) / q(z_k | x), float64, with draws of its own."""
    torch.manual_seed(seed)
    encoder, decoder = (model.parts[name].double() for name in "EG")
    bounds = []
    for x in images.double():
        mu, logvar = encoder(x[None])
        q = dist.Independent(dist.Normal(mu[0], (0.5 * logvar[0]).exp()), 1)
        z = q.sample((CODES,))
        likelihood = -F.binary_cross_entropy(decoder(z), x.expand(CODES, *x.shape), reduction="none").sum((1, 2, 3))
        prior = dist.Independent(dist.Normal(torch.zeros_like(z[0]), 1.0), 1)
        log_weights = likelihood + prior.log_prob(z) - q.log_prob(z)
        bounds.append(log_weights.logsumexp(0) - math.log(CODES))
    return -float(torch.stack(bounds).mean())


def test_nll_of_the_vae_is_that_of_a_reference_within_sampling_error(
    narrow: abc.Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    tiny = narrow("vae", **{"data.resolution": 16, "train.batch": 32, "data.count": 400})
    run = lk.train("vae", tmp_path / "run", steps=150, overrides=tiny)
    (spec,) = run.model.wiring.recipe.data.values()
    samples = open_samples("data", spec, run.model.wiring.data["data"])
    images = samples.field("x", samples.held_out[:24], torch.float32)
    options = {"samples": CODES}
    found = lk.evaluate(run.path, ["nll"], n=len(images), seed=3, options=options)[0]
    with torch.no_grad():
        references = torch.tensor([by_hand(run.model, images, seed) for seed in range(3, 9)])
    error = float(references.std()) * math.sqrt(1 + 1 / len(references))
    assert found.value is not None
    assert 0 < error < 0.02 * found.value  # draws matter little, so that the next line says something
    assert abs(found.value - float(references.mean())) < 4 * error
