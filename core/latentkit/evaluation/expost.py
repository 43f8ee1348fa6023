"""An ex-post prior of a run or a model: its codes of training images, the fit, and the file beside the run."""

from __future__ import annotations

import warnings
from pathlib import Path

from latentkit.errors import DataError, LatentkitError, LatentkitWarning, RunError
from latentkit.evaluation.code_prior import KINDS, CodePrior, fit_gmm, fits
from latentkit.evaluation.subjects import NO_DATA, data_needed, features, lacks_role, samples_of
from latentkit.model import Model
from latentkit.registry.manager import Registry
from latentkit.runs.fingerprint import fingerprint
from latentkit.runs.loading import Weights, load

COMPONENTS, IMAGES = 10, 10_000


def fit_prior(
    run: str | Path | Model,
    kind: str = "gmm",
    *,
    components: int = COMPONENTS,
    images: int = IMAGES,
    seed: int = 0,
    weights: Weights = "average",
    device: str = "cpu",
    registry: Registry | None = None,
) -> CodePrior:
    """A density over the codes of training images, from which ``model.decode(prior.sample(n))`` makes images.

    In a run folder it is kept as ``prior-KIND.safetensors``, and taken from there where weights and settings are the
    same; data are then not opened.

    Args:
        run: a run folder, a ``model.safetensors``, or a model in memory (for the last two nothing is kept).
        kind: ``gmm``, a mixture of Gaussians with full covariances.
        components: of the mixture.
        images: how many training images are encoded, at most: the first of the split.
        seed: of the fit.
        weights: of the run; no choice for a model in memory.
        device: where a run is loaded to.
        registry: where components are found.

    Raises:
        DataError: the recipe's data are missing or unreadable.
        LatentkitError: the model has no encoder, decoder or data; scikit-learn is not installed.
        NotFiniteError: a code is not finite.
        RunError: not a run, or damaged. A folder that cannot be written costs a warning.
    """
    if kind not in KINDS:
        raise LatentkitError(f"prior: expected {' or '.join(map(repr, KINDS))}, found {kind!r}")
    model = run if isinstance(run, Model) else load(run, weights, device, registry)
    reason = lacks_prior(model)
    if reason:
        raise LatentkitError(f"'{model.name}' can have no prior of its codes: {reason}")
    wanted: dict[str, object] = {
        "kind": kind, "components": components, "images": images, "seed": seed, "model": fingerprint(model),
    }  # fmt: skip
    file = None if isinstance(run, Model) or not Path(run).is_dir() else Path(run) / f"prior-{kind}.safetensors"
    kept = _kept(file)
    if kept is not None and fits(kept.notes, wanted):
        return kept
    prior = _fitted(model, wanted, components, images, seed)
    if file is not None:
        try:
            prior.save(file)
        except RunError as error:
            warnings.warn(f"the prior is not kept, and will be fitted again: {error}", LatentkitWarning, stacklevel=2)
    return prior


def lacks_prior(model: Model) -> str:
    """Why no prior can be fitted to a model's codes; empty where one can."""
    reason = lacks_role(model, "encode") or lacks_role(model, "decode")
    if reason:
        return reason
    others = data_needed([model.wiring.inference["decode"]])
    return f"the role 'decode' needs {', '.join(sorted(others))} besides codes" if others else ""


def _kept(file: Path | None) -> CodePrior | None:
    try:
        return CodePrior.load(file) if file is not None and file.is_file() else None
    except (RunError, TypeError):  # damaged, or of another version: it is made again
        return None


def _fitted(model: Model, wanted: dict[str, object], components: int, images: int, seed: int) -> CodePrior:
    samples = samples_of(model)
    if samples is None:
        raise DataError(f"'{model.name}': {NO_DATA}, and its prior is fitted to the codes of images")
    chosen = samples.training[:images]
    codes = features(model, "encode", samples, chosen)
    shape = tuple(size for size in model.wiring.spaces[model.wiring.inference["encode"]].dims if isinstance(size, int))
    means, covariances, weights, notes = fit_gmm(codes, components, seed)
    about = {**wanted, "codes": len(codes), "role": "encode", "step": model.step, "split": samples.spec.split, **notes}
    return CodePrior(means=means, covariances=covariances, weights=weights, shape=shape, notes=about)
