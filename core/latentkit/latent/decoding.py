"""A model's ``decode`` as a differentiable function of codes."""

from __future__ import annotations

from collections import abc
from typing import Any

from torch import Tensor

from latentkit.engine.binding import Binder
from latentkit.engine.evaluating import needed
from latentkit.engine.streams import Streams
from latentkit.errors import LatentkitError
from latentkit.model import Model
from latentkit.wiring.graph import Node

Decode = abc.Callable[[Tensor], Tensor]
"""Codes to images, differentiable, no image's code changing another's: [n, dim] to [n, channels, height, width]."""


def decoder(model: Model | Decode, *, seed: int = 0, given: abc.Mapping[str, Tensor | float] | None = None) -> Decode:
    """What makes images of codes, with gradients to the codes; a function is returned as it is.

    Of other draws (noise, say) one sample is drawn, and all codes see the same. So an image is a function of its code,
    whatever else is in the batch.

    Args:
        model: with a role ``decode``.
        seed: of other draws.
        given: values by name, such as labels: one per code, or one for all.

    Raises:
        LatentkitError: no role ``decode``, or a value that must be given; when it is called, codes
            of other sizes, or values of another number.
    """
    if not isinstance(model, Model):
        return model
    root, code = model.node("decode"), model.wiring.recipe.inference.get("code", "")
    streams, binder = Streams(seed, model.device), Binder(model.parts, model.wiring.spaces)
    sources: dict[Node, Any] = {}
    calls: list[tuple[Node, abc.Callable[..., Any]]] = []
    codes: list[Node] = []
    for node in sorted(needed([root], {})):
        if node.op != "source":
            calls.append((node, binder.function(node)))
        elif node.source[1] == code and node.source[0] != "timed":
            codes.append(node)
        else:
            sources[node] = model.source(node, 1, streams, given or {})

    def per_code(node: Node, value: Any, n: int) -> Any:
        if not (isinstance(value, Tensor) and value.ndim > 0 and model.wiring.spaces[node].batched):
            return value
        if len(value) not in (1, n):
            raise LatentkitError(f"'{node.source[1]}': expected one value per code ({n}), or one, found {len(value)}")
        return value.expand(n, *value.shape[1:])

    def decode(code: Tensor) -> Tensor:
        if codes and tuple(code.shape[1:]) != model.wiring.spaces[codes[0]].dims:
            wanted = ", ".join(map(str, ("n", *model.wiring.spaces[codes[0]].dims)))
            raise LatentkitError(f"'{model.name}': expected codes [{wanted}], found {list(code.shape)}")
        code = code.to(model.device, model.dtype)
        values = {node: per_code(node, value, len(code)) for node, value in sources.items()}
        values |= dict.fromkeys(codes, code)
        for node, function in calls:
            values[node] = function(*[values[argument] for argument in node.args])
        images: Tensor = values[root]
        return images

    return decode
