"""Finders that want images whose attributes are known."""

from __future__ import annotations

from collections import abc
from typing import ClassVar

import attrs
from attrs.validators import gt, in_
from torch import Tensor

from latentkit.errors import LatentkitError
from latentkit.interfaces.directions import Direction, DirectionFinder, Examples, Told
from latentkit.latent.attributes import least_squares, mean_differences
from latentkit.latent.boundaries import KINDS, C, Kind, boundary
from latentkit.latent.codes import spread_along
from latentkit.model import Model

_UNIT = "from 0 to 1"


@attrs.frozen(kw_only=True)
class MeanDifference(DirectionFinder):
    """Mean code with an attribute minus mean code without (White 2016, https://arxiv.org/abs/1609.04468).

    Of attributes that go together, each vector has the other in it.
    """

    supervised: ClassVar[bool] = True

    def applies(self, model: Model) -> str:
        """It needs codes."""
        return _lacks_code(model)

    def find(
        self, model: Model, *, examples: Examples | None = None,
        given: abc.Mapping[str, Tensor | float] | None = None, seed: int = 0, progress: Told | None = None,
    ) -> dict[str, Direction]:  # fmt: skip
        """A vector per attribute of 0 and 1; adding it leads from images without to images with."""
        known = _required(examples)
        vectors = mean_differences(known.codes, known.attributes)
        return _directions(known, vectors, "mean-difference")


@attrs.frozen(kw_only=True)
class LeastSquares(DirectionFinder):
    """Codes by least squares on all attributes at once (Sainburg et al. 2018, https://arxiv.org/abs/1807.06650).

    Each vector is what its attribute adds when the others stay. With one attribute it is the difference of means.
    """

    supervised: ClassVar[bool] = True

    def applies(self, model: Model) -> str:
        """It needs codes."""
        return _lacks_code(model)

    def find(
        self, model: Model, *, examples: Examples | None = None,
        given: abc.Mapping[str, Tensor | float] | None = None, seed: int = 0, progress: Told | None = None,
    ) -> dict[str, Direction]:  # fmt: skip
        """A vector per attribute, any numbers; adding it raises the attribute by 1."""
        known = _required(examples)
        return _directions(known, least_squares(known.codes, known.attributes).vectors, "least-squares")


@attrs.frozen(kw_only=True)
class LinearBoundary(DirectionFinder):
    """The normal of the hyperplane between codes with and without (Shen et al. 2020, https://arxiv.org/abs/1907.10786).

    A unit is a standard deviation of the codes along it.
    """

    supervised: ClassVar[bool] = True
    classifier: Kind = attrs.field(default="svm", validator=in_(KINDS))
    """``svm``, a linear support vector machine, or ``logistic``."""
    regularization: float = attrs.field(default=C, validator=gt(0))
    """C of scikit-learn; a smaller one keeps weights smaller."""

    def applies(self, model: Model) -> str:
        """It needs codes."""
        return _lacks_code(model)

    def find(
        self, model: Model, *, examples: Examples | None = None,
        given: abc.Mapping[str, Tensor | float] | None = None, seed: int = 0, progress: Told | None = None,
    ) -> dict[str, Direction]:  # fmt: skip
        """A normal per attribute of 0 and 1, towards images that have it."""
        known, found = _required(examples), {}
        for at, name in enumerate(known.names):
            try:
                plane = boundary(
                    known.codes, known.attributes[:, at], self.classifier, regularization=self.regularization
                )
            except LatentkitError as error:
                raise LatentkitError(f"attribute '{name}': {error}") from None
            spread, reach = spread_along(known.codes, plane.normal)
            found[name] = Direction(
                vector=plane.normal * spread, found=f"linear-boundary ({self.classifier})",
                unit="standard deviations", range=reach,
                details={
                    "examples": len(known.codes), "accuracy": plane.accuracy, "converged": plane.converged,
                    "offset": plane.offset,
                },
            )  # fmt: skip
        return found


def _lacks_code(model: Model) -> str:
    return "" if model.wiring.code is not None else "it names no code in [inference]"


def _required(examples: Examples | None) -> Examples:
    if examples is None:
        raise LatentkitError("expected images with known attributes, found none; give them with --labels")
    return examples


def _directions(known: Examples, vectors: Tensor, found: str) -> dict[str, Direction]:
    made = {}
    for name, vector in zip(known.names, vectors, strict=True):
        if not vector.any():
            raise LatentkitError(f"attribute '{name}': the codes do not tell it at all; no direction was found")
        reach = spread_along(known.codes, vector / vector.norm())[1]
        made[name] = Direction(
            vector=vector, found=found, unit=_UNIT, range=reach, details={"examples": len(known.codes)}
        )
    return made
