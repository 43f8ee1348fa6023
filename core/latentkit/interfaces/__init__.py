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

What has no parameters and no options worth a class is a decorated function: see ``latentkit.functions``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from latentkit.interfaces.component import Component
from latentkit.interfaces.converters import Conversion, Converter
from latentkit.interfaces.metrics import Figure, Metric
from latentkit.interfaces.observers import Observer
from latentkit.interfaces.parts import (
    Discriminator,
    Encoder,
    Function,
    Generator,
    Loss,
    Mapping,
    Part,
    Regularizer,
)
from latentkit.interfaces.rows import Rows, Unusable
from latentkit.interfaces.sources import DataSource, Prior, Table
from latentkit.spaces import Range

if TYPE_CHECKING:
    from latentkit.interfaces.directions import Direction, DirectionFinder, Examples

_LATER = ("Direction", "DirectionFinder", "Examples")
"""What imports torch, which processes that read data do without."""

__all__ = [
    "Component",
    "Conversion",
    "Converter",
    "DataSource",
    "Direction",
    "DirectionFinder",
    "Discriminator",
    "Encoder",
    "Examples",
    "Figure",
    "Function",
    "Generator",
    "Loss",
    "Mapping",
    "Metric",
    "Observer",
    "Part",
    "Prior",
    "Range",
    "Regularizer",
    "Rows",
    "Table",
    "Unusable",
]


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module 'latentkit.interfaces' has no attribute '{name}'")
    return getattr(importlib.import_module("latentkit.interfaces.directions"), name)
