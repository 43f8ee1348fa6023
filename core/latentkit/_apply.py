"""The module that calls a stateless part's function."""

from __future__ import annotations

from collections import abc
from typing import Any

from torch import nn


class Apply(nn.Module):
    """Calls ``function`` with positional inputs named by its ports, and its fixed options."""

    def __init__(
        self, function: abc.Callable[..., Any], names: abc.Sequence[str], options: abc.Mapping[str, Any]
    ) -> None:
        super().__init__()
        self.function, self.names, self.options = function, tuple(names), dict(options)

    def forward(self, *values: Any) -> Any:
        """Call the function; ``values`` are the inputs in the order of the ports."""
        named = {name: value for name, value in zip(self.names, values, strict=False) if value is not None}
        return self.function(**named, **self.options)
