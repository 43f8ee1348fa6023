"""Spaces of values: what a value is, and its sizes per sample."""

from __future__ import annotations

import attrs

ARITY: dict[str, int | None] = {
    "image": 3,  # channels, height, width; may carry a value range
    "map": 3,  # like an image, without a value range (noise)
    "latent": 1,
    "features": 1,
    "styles": 2,  # layers, dim
    "posterior": 1,  # a diagonal Gaussian: fields mu and logvar
    "label": 1,  # one-hot or multi-hot, float
    "score": 0,  # one number per sample
    "index": 0,  # one int64 per sample
    "scalar": 0,  # one number, no batch
    "tensor": None,  # anything of these sizes
    "weights": 0,  # the parameters of a part
}
UNBATCHED = frozenset({"scalar", "weights"})


@attrs.frozen(eq=False)
class Var:
    """A size, range or space that the flow has yet to determine."""

    name: str
    owner: str = ""

    def __str__(self) -> str:
        return self.name


Dim = int | Var
Range = tuple[float, float]


@attrs.frozen
class Space:
    """What a value is: a kind, its sizes per sample, and for images the value range."""

    kind: str
    dims: tuple[Dim, ...] = ()
    range: Range | Var | None = None
    fields: tuple[tuple[str, Space | Var], ...] = ()
    batched: bool = True

    def __str__(self) -> str:
        if self.kind == "record":
            return ", ".join(f"{name}: {space}" for name, space in self.fields)
        dims = ",".join(dim.name if isinstance(dim, Var) else str(dim) for dim in self.dims)
        text = f"{self.kind}[{dims}]" if dims else self.kind
        if isinstance(self.range, tuple):
            text += f" in [{self.range[0]:g}, {self.range[1]:g}]"
        return text if self.batched or self.kind in UNBATCHED else f"one {text}"


SCORE = Space("score")
SCALAR = Space("scalar", batched=False)
WEIGHTS = Space("weights", batched=False)
