"""What one execution yields, and values as they may leave it."""

from __future__ import annotations

from typing import Any

import attrs
import torch
from torch import Tensor

Gradients = list[Tensor | None]


@attrs.frozen(eq=False)
class Outcome:
    """What one execution yields. Everything is detached."""

    gradients: dict[str, Gradients]
    """Per phase, in the order of the parameters of its trained parts."""
    terms: dict[tuple[str, str], Tensor]
    """Per (phase, term), the batch mean before weighting."""
    kept: dict[str, Any]
    states: dict[str, Tensor]
    rates: dict[str, dict[str, Any]]
    updated: bool = False
    """Whether the parameters have been updated already; there are no gradients and rates then."""


def copied(value: Any) -> Any:
    """A value that no later update can reach: it may be a parameter or a state itself."""
    if isinstance(value, Tensor):
        return value.clone()
    return type(value)(*(copied(field) for field in value)) if isinstance(value, tuple) else value


def detached(value: Any) -> Any:
    """A value without its graph."""
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, tuple):
        return type(value)(*(detached(field) for field in value))
    return value


def reduced(value: Any) -> Tensor:
    """The mean over the batch, if there is one."""
    tensor = value if isinstance(value, Tensor) else torch.as_tensor(value)
    return tensor.mean() if tensor.ndim else tensor
