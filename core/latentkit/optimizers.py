"""Optimizers. One update touches all the parameters that a phase trains; state is kept per parameter.

Adam, RMSprop and the equalised-rate Adam of PGGAN and ALAE are one rule with different constants, so all of them use
torch's fused kernel.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import abc
from typing import ClassVar

import attrs
import torch
from torch import Tensor

from latentkit.interfaces import Component

Slots = dict[str, list[Tensor]]
_ENDLESS = 1e18
"""A step count at which the bias corrections of Adam are 1."""


@attrs.frozen(kw_only=True)
class Optimizer(Component):
    """How parameters follow gradients."""

    kind: ClassVar[str] = "optimizer"
    slots: ClassVar[tuple[str, ...]] = ()
    """Names of the tensors kept per parameter, each of the parameter's shape, starting at 0."""
    equalized: ClassVar[bool] = False
    """Multiply each parameter's rate by the module's ``step_multipliers``."""
    capturable: ClassVar[bool] = False
    """Whether ``step`` may be a tensor on the device, so that updates can be part of a graph of launches."""

    @abstractmethod
    def update(
        self, parameters: list[Tensor], gradients: list[Tensor], slots: Slots, step: int, rate: float | Tensor
    ) -> None:
        """Change the parameters in place.

        Args:
            parameters: of one device and dtype, contiguous in memory as their gradients are.
            gradients: may be overwritten.
            slots: the state of these parameters by slot name, updated in place.
            step: how often these parameters have been updated, this time included (from 1); for those that are
                ``capturable`` also as float32 or float64 [].
            rate: learning rate.
        """


def _fused(
    parameters: list[Tensor], gradients: list[Tensor], momenta: list[Tensor], squares: list[Tensor],
    step: float | Tensor, rate: float | Tensor, beta1: float, beta2: float, eps: float,
) -> None:  # fmt: skip
    # On a GPU the kernel reads a rate that is a tensor as float32.
    rate = rate.float() if isinstance(rate, Tensor) and rate.is_cuda else rate
    # The kernel wants one step counter per parameter; it reads them only.
    counter = (
        step if isinstance(step, Tensor)
        else torch.full((), float(step), dtype=torch.float32, device=parameters[0].device)
    )  # fmt: skip
    torch._fused_adam_(
        parameters, gradients, momenta, squares, [], [counter] * len(parameters), lr=rate, beta1=beta1, beta2=beta2,
        weight_decay=0.0, eps=eps, amsgrad=False, maximize=False,
    )  # fmt: skip


def _unbiased(beta: float, step: int | Tensor) -> float | Tensor:
    """1 - beta^step."""
    if isinstance(step, Tensor) and beta > 0:  # in float32 the difference from 1 would lose digits
        return -torch.expm1(step * math.log(beta))
    return 1 - beta**step


@attrs.frozen(kw_only=True)
class Adam(Optimizer):
    """Adam (Kingma & Ba 2015)."""

    slots: ClassVar[tuple[str, ...]] = ("momentum", "square")
    capturable: ClassVar[bool] = True
    beta1: float = attrs.field(default=0.9, validator=[attrs.validators.ge(0), attrs.validators.lt(1)])
    beta2: float = attrs.field(default=0.999, validator=[attrs.validators.ge(0), attrs.validators.lt(1)])
    eps: float = attrs.field(default=1e-8, validator=attrs.validators.gt(0))

    def update(
        self, parameters: list[Tensor], gradients: list[Tensor], slots: Slots, step: int | Tensor, rate: float | Tensor
    ) -> None:
        """p <- p - rate m^ / (sqrt(v^) + eps), with bias-corrected m^ and v^."""
        _fused(parameters, gradients, slots["momentum"], slots["square"], step, rate, self.beta1, self.beta2, self.eps)


@attrs.frozen(kw_only=True)
class LreqAdam(Optimizer):
    """Adam without momentum, and with a rate per parameter that equalised layers state (ALAE's LREQAdam).

    v <- beta2 v + (1 - beta2) g^2;  p <- p - rate c sqrt(1 - beta2^t) g / (sqrt(v) + eps), eps outside the correction.
    """

    slots: ClassVar[tuple[str, ...]] = ("square",)
    capturable: ClassVar[bool] = True
    equalized: ClassVar[bool] = True
    beta2: float = attrs.field(default=0.99, validator=[attrs.validators.ge(0), attrs.validators.lt(1)])
    eps: float = attrs.field(default=1e-8, validator=attrs.validators.gt(0))

    def update(
        self, parameters: list[Tensor], gradients: list[Tensor], slots: Slots, step: int | Tensor, rate: float | Tensor
    ) -> None:
        """One update; see the class."""
        # Without momentum m equals g, so the gradient itself can stand in for m. At an endless step count the kernel
        # corrects nothing and adds eps to sqrt(v); the correction of this rule is a factor on the rate.
        corrected = rate * _unbiased(self.beta2, step) ** 0.5
        _fused(parameters, gradients, gradients, slots["square"], _ENDLESS, corrected, 0.0, self.beta2, self.eps)


@attrs.frozen(kw_only=True)
class RMSprop(Optimizer):
    """RMSprop without momentum, as Keras has it: eps outside the root."""

    slots: ClassVar[tuple[str, ...]] = ("square",)
    capturable: ClassVar[bool] = True
    alpha: float = attrs.field(default=0.99, validator=[attrs.validators.ge(0), attrs.validators.lt(1)])
    eps: float = attrs.field(default=1e-7, validator=attrs.validators.gt(0))

    def update(
        self, parameters: list[Tensor], gradients: list[Tensor], slots: Slots, step: int | Tensor, rate: float | Tensor
    ) -> None:
        """v <- alpha v + (1 - alpha) g^2;  p <- p - rate g / (sqrt(v) + eps)."""
        # At an endless step count Adam's bias corrections are 1, and what remains is this rule.
        _fused(parameters, gradients, gradients, slots["square"], _ENDLESS, rate, 0.0, self.alpha, self.eps)


@attrs.frozen(kw_only=True)
class SGD(Optimizer):
    """Gradient descent, with heavy-ball momentum where it is above 0."""

    slots: ClassVar[tuple[str, ...]] = ("momentum",)
    capturable: ClassVar[bool] = True
    momentum: float = attrs.field(default=0.0, validator=[attrs.validators.ge(0), attrs.validators.lt(1)])

    def update(
        self, parameters: list[Tensor], gradients: list[Tensor], slots: Slots, step: int | Tensor, rate: float | Tensor
    ) -> None:
        """m <- momentum m + g;  p <- p - rate m."""
        if self.momentum:
            torch._foreach_mul_(slots["momentum"], self.momentum)
            torch._foreach_add_(slots["momentum"], gradients)
            gradients = slots["momentum"]
        torch._foreach_add_(parameters, torch._foreach_mul(gradients, -rate))


def same_layout(gradients: abc.Sequence[Tensor], parameters: abc.Sequence[Tensor]) -> list[Tensor]:
    """The gradients, each laid out in memory as its parameter is (the fused kernel walks both as flat arrays)."""
    return [
        gradient if gradient.stride() == parameter.stride() else torch.empty_like(parameter).copy_(gradient)
        for gradient, parameter in zip(gradients, parameters, strict=True)
    ]
