"""Parts: networks and functions of the flow."""

from __future__ import annotations

from abc import abstractmethod
from collections import abc
from typing import TYPE_CHECKING, ClassVar, Literal

import attrs

from latentkit.interfaces.component import Component
from latentkit.ports import Signature, parse_together

if TYPE_CHECKING:
    from torch import nn

Likelihood = Literal["probability", "density", "squared-error"]
"""``probability``: the loss is -log P(to | ...) per sample in nats, of discrete values (Bernoulli, categorical).
``density``: it is -log p(to | ...), of real values, with every constant. ``squared-error``: it is the sum of
(of - to)^2; with weight w it is a Gaussian of variance 1 / (2 w), but for the constant."""
Role = Literal["distance", "divergence", "discrepancy"]
"""What a loss compares. ``distance``: two values, sample by sample; a likelihood is one. ``divergence``: a
distribution with another one, by a formula. ``discrepancy``: two batches as samples of two distributions."""
Unit = Literal["nats", "squared", "absolute", ""]
"""``squared`` and ``absolute``: the unit of the inputs, squared or as it is. Empty: without unit, or not declared."""
Reduction = Literal["sum", "mean", ""]
"""Over the features of a sample, which are pixels or coordinates. Empty: there is nothing to reduce."""


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
    batch_norm_only: ClassVar[bool] = False
    """Nothing couples samples but torch's batch norms, if there are any; several processes then share their statistics,
    and each computes its own samples. Where samples are coupled otherwise, each process computes all of them."""
    stochastic: ClassVar[bool] = False
    """Draws numbers of its own (dropout), so that generator states must be saved."""

    def sizes(self) -> dict[str, object]:
        """Values of the names that ``ports`` may use; ``None`` means that the flow determines it."""
        return {field.name: getattr(self, field.name) for field in attrs.fields(type(self))}

    def signatures(self, owner: str = "") -> dict[str, Signature]:
        """The ports of the part itself (under ``""``) and of each entry. They share their open sizes."""
        return parse_together({"": self.ports, **self.entries}, self.sizes(), owner)

    @abstractmethod
    def build(self) -> nn.Module:
        """The module. Every size is known by now. Parameters are freshly initialised."""


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
    likelihood: ClassVar[Likelihood | None] = None
    """What the loss says of the probability of its port ``to`` given the others, where it is a likelihood."""
    role: ClassVar[Role | None] = None
    unit: ClassVar[Unit] = ""
    reduction: ClassVar[Reduction] = ""
    pushes: ClassVar[abc.Mapping[str, str]] = {}
    """Of an adversarial loss: where minimising it moves the scores at its ports: ``up``, ``down``, or the name of the
    option that has their target."""


@attrs.frozen(kw_only=True)
class Regularizer(Part):
    """A loss that also looks at gradients (a port named ``gradient``), weights, or a batch's geometry.

    The port ``gradient`` receives the derivative of the recipe's ``of`` with respect to its ``wrt``, per sample and
    differentiable again.
    """

    kind: ClassVar[str] = "regularizer"
