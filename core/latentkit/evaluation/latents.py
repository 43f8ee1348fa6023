"""How well the encoder finds the code that a sample was made from: error and correlation of code and E(sample)."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor
from torch.nn.functional import normalize

from latentkit.engine.samples import Samples
from latentkit.evaluation.subjects import data_needed, finite, lacks_role
from latentkit.interfaces import Figure, Metric
from latentkit.model import Model
from latentkit.wiring.graph import ancestors


@attrs.frozen(kw_only=True)
class LatentReconstruction(Metric):
    """Mean squared difference of a sample's code and the code that is encoded from it, per coordinate."""

    def applies(self, model: Model, samples: Samples | None) -> str:
        """The code must be drawn, and the sample be made from it."""
        return _lacks(model)

    def measure(self, model: Model, samples: Samples | None, *, n: int, seed: int) -> list[Figure]:
        """``mean (code - encode(sample))^2`` over samples and coordinates, 0 or more.

        Raises:
            NotFiniteError: a code is not finite.
        """
        codes, found = codes_of_samples(model, n, seed)
        error = (codes - found).square().mean()
        return [Figure(name="latent-reconstruction", value=float(error), protocol=_protocol(model, n, seed))]


@attrs.frozen(kw_only=True)
class LatentCorrelation(Metric):
    """Pearson correlation of a sample's code and the code that is encoded from it, mean over samples."""

    def applies(self, model: Model, samples: Samples | None) -> str:
        """The code must be drawn, and the sample be made from it."""
        return _lacks(model)

    def measure(self, model: Model, samples: Samples | None, *, n: int, seed: int) -> list[Figure]:
        """Mean over samples of rho across coordinates, in [-1, 1].

        Raises:
            NotFiniteError: a code is not finite.
        """
        value = correlation(*codes_of_samples(model, n, seed)).mean()
        return [Figure(name="latent-correlation", value=float(value), protocol=_protocol(model, n, seed))]


def codes_of_samples(model: Model, n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Codes of fresh samples and what is encoded from these samples: float64 [n, dim] each.

    Raises:
        NotFiniteError: one of them is not finite.
    """
    assert model.wiring.code is not None
    x, codes = model.values([model.wiring.inference["sample"], model.wiring.code], n, seed=seed)
    found = model.encode(x)
    finite(torch.cat([codes.flatten(1), found.flatten(1)], 1), "the model")
    return codes.flatten(1).double(), found.flatten(1).double()


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson's rho across the coordinates of each row, [n, dim] to [n]; 0 where a row is constant."""
    a, b = (normalize(rows - rows.mean(1, keepdim=True), dim=1) for rows in (a, b))
    return (a * b).sum(1)


def _lacks(model: Model) -> str:
    reason = lacks_role(model, "encode") or ("" if "sample" in model.wiring.inference else "there is no role 'sample'")
    if reason:
        return reason
    code, sample = model.wiring.code, model.wiring.inference["sample"]
    name = model.wiring.recipe.inference.get("code", "")
    if code is None or data_needed([code]):
        return f"the code '{name}' is computed from data, so samples have no code of their own"
    if code not in ancestors([sample]):
        return f"the role 'sample' does not go through the code '{name}'"
    others = data_needed([sample])
    return f"the role 'sample' needs {', '.join(sorted(others))}" if others else ""


def _protocol(model: Model, n: int, seed: int) -> dict[str, object]:
    return {"n": n, "seed": seed, "code": model.wiring.recipe.inference["code"], "images": "samples, not quantised"}
