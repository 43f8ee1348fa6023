"""Finders that want nothing but the model: where codes spread, and what the layer that reads them amplifies."""

from __future__ import annotations

from collections import abc

import attrs
import torch
from attrs.validators import ge
from torch import Tensor

from latentkit.errors import LatentkitError
from latentkit.interfaces.directions import Direction, DirectionFinder, Examples, Told
from latentkit.latent.codes import codes_to_search, lacks_decode, spread_along
from latentkit.latent.decompositions import Found, closed_form_axes, principal_axes, pulled_back
from latentkit.latent.readers import features_at, readers_of_code, readers_of_styles
from latentkit.model import Model


@attrs.frozen(kw_only=True)
class PrincipalComponents(DirectionFinder):
    """Axes of the largest spread of codes, or of a layer's features (Härkönen et al. 2020, https://arxiv.org/abs/2004.02546).

    Codes are the mapped ones where a model maps its draws; what is drawn evenly has no such axes, and then a layer
    has. A unit is a standard deviation of the codes along the direction.
    """

    count: int = attrs.field(default=10, validator=ge(1))
    """Directions, the strongest first."""
    samples: int = attrs.field(default=2000, validator=ge(2))
    """Codes that are looked at."""
    layer: str | None = None
    """A module that ``decode`` calls, as PART.PATH: the axes are of its output, carried back to codes by regression."""

    def applies(self, model: Model) -> str:
        """It needs codes, and with a layer a ``decode``."""
        return lacks_decode(model)

    def find(
        self, model: Model, *, examples: Examples | None = None,
        given: abc.Mapping[str, Tensor | float] | None = None, seed: int = 0, progress: Told | None = None,
    ) -> dict[str, Direction]:  # fmt: skip
        """``component-0``, ``component-1``, ..."""
        codes = codes_to_search(model, self.samples, seed, given)
        if self.layer is None:
            found = principal_axes(codes, self.count)
        else:
            features = features_at(model, self.layer, codes, given, seed)
            found = pulled_back(principal_axes(features, self.count), features, codes)
        return _named("component", found, codes, "principal-components", {"layer": self.layer or "code"})


@attrs.frozen(kw_only=True)
class ClosedForm(DirectionFinder):
    """Along which the layers that read the code change the most (Shen and Zhou 2021, https://arxiv.org/abs/2007.06600).

    A unit is a standard deviation of the codes along the direction.
    """

    count: int = attrs.field(default=10, validator=ge(1))
    """Directions, the strongest first."""
    layers: tuple[int, ...] = ()
    """Of styles, counted from 0: only those, and directions of them; otherwise all that read the code."""
    unit_rows: bool = True
    """Every output of a layer counts alike, as in the released code."""

    def applies(self, model: Model) -> str:
        """It needs a ``decode`` with a layer that reads the code."""
        return lacks_decode(model)

    def find(
        self, model: Model, *, examples: Examples | None = None,
        given: abc.Mapping[str, Tensor | float] | None = None, seed: int = 0, progress: Told | None = None,
    ) -> dict[str, Direction]:  # fmt: skip
        """``closed-form-0``, ``closed-form-1``, ..."""
        codes = codes_to_search(model, _CODES, seed, given)
        if self.layers:
            read = readers_of_styles(model, codes, given, seed)
            absent = [layer for layer in self.layers if layer not in read]
            if absent:
                raise LatentkitError(f"layers: expected some of {', '.join(map(str, sorted(read)))}, found {absent}")
            weights = [weight for layer in self.layers for weight in read[layer]]
        else:
            weights = readers_of_code(model, codes, given, seed)
        found = closed_form_axes(torch.cat(weights), self.count, unit_rows=self.unit_rows)
        return _named("closed-form", found, codes, "closed-form", {"outputs": sum(map(len, weights))}, self.layers)


_CODES = 1000
"""Codes whose spread along a direction is its unit."""


def _named(
    prefix: str, found: Found, codes: Tensor, how: str, details: dict[str, str | int], layers: tuple[int, ...] = ()
) -> dict[str, Direction]:
    made = {}
    for at, (u, strength) in enumerate(zip(found.directions, found.strengths.tolist(), strict=True)):
        spread, reach = spread_along(codes, u)
        made[f"{prefix}-{at}"] = Direction(
            vector=u * spread, found=how, space="styles" if layers else "code", layers=layers,
            unit="standard deviations", range=reach, details={"strength": strength, **details},
        )  # fmt: skip
    return made
