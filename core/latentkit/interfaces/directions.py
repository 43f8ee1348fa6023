"""Directions in latent space, and what finds them in a finished model."""

from __future__ import annotations

from abc import abstractmethod
from collections import abc
from typing import TYPE_CHECKING, ClassVar

import attrs
import torch
from torch import Tensor

from latentkit.errors import LatentkitError
from latentkit.interfaces.component import Component
from latentkit.latent.lattice import Lattice

if TYPE_CHECKING:
    from latentkit.model import Model

Detail = str | int | float | bool
SPACES = ("code", "styles")
Told = abc.Callable[[str], None]
"""Told in a line how far a search is."""


@attrs.frozen(kw_only=True, eq=False)
class Direction:
    """A direction and what is known of it.

    Attributes:
        vector: finite and not 0, [dim]. Of length 1 where coordinates along it are meant; an attribute's vector has
            its own length, which is one unit of the attribute.
        found: how, by the name of a finder or of a method.
        space: ``code``, what ``decode`` takes, or ``styles``, what it makes of the code.
        layers: of styles, counted from 0; of all where there are none.
        scale: what a coordinate ``s = <u, z>`` along ``u = vector / |vector|`` means, as a number that never falls.
            With it amounts are differences of ``scale(s)``, and not of s.
        unit: of an amount, in words: ``widths``, ``of the attribute``, ``standard deviations``.
        range: lowest and highest coordinate s along u that was seen.
        details: options of how it was found, and figures.
    """

    vector: Tensor = attrs.field()
    found: str
    space: str = attrs.field(default="code")
    layers: tuple[int, ...] = attrs.field(default=())
    scale: Lattice | None = None
    unit: str = ""
    range: tuple[float, float] | None = attrs.field(default=None)
    details: abc.Mapping[str, Detail] = attrs.field(factory=dict)

    @vector.validator
    def _finite(self, _: object, value: Tensor) -> None:
        if value.ndim != 1 or not len(value) or not value.is_floating_point() or not value.isfinite().all():
            raise LatentkitError(f"direction: expected finite numbers [dim], found {list(value.shape)}")
        if not value.any():
            raise LatentkitError("direction: expected a vector that is not 0")

    @space.validator
    def _known(self, _: object, value: str) -> None:
        if value not in SPACES:
            raise LatentkitError(f"direction: expected a space {' or '.join(SPACES)}, found '{value}'")

    @layers.validator
    def _counted(self, _: object, value: tuple[int, ...]) -> None:
        if not all(type(layer) is int and layer >= 0 for layer in value):
            raise LatentkitError(f"direction: expected layers counted from 0, found {list(value)}")
        if value and self.space != "styles":
            raise LatentkitError("direction: layers are of styles; a code has none")

    @range.validator
    def _ordered(self, _: object, value: tuple[float, float] | None) -> None:
        if value is not None and not (len(value) == 2 and -torch.inf < value[0] <= value[1] < torch.inf):
            raise LatentkitError(f"direction: expected a range from low to high, found {list(value)}")

    @property
    def u(self) -> Tensor:
        """The vector divided by its length, [dim]."""
        length: Tensor = torch.linalg.vector_norm(self.vector)
        return self.vector / length


@attrs.frozen(kw_only=True, eq=False)
class Examples:
    """Codes of images whose attributes are known.

    Attributes:
        codes: [n, dim].
        attributes: [n, k], any numbers; 0 and 1 where an attribute is there or not.
        names: of the k attributes.
    """

    codes: Tensor = attrs.field()
    attributes: Tensor = attrs.field()
    names: tuple[str, ...] = attrs.field()

    @names.validator
    def _fit(self, _: object, value: tuple[str, ...]) -> None:
        if self.codes.ndim != 2 or self.attributes.shape != (len(self.codes), len(value)) or not value:
            raise LatentkitError(
                f"examples: expected codes [n, dim] and a column of [n, k] per name, found {list(self.codes.shape)}, "
                f"{list(self.attributes.shape)} and {len(value)} names"
            )


@attrs.frozen(kw_only=True)
class DirectionFinder(Component):
    """Finds directions of a finished model. Every option has a default."""

    kind: ClassVar[str] = "direction"
    supervised: ClassVar[bool] = False
    """Wants examples, images whose attributes are known."""

    @abstractmethod
    def applies(self, model: Model) -> str:
        """Why no directions can be found in this model; empty where they can.

        Args:
            model: in evaluation mode.
        """

    @abstractmethod
    def find(
        self,
        model: Model,
        *,
        examples: Examples | None = None,
        given: abc.Mapping[str, Tensor | float] | None = None,
        seed: int = 0,
        progress: Told | None = None,
    ) -> dict[str, Direction]:
        """Directions by name. Called only where :meth:`applies` has nothing against it.

        Args:
            model: in evaluation mode.
            examples: of a supervised finder; others may take their codes, or draw some.
            given: values that the model's roles need besides codes, such as labels: one row for all.
            seed: of everything that is drawn.
            progress: told of a search that takes its time.

        Raises:
            LatentkitError: nothing that can be used was found; a package is missing.
        """
