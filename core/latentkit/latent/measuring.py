"""How precisely a direction controls what images show: moments of the salient part, by the amount that was asked for.

Plumerault, Le Borgne, Hudelot 2020, https://arxiv.org/abs/2001.10238, section 4, and its released code: held-out codes
are put to even places along the direction, whatever theirs was; a small deviation at each place is precise control.
"""

from __future__ import annotations

import math
from collections import abc

import attrs
import torch
from torch import Tensor

from latentkit.components.saliency import brightness
from latentkit.errors import LatentkitError
from latentkit.interfaces.directions import Detail, Direction
from latentkit.latent.edits import Edit, edited
from latentkit.latent.moments import moments
from latentkit.latent.saliency import Saliency, salient
from latentkit.latent.scoring import correlation, determined, mean_correlation, same_slope
from latentkit.latent.transformations import TRANSFORMATIONS
from latentkit.model import Model

FACTORS = ("x", "y", "mean")


@attrs.frozen(kw_only=True)
class Control:
    """How one factor follows the places that were asked for.

    Attributes:
        factor: ``x``, ``y`` or ``mean``.
        spearman: rank correlation of asked and measured, of all draws together.
        spearman_each: the same of each draw, the mean over draws; no difference between draws counts.
        r2: of the least-squares line of measured on asked, of all draws together.
        r2_identity: of the line whose slope is what the unit promises, where it promises one.
        std: standard deviation over draws at a place, the mean over places: small where control is precise.
        drift: deviation of a draw's values from their mean over all places, root mean square. Of a factor that an edit
            should leave alone, 0 is best.
        means: over draws, one per place.
        stds: over draws, population, one per place.
    """

    factor: str
    spearman: float
    spearman_each: float
    r2: float
    r2_identity: float | None
    std: float
    drift: float
    means: tuple[float, ...]
    stds: tuple[float, ...]


@attrs.frozen(kw_only=True, eq=False)
class Measured:
    """What images show at k places along a direction, of n draws.

    Attributes:
        places: in the direction's unit, [k].
        coordinates: along the unit vector, [k].
        values: per factor, [k, n]; NaN where nothing was detected.
        moves: the factor that the direction was found for; where that is not known, the one that follows best.
        rate: by how much it should change per unit, where the unit says so.
    """

    places: Tensor
    coordinates: Tensor
    values: abc.Mapping[str, Tensor]
    moves: str
    rate: float | None = None

    @property
    def detected(self) -> float:
        """Share of the images in which something was detected."""
        return float((~self.values["x"].isnan()).double().mean())

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest coordinate at which something was detected in half of the draws or more."""
        seen = self.coordinates[(~self.values["x"].isnan()).double().mean(1) >= 0.5]
        return float(seen.min()), float(seen.max())

    def control(self, factor: str = "") -> Control:
        """Figures of a factor; of the one that the direction moves unless one is named."""
        factor = factor or self.moves
        values = self.values[factor]
        means = values.nanmean(1)
        stds = (values - means[:, None]).square().nanmean(1).sqrt()
        around = values - values.nanmean(0)
        rate = self.rate if factor == self.moves else None
        return Control(
            factor=factor, spearman=correlation(self.places, values),
            spearman_each=mean_correlation(self.places, values), r2=determined(self.places, values),
            r2_identity=None if rate is None else same_slope(self.places, values, rate),
            std=float(stds.nanmean()), drift=float(around.square().nanmean().sqrt()),
            means=tuple(means.tolist()), stds=tuple(stds.tolist()),
        )  # fmt: skip

    def controls(self) -> list[Control]:
        """Figures of all factors."""
        return [self.control(factor) for factor in FACTORS]

    def details(self) -> dict[str, Detail]:
        """What is kept with the direction: figures of the factor that it moves, and the drift of the others."""
        own = self.control()
        found: dict[str, Detail] = {
            "measured": own.factor, "spearman": own.spearman, "r2": own.r2, "std": own.std, "draws": self.draws,
        }  # fmt: skip
        if own.r2_identity is not None:
            found["r2-identity"] = own.r2_identity
        found |= {f"drift-{it.factor}": it.drift for it in self.controls() if it.factor != own.factor}
        return {key: value for key, value in found.items() if not (isinstance(value, float) and math.isnan(value))}

    @property
    def draws(self) -> int:
        """n."""
        return self.values["x"].shape[1]


def measure(
    model: Model,
    direction: Direction,
    codes: Tensor,
    places: Tensor,
    *,
    saliency: Saliency = brightness,
    given: abc.Mapping[str, Tensor | float] | None = None,
    seed: int = 0,
) -> Measured:
    """Put codes to places along a direction, and measure what their images show.

    Args:
        model: with a role ``decode`` and images.
        direction: one of the code's; of styles it has no place.
        codes: held-out draws, [n, dim].
        places: in the direction's unit, growing, [k], k at least 3.
        saliency: images in [0, 1] to maps; brightness unless another is given.
        given: what ``decode`` needs besides codes.
        seed: of other draws.

    Raises:
        LatentkitError: a direction of styles, other places, no detection in most images at all but one place, or what
            :func:`latentkit.latent.edits.edited` raises.
    """
    _check(direction, places)
    found: dict[str, list[Tensor]] = {factor: [] for factor in FACTORS}
    space = model.image_space
    for place in places.tolist():
        edit = Edit(direction=direction, amount=place, absolute=True)
        maps = salient(edited(model, codes, [edit], given=given, seed=seed), space.range, saliency)  # type: ignore[arg-type]
        seen = moments(maps.double())
        for factor in FACTORS:
            value: Tensor = getattr(seen, factor)
            found[factor].append(torch.where(seen.visible, value, torch.nan))
    values = {factor: torch.stack(rows).cpu() for factor, rows in found.items()}
    if ((~values["x"].isnan()).double().mean(1) >= 0.5).sum() < 2:
        raise LatentkitError(
            "measuring: nothing salient was detected in most of the images; another saliency may see something"
        )
    coordinates = places if direction.scale is None else direction.scale.inverse(places.to(direction.vector))
    transformation = TRANSFORMATIONS.get(str(direction.details.get("transformation", "")))
    moves = transformation.moves if transformation is not None else ""
    size = [int(side) for side in space.dims[1:] if isinstance(side, int)]
    return Measured(
        places=places.double().cpu(), coordinates=coordinates.double().cpu(), values=values,
        moves=moves or _best(places.double().cpu(), values),
        rate=transformation().rate(*size) if transformation is not None and moves else None,
    )  # fmt: skip


def _check(direction: Direction, places: Tensor) -> None:
    if direction.space != "code":
        raise LatentkitError("measuring: a direction of styles has no place that codes could be put to")
    if places.ndim != 1 or len(places) < 3 or not places.isfinite().all() or not (places.diff() > 0).all():
        raise LatentkitError(f"measuring: expected 3 or more growing places, found {places.tolist()}")


def _best(places: Tensor, values: abc.Mapping[str, Tensor]) -> str:
    strengths = {factor: abs(mean_correlation(places, values[factor])) for factor in FACTORS}
    return max(strengths, key=lambda factor: -1.0 if math.isnan(strengths[factor]) else strengths[factor])
