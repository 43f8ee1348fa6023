"""The finder of directions that control a factor of variation: Plumerault, Le Borgne, Hudelot 2020.

https://arxiv.org/abs/2001.10238. Codes are searched whose images are others', transformed; what these codes have in
common is the direction.
"""

from __future__ import annotations

import math
from collections import abc

import attrs
import torch
from attrs.validators import ge, gt, in_, optional
from torch import Tensor

from latentkit.errors import LatentkitError, nearest
from latentkit.interfaces.directions import Detail, Direction, DirectionFinder, Examples, Told
from latentkit.latent.codes import codes_to_search, is_normal, lacks_decode
from latentkit.latent.directions import DirectionFit, DirectionModel, fit_direction
from latentkit.latent.filtered import ErrorOfImages, FilteredError, squared_error
from latentkit.latent.inversion import Inversion
from latentkit.latent.labels import label_rows
from latentkit.latent.records import Steps, joined
from latentkit.latent.trajectories import AMOUNTS, trajectories
from latentkit.latent.transformations import TRANSFORMATIONS, Transformation
from latentkit.model import Model

ERRORS = ("filtered", "released", "pixel")
_SIGMA = 3 / 128
"""Of the filter, over the image's shorter side, as published."""
_LEAST_SIGMA = 0.34


def _growing(_: object, field: attrs.Attribute[tuple[float, ...]], value: tuple[float, ...]) -> None:
    if not value or not all(a < b for a, b in zip((0.0, *value), value, strict=False)):
        raise ValueError(f"'{field.name}' must be growing amounts above 0: {list(value)}")


@attrs.frozen(kw_only=True)
class Trajectories(DirectionFinder):
    """The direction along which images shift, grow, turn or brighten, with its scale (Plumerault et al. 2020)."""

    transformation: str = "horizontal-shift"
    """``horizontal-shift``, ``vertical-shift``, ``zoom``, ``brightness`` or ``rotation``."""
    amounts: tuple[float, ...] = attrs.field(default=AMOUNTS, validator=_growing)
    """By how much, either way; each search begins where the one before has ended."""
    count: int = attrs.field(default=50, validator=ge(1))
    """Codes at which trajectories begin."""
    steps: int = attrs.field(default=50, validator=ge(1))
    """Updates of each search."""
    rate: float = attrs.field(default=0.03, validator=gt(0))
    """Learning rate of a search; no number of the code moves further in it than this times the steps."""
    error: str = attrs.field(default="filtered", validator=in_(ERRORS))
    """Behind a Gaussian filter, the same as ``released`` (kernel not normalised, mask after it), or of pixels."""
    sigma: float | None = attrs.field(default=None, validator=optional(gt(0)))
    """Of the filter, in pixels; 3 of 128, and 0.34 at least, unless stated."""
    bounded: bool | None = None
    """Keep codes within the root of their dimension; unless stated, where they are drawn from N(0, I)."""
    reject: int = attrs.field(default=3, validator=ge(2))
    """The worst one in so many pairs is left out."""
    relative: bool = True
    """The worst by the error over what there was to change; false and 10, by the error itself, are as released."""
    classes: tuple[int, ...] = ()
    """Of a model that reads labels: the direction is fitted to trajectories of all these classes together."""
    epochs: int = attrs.field(default=100, validator=ge(1))
    """Passes of the fit over the pairs."""
    shrinkage: float = attrs.field(default=0.1, validator=ge(0))
    """Of the fit: factor of the squared length of v."""
    smoothness: float = attrs.field(default=0.1, validator=ge(0))
    """Of the fit: factor of the squared differences of neighbouring slopes of the scale."""

    def applies(self, model: Model) -> str:
        """It needs a ``decode`` of images."""
        return lacks_decode(model)

    def find(
        self, model: Model, *, examples: Examples | None = None,
        given: abc.Mapping[str, Tensor | float] | None = None, seed: int = 0, progress: Told | None = None,
    ) -> dict[str, Direction]:  # fmt: skip
        """One direction, by the name of the transformation, with its scale.

        Raises:
            LatentkitError: an unknown transformation, or one that the data's range or size cannot express; no pair
                that is good enough.
            NotFiniteError: the fit has diverged, or found nothing.
        """
        transformation = _transformation(self.transformation, model)
        choices = label_rows(model, self.classes) if self.classes else [{}]
        parts = [self._steps(model, transformation, {**(given or {}), **choice}, seed, progress) for choice in choices]
        kept = joined([part.without_worst(self.reject, relative=self.relative) for part in parts])
        how = DirectionFit(epochs=self.epochs, shrinkage=self.shrinkage, smoothness=self.smoothness, seed=seed)
        fitted = fit_direction(kept, how)
        return {self.transformation: self._direction(fitted, kept, sum(map(len, parts)), transformation)}

    def _steps(
        self, model: Model, transformation: Transformation, given: dict[str, Tensor | float], seed: int,
        progress: Told | None,
    ) -> Steps:  # fmt: skip
        codes = codes_to_search(model, self.count, seed, given)
        bounded = is_normal(model) if self.bounded is None else self.bounded
        how = Inversion(steps=self.steps, rate=self.rate, error=self._error(model), bounded=bounded)

        def told(t: float, step: int, errors: Tensor) -> None:
            if progress is not None and step == self.steps:
                progress(f"{self.transformation} {t:+g}: mean error {float(errors.mean()):.4g}")

        return trajectories(
            model, codes, transformation, amounts=self.amounts, how=how, given=given, seed=seed, progress=told
        )

    def _error(self, model: Model) -> ErrorOfImages:
        if self.error == "pixel":
            return squared_error
        side = min(int(size) for size in model.image_space.dims[1:] if isinstance(size, int))
        sigma = max(_SIGMA * side, _LEAST_SIGMA) if self.sigma is None else self.sigma
        released = self.error == "released"
        return FilteredError(sigma=sigma, normalized=not released, masking="after" if released else "both")

    def _direction(
        self, fitted: DirectionModel, kept: Steps, pairs: int, transformation: Transformation
    ) -> Direction:  # fmt: skip
        length = float(torch.linalg.vector_norm(fitted.v))
        places = torch.cat([kept.start, kept.end]) @ fitted.direction
        residual = float(fitted.error(kept))
        details: dict[str, Detail] = {
            "transformation": self.transformation, "amounts": ", ".join(f"{amount:g}" for amount in self.amounts),
            "pairs": pairs, "kept": len(kept), "error": float(kept.error.mean()),
            "undone": float(kept.relative.mean()), "steps": self.steps, "loss": self.error, "rms": math.sqrt(residual),
            "explained": 1 - residual / float(kept.change.square().mean()),
        }  # fmt: skip
        return Direction(
            vector=fitted.direction, found="trajectories", scale=fitted.lattice.stretched(length),
            unit=transformation.unit, range=(float(places.min()), float(places.max())), details=details,
        )  # fmt: skip


def _transformation(name: str, model: Model) -> Transformation:
    kind = TRANSFORMATIONS.get(name)
    if kind is None:
        known = ", ".join(TRANSFORMATIONS)
        hint = nearest(name, TRANSFORMATIONS)
        raise LatentkitError(
            f"transformation: expected one of {known}, found '{name}'" + (f"\n  {hint}" if hint else "")
        )
    values = model.image_space.range
    if values is None:
        raise LatentkitError(f"{name}: '{model.name}' states no range of its images, so that none can be filled")
    return kind(range=values)  # type: ignore[call-arg]  # all that ship have a range
