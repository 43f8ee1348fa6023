"""Ports of parts: named inputs and outputs, read from one string."""

from __future__ import annotations

import re
from collections import abc

import attrs

from latentkit.spaces import ARITY, UNBATCHED, Dim, Range, Space, Var


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
