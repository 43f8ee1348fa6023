"""The abstract interfaces. A part is a frozen value; ``build()`` makes its ``nn.Module``.

Write a part as a final class::

    @attrs.frozen(kw_only=True)
    class LinearEncoder(Encoder):
        ports = "x: image[channels, height, width] -> w: latent[dim]"
        channels: int | None = None      # a size in ``ports`` that is None is determined by the flow
        height: int | None = None
        width: int | None = None
        dim: int | None = None

        def build(self) -> nn.Module: ...

What has no parameters and no options worth a class is a decorated function: see ``latentkit.stateless``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import abc
from typing import TYPE_CHECKING, ClassVar

import attrs

from latentkit.spaces import Range, Signature, Space, parse_ports

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

    from latentkit.engine.batches import Samples
    from latentkit.model import Model


@attrs.frozen(kw_only=True)
class Component(ABC):
    """Anything that a recipe can name with ``use``: a frozen value whose fields are its options."""

    kind: ClassVar[str]


@attrs.frozen(kw_only=True)
class Part(Component):
    """A network or a function in the flow. Holds sizes and options, never tensors.

    ``ports`` is one string, ``"w: latent[dim] -> x: image[channels, height, width]"``; ``entries`` are further
    methods of the module with ports of their own, called as ``W.inverse(h)``.
    """

    ports: ClassVar[str] = ""
    entries: ClassVar[abc.Mapping[str, str]] = {}
    independent: ClassVar[bool] = False
    """Each sample's result depends on that sample alone; declare it where it holds (never with batch statistics).
    Calls of such a part may be run as one."""
    stochastic: ClassVar[bool] = False
    """Draws numbers of its own (dropout), so that generator states must be saved."""

    def sizes(self) -> dict[str, object]:
        """Values of the names that ``ports`` may use; ``None`` means that the flow determines it."""
        return {field.name: getattr(self, field.name) for field in attrs.fields(type(self))}

    def signatures(self, owner: str = "") -> dict[str, Signature]:
        """The ports of the part itself (under ``""``) and of each entry. They share their open sizes."""
        texts = {"": self.ports, **self.entries}
        joined = parse_ports(_joined(texts.values()), self.sizes(), owner)
        inputs, outputs = iter(joined.inputs), iter(joined.outputs)
        signatures = {}
        for name, text in texts.items():
            alone = parse_ports(text, self.sizes(), owner)
            mine = tuple(next(inputs) for _ in alone.inputs)
            signatures[name] = Signature(mine, tuple(next(outputs) for _ in alone.outputs))
        return signatures

    @abstractmethod
    def build(self) -> nn.Module:
        """The module. Every size is known by now. Parameters are freshly initialised."""


def _joined(texts: abc.Iterable[str]) -> str:
    halves = [text.partition("->") for text in texts]
    return ", ".join(half[0] for half in halves) + " -> " + ", ".join(half[2] for half in halves)


@attrs.frozen(kw_only=True)
class Mapping(Part):
    """Latent to latent, ``z -> w``."""

    kind: ClassVar[str] = "mapping"


@attrs.frozen(kw_only=True)
class Generator(Part):
    """Latent to data, ``w -> x``."""

    kind: ClassVar[str] = "generator"


@attrs.frozen(kw_only=True)
class Encoder(Part):
    """Data to latent, ``x -> w``, or to a posterior."""

    kind: ClassVar[str] = "encoder"


@attrs.frozen(kw_only=True)
class Discriminator(Part):
    """Data or latent to one score per sample."""

    kind: ClassVar[str] = "discriminator"


@attrs.frozen(kw_only=True)
class Function(Part):
    """Any other step of the flow: style mixing, augmentation, a learnable tensor."""

    kind: ClassVar[str] = "function"


@attrs.frozen(kw_only=True)
class Loss(Part):
    """Named values to one number per sample (``-> score``) or one number (``-> scalar``). No parameters."""

    kind: ClassVar[str] = "loss"


@attrs.frozen(kw_only=True)
class Regularizer(Part):
    """A loss that also looks at gradients (a port named ``gradient``), weights, or a batch's geometry.

    The port ``gradient`` receives the derivative of the recipe's ``of`` with respect to its ``wrt``, per sample and
    differentiable again.
    """

    kind: ClassVar[str] = "regularizer"


@attrs.frozen(kw_only=True)
class Prior(Component):
    """A source of random numbers: latent samples, noise, mixing weights, labels."""

    kind: ClassVar[str] = "prior"

    def space(self) -> Space | None:
        """The space of one draw where the options state it, else ``None``: the flow determines it."""
        return None

    @abstractmethod
    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Draw a tensor of ``shape`` (batch first) on the generator's device."""

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density per sample, in nats.

        Raises:
            NotImplementedError: this prior has no density, or none that is known.
        """
        raise NotImplementedError(f"{type(self).__name__} has no log-density")


@attrs.frozen
class Table:
    """Data in memory. ``fields`` have equal length; ``image`` is uint8 [n, channels, height, width]."""

    fields: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(next(iter(self.fields.values())))


@attrs.frozen(kw_only=True)
class DataSource(Component):
    """Yields images, and labels or factors where it has them.

    ``resolution``, ``channels``, value range, split and flips are common to all sources and handled by the core; a
    source delivers uint8 images of the resolution and channels that it is asked for.
    """

    kind: ClassVar[str] = "data"
    native_resolution: ClassVar[int] = 64
    native_channels: ClassVar[int] = 1

    def classes(self) -> int | None:
        """The number of classes of ``label`` where it is known without opening data, else ``None``."""
        return None

    def offers(self) -> tuple[str, ...]:
        """The fields that this source can give, e.g. ``("image", "label")``; told without opening data."""
        return ("image",)

    @abstractmethod
    def open(self, resolution: int, channels: int) -> Table:
        """Read everything.

        Raises:
            DataError: missing or unreadable files, named.
        """


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


__all__ = [
    "Component",
    "DataSource",
    "Discriminator",
    "Encoder",
    "Figure",
    "Function",
    "Generator",
    "Loss",
    "Mapping",
    "Metric",
    "Part",
    "Prior",
    "Range",
    "Regularizer",
    "Table",
]
