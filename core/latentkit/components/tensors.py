"""Learnable tensors and the operators of the language as losses."""

from __future__ import annotations

from typing import ClassVar

import attrs
import torch
from torch import Tensor, nn

from latentkit.interfaces import Function
from latentkit.ports import Port, Signature
from latentkit.spaces import Space


def _sizes(_: object, field: attrs.Attribute[tuple[int, ...]], value: tuple[int, ...]) -> None:
    if not value or min(value) < 1:
        raise ValueError(f"'{field.name}' wants a list of sizes of at least 1, found {list(value)}")


@attrs.frozen(kw_only=True)
class Parameter(Function):
    """A learnable tensor, called as ``U()``; its first axis is the batch. Starts at N(0, std^2)."""

    ports: ClassVar[str] = "-> value: T"
    shape: tuple[int, ...] = attrs.field(validator=_sizes)
    std: float = 1.0

    def signatures(self, owner: str = "") -> dict[str, Signature]:
        """No input; a tensor of the stated sizes."""
        return {"": Signature((), (Port("value", Space("tensor", self.shape[1:])),))}

    def build(self) -> nn.Module:
        """The module that holds the tensor."""
        return _Parameter(self.shape, self.std)


class _Parameter(nn.Module):
    def __init__(self, shape: tuple[int, ...], std: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.randn(shape) * std)

    def forward(self) -> Tensor:
        return self.value
