"""Metrics: figures of a finished model."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

import attrs

from latentkit.interfaces.component import Component

if TYPE_CHECKING:
    from latentkit.engine.samples import Samples
    from latentkit.model import Model


@attrs.frozen(kw_only=True)
class Figure:
    """One number that a metric found, and what was done for it (``n``, ``seed``, ``split``, ...; JSON values)."""

    name: str
    value: float
    protocol: dict[str, object] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Metric(Component):
    """Figures of a finished model. Every option has a default, so that all metrics can be taken by name."""

    kind: ClassVar[str] = "metric"
    slow: ClassVar[bool] = False
    """Takes so long that it is taken only where it is asked for by name."""

    @abstractmethod
    def applies(self, model: Model, samples: Samples | None) -> str:
        """Why this metric cannot be taken of this model with this data; empty where it can.

        Args:
            model: in evaluation mode.
            samples: the recipe's images with their split, or ``None`` where there is no such data.
        """

    @abstractmethod
    def measure(self, model: Model, samples: Samples | None, *, n: int, seed: int) -> list[Figure]:
        """The figures. Called only where :meth:`applies` has nothing against it.

        Args:
            model: in evaluation mode.
            samples: as for :meth:`applies`.
            n: how many samples are drawn, or images taken, at most.
            seed: of everything that is drawn.

        Raises:
            LatentkitError: a package is missing, or the model yields what is not finite.
        """
