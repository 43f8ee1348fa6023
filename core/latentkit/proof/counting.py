"""Counting what an execution costs while it runs on shapes."""

from __future__ import annotations

from collections import abc
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Sums the multiplications and additions of matrix products and convolutions, by torch's own formulas.

    Torch's ``FlopCounterMode`` also follows modules with backward hooks, which second derivatives do not allow.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: abc.Mapping[str, Any] | None = None
    ) -> Any:
        """Runs the operation and adds its cost."""
        rest = dict(kwargs or {})
        result = func(*args, **rest)
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.flops += formula(*args, **rest, out_val=result)
        return result
