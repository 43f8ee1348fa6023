"""Spaces of values, ports of parts, and the unification that carries sizes along the flow."""

from __future__ import annotations

import re
from collections import abc

import attrs

from latentkit.errors import Mismatch

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


@attrs.frozen
class Port:
    """A named input or output of a part."""

    name: str
    space: Space | Var
    optional: bool = False


@attrs.frozen
class Signature:
    """Inputs and outputs. Several outputs make a record whose fields are read as ``E(x).content``."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    @property
    def output(self) -> Space | Var:
        """The space of the result."""
        if len(self.outputs) == 1:
            return self.outputs[0].space
        fields = tuple((port.name, port.space) for port in self.outputs)
        return Space("record", fields=fields)


_PORT = re.compile(
    r"^(?:(?P<name>[A-Za-z_]\w*)(?P<optional>\?)?\s*:\s*)?(?P<one>one\s+)?(?P<kind>[A-Za-z_]\w*)"
    r"(?:\[(?P<dims>[^\]]*)\])?(?:\s+in\s+(?P<range>[A-Za-z_]\w*))?$"
)


def parse_ports(text: str, sizes: abc.Mapping[str, object], owner: str = "") -> Signature:
    """Read ``"z: latent[dim] -> w: latent[dim]"``.

    A size is an integer, or a name: looked up in ``sizes``, and left open for the flow to determine where it is
    absent or ``None``. A capital letter as a kind is an open space (``of: T, to: T -> score``). ``in NAME`` is the
    value range. ``name?`` is an input that may be left out. ``one latent[dim]`` has no batch (a running mean, say).

    Raises:
        ValueError: the text is not of this form (a mistake of the part's author).
    """
    before, arrow, after = text.partition("->")
    if not arrow:
        raise ValueError(f"ports {text!r} have no '->'")
    reader = _PortReader(sizes, owner)
    inputs = tuple(reader.port(item) for item in _split(before))
    return Signature(inputs, tuple(reader.port(item) for item in _split(after)))


class _PortReader:
    def __init__(self, sizes: abc.Mapping[str, object], owner: str) -> None:
        self.sizes, self.owner = sizes, owner
        self.vars: dict[str, Var] = {}

    def port(self, text: str) -> Port:
        match = _PORT.match(text)
        if match is None:
            raise ValueError(f"port {text!r} is not of the form 'name: kind[size, ...]'")
        kind = match["kind"]
        if kind not in ARITY:
            if not kind[0].isupper():
                raise ValueError(f"port {text!r}: unknown kind {kind!r}; known: {', '.join(ARITY)}")
            return Port(match["name"] or "", self._var(kind), bool(match["optional"]))
        dims = tuple(self._dim(dim.strip()) for dim in (match["dims"] or "").split(",") if dim.strip())
        arity = ARITY[kind]
        if arity is not None and len(dims) != arity:
            raise ValueError(f"port {text!r}: {kind} has {arity} sizes, not {len(dims)}")
        return Port(match["name"] or "", self._space(kind, dims, match), bool(match["optional"]))

    def _space(self, kind: str, dims: tuple[Dim, ...], match: re.Match[str]) -> Space:
        value: Range | Var | None = None
        range_name = match["range"]
        if range_name:
            known = self.sizes.get(range_name, ...)
            if isinstance(known, tuple):
                value = (float(known[0]), float(known[1]))
            elif known is ...:
                value = self._var(range_name)
        return Space(kind, dims, value, batched=kind not in UNBATCHED and not match["one"])

    def _dim(self, text: str) -> Dim:
        if text.isdigit():
            return int(text)
        known = self.sizes.get(text)
        return known if isinstance(known, int) else self._var(text)

    def _var(self, name: str) -> Var:
        return self.vars.setdefault(name, Var(name, self.owner))


def _split(text: str) -> list[str]:
    parts = re.split(r",(?![^\[]*\])", text)
    return [part.strip() for part in parts if part.strip()]


class Unifier:
    """Makes spaces equal, remembering what each open size turned out to be."""

    def __init__(self) -> None:
        self.bound: dict[Var, object] = {}

    def find(self, item: object) -> object:
        """The value that an open size, range or space stands for by now."""
        while isinstance(item, Var) and item in self.bound:
            item = self.bound[item]
        return item

    def resolve(self, space: Space | Var) -> Space | Var:
        """The space with everything filled in that is known by now."""
        found = self.find(space)
        if not isinstance(found, Space):
            assert isinstance(found, Var)
            return found
        dims = tuple(self._dim(dim) for dim in found.dims)
        value = self._range(found.range)
        fields = tuple((name, self.resolve(inner)) for name, inner in found.fields)
        return attrs.evolve(found, dims=dims, range=value, fields=fields)

    def _range(self, value: Range | Var | None) -> Range | Var | None:
        found = self.find(value)
        return found if isinstance(found, tuple | Var) else None

    def _dim(self, dim: Dim) -> Dim:
        found = self.find(dim)
        assert isinstance(found, int | Var)
        return found

    def unify(self, a: Space | Var, b: Space | Var) -> None:
        """Make two spaces one.

        Raises:
            Mismatch: they differ in kind, in a size that both state, or in a value range that both state.
        """
        left, right = self.find(a), self.find(b)
        if left is right:
            return
        if isinstance(left, Var) or isinstance(right, Var):
            self._bind(left, right)
            return
        assert isinstance(left, Space)
        assert isinstance(right, Space)
        kinds = {left.kind, right.kind}
        if len(kinds) > 1 and "tensor" not in kinds:
            raise Mismatch(f"{self.resolve(left)} is not {self.resolve(right)}")
        if len(left.dims) != len(right.dims) or left.batched != right.batched:
            raise Mismatch(f"{self.resolve(left)} does not fit {self.resolve(right)}")
        for mine, theirs in zip(left.dims, right.dims, strict=True):
            if not self._bind(mine, theirs):
                raise Mismatch(f"{self.resolve(left)} does not fit {self.resolve(right)}")
        if left.range is not None and right.range is not None and not self._bind(left.range, right.range):
            raise Mismatch(f"value ranges differ: {self.resolve(left)} against {self.resolve(right)}")
        for (_, mine_space), (_, theirs_space) in zip(left.fields, right.fields, strict=False):
            self.unify(mine_space, theirs_space)

    def _bind(self, a: object, b: object) -> bool:
        a, b = self.find(a), self.find(b)
        if isinstance(a, Var) and a is not b:
            self.bound[a] = b
        elif isinstance(b, Var) and a is not b:
            self.bound[b] = a
        else:
            return a == b
        return True
