"""Samples of a model that are compared with held-out images: the recipe's own, or decoded draws of a fitted prior."""

from __future__ import annotations

from torch import Tensor

from latentkit.engine.samples import Samples
from latentkit.evaluation.expost import fit_prior, lacks_prior
from latentkit.evaluation.subjects import data_needed, finite, lacks_held_out
from latentkit.model import Model


def lacks_sets(model: Model, samples: Samples | None, prior: str | None, least: int) -> str:
    """Why there are no samples, or fewer than ``least`` held-out images; empty where there are both."""
    reason = (lacks_prior(model) if prior else _lacks_samples(model, samples)) or lacks_held_out(samples)
    if reason or samples is None:
        return reason
    count = len(samples.held_out)
    held = "1 image is" if count == 1 else f"{count} images are"
    return f"{held} held out, a distance needs {least} or more" if count < least else ""


def _lacks_samples(model: Model, samples: Samples | None) -> str:
    role = model.wiring.inference.get("sample")
    if role is None:
        return "the recipe has no role 'sample'; a fitted prior can stand in for it: --prior gmm"
    # The classes of the held-out images may be given, but nothing else of them.
    classes = set() if samples is None else {v for v, field in samples.spec.gives.items() if field == "label"}
    others = data_needed([role]) - classes
    return f"the role 'sample' needs {', '.join(sorted(others))}" if others else ""


def sampled(
    model: Model, samples: Samples, count: int, seed: int, prior: str | None = None, components: int = 1
) -> Tensor:
    """``count`` samples in the recipe's value range, float32 [count, c, h, w] on the CPU.

    Args:
        model: with the role ``sample``, or those that a prior needs.
        samples: whose first ``count`` held-out images lend their classes to a role that reads labels.
        count: at most as many as are held out.
        seed: of the draws.
        prior: decode draws of an ex-post prior of this kind instead.
        components: of that prior.

    Raises:
        LatentkitError: the prior cannot be fitted.
        NotFiniteError: a sample is not finite.
    """
    if prior:
        codes = fit_prior(model, prior, components=components).sample(count, seed)
        images = model.decode(codes)
    else:
        needed = data_needed([model.wiring.inference["sample"]])
        given = {value: samples.field(value, samples.held_out[:count], model.dtype) for value in needed}
        images = model.role("sample", count, seed=seed, **given)
    return finite(images, "the role 'decode'" if prior else "the role 'sample'").float().cpu()
