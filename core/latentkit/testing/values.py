"""Values of spaces, and whether a result is of the space that a port declares."""

from __future__ import annotations

from collections import abc
from typing import Any

import attrs
import torch
from torch import Tensor

from latentkit.components.posteriors import Posterior
from latentkit.spaces import Space, Var

Known = abc.Mapping[str, Any]
"""What the open names of ports stand for: sizes, and spaces."""
_EDGE = 1e-4
"""How far beyond its range an image may be by rounding, as a share of the range."""


@attrs.frozen(kw_only=True)
class Draw:
    """How values are made.

    Attributes:
        batch: samples.
        seed: of the numbers.
        flat: images are black, and of two ports of one space both get one value.
        signed: scores have both signs; else they are in [0, 1), as numbers that a recipe draws.
        tensor: a scalar is a tensor without axes; else a plain number.
        optional: ports that may be left out get a value too.
    """

    batch: int = 5
    seed: int = 0
    flat: bool = False
    signed: bool = False
    tensor: bool = False
    optional: bool = True


def closed(space: Space | Var, known: Known) -> Space:
    """The space with everything filled in."""
    if isinstance(space, Var):
        found: Space = known[space.name]
        return found
    dims = tuple(known[dim.name] if isinstance(dim, Var) else dim for dim in space.dims)
    return attrs.evolve(space, dims=dims, range=space.range if isinstance(space.range, tuple) else None)


def value_of(space: Space, how: Draw, generator: torch.Generator) -> Any:
    """A value of a closed space, float32 on the CPU."""
    dims = [int(dim) for dim in space.dims if isinstance(dim, int)]
    shape = [how.batch, *dims] if space.batched else dims
    low, high = space.range if isinstance(space.range, tuple) else (-1.0, 1.0)
    match space.kind:
        case "scalar":
            return torch.tensor(0.5) if how.tensor else 0.5
        case "weights":
            shapes = {"first.weight": (4, 3), "first.bias": (4,), "second.weight": (2, 4, 3, 3)}
            return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
        case "index":
            return torch.arange(how.batch) % 2
        case "label":
            return torch.nn.functional.one_hot(torch.arange(how.batch) % dims[0], dims[0]).float()
        case "posterior":
            mu, spread = torch.randn([2, *shape], generator=generator).unbind()
            return Posterior(mu, 0.3 * spread)
        case "image" if how.flat:
            return torch.full(shape, low)
        case "image":
            return torch.rand(shape, generator=generator) * (high - low) + low
        case "score" if not how.signed:
            return torch.rand(shape, generator=generator)
    return torch.randn(shape, generator=generator)


def mapped(value: Any, change: abc.Callable[[Tensor], Tensor]) -> Any:
    """The value with each of its tensors changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, dict):
        return {key: mapped(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [mapped(item, change) for item in value]
    if isinstance(value, tuple):
        items = [mapped(item, change) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    return value


def tensors(value: Any) -> list[Tensor]:
    """All tensors of a value."""
    found: list[Tensor] = []

    def note(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    mapped(value, note)
    return found


def floats(value: Any) -> list[Tensor]:
    """Its tensors of real numbers."""
    return [tensor for tensor in tensors(value) if tensor.is_floating_point()]


def doubled(tensor: Tensor) -> Tensor:
    """The tensor in float64, where it has real numbers."""
    return tensor.double() if tensor.is_floating_point() else tensor


def disagreement(value: Any, space: Space, batch: int | None) -> str:
    """In which way a result is not of the space; empty where it is.

    Args:
        value: what a module returned.
        space: closed.
        batch: samples; ``None`` where the module itself decides how many.
    """
    if space.kind == "record":
        return _record(value, space, batch)
    if space.kind == "posterior":
        fields = tuple((name, Space("latent", space.dims)) for name in ("mu", "logvar"))
        return _record(value, Space("record", fields=fields), batch)
    if space.kind == "scalar" and isinstance(value, int | float):
        return ""
    if not isinstance(value, Tensor):
        return f"no tensor, but {type(value).__name__}"
    found = list(value.shape)
    wanted = [*([batch if batch is not None else found[:1] and found[0]] if space.batched else []), *space.dims]
    if found != wanted:
        return f"of shape {found}, not {wanted}"
    if space.kind == "index":
        return "" if value.dtype == torch.int64 else f"{value.dtype}, not int64"
    if not value.is_floating_point():
        return f"{value.dtype}, not real numbers"
    return _beyond(value, space)


def _record(value: Any, space: Space, batch: int | None) -> str:
    names = [name for name, _ in space.fields]
    if not isinstance(value, tuple) or not hasattr(value, "_fields"):
        return f"no named tuple with the fields {', '.join(names)}, but {type(value).__name__}"
    if list(value._fields) != names:
        return f"a named tuple of {', '.join(value._fields)}, not of {', '.join(names)}"
    for name, inner in space.fields:
        assert isinstance(inner, Space)
        fault = disagreement(getattr(value, name), inner, batch)
        if fault:
            return f"in its field '{name}' {fault}"
    return ""


def _beyond(value: Tensor, space: Space) -> str:
    if not isinstance(space.range, tuple) or not value.numel():
        return ""
    low, high = space.range
    least, most, slack = float(value.min()), float(value.max()), _EDGE * (high - low)
    inside = not (least < low - slack or most > high + slack)  # what is no number is another check's business
    return "" if inside else f"from {least:.4g} to {most:.4g}, not in [{low:g}, {high:g}]"
