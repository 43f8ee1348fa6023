"""Ports of parts: named inputs and outputs, read from one string."""

from __future__ import annotations

import functools
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
    value range, looked up likewise. ``name?`` is an input that may be left out. ``one latent[dim]`` has no batch (a
    running mean, say).

    Raises:
        ValueError: the text is not of this form (a mistake of the part's author).
    """
    return parse_together({"": text}, sizes, owner)[""]


def parse_together(
    texts: abc.Mapping[str, str], sizes: abc.Mapping[str, object], owner: str = ""
) -> dict[str, Signature]:
    """Read several texts whose names are the same sizes, wherever they stand.

    Raises:
        ValueError: as :func:`parse_ports`.
    """
    reader = _PortReader(sizes, owner)
    signatures = {}
    for key, text in texts.items():
        inputs, outputs = _written(text)
        signatures[key] = Signature(tuple(map(reader.port, inputs)), tuple(map(reader.port, outputs)))
    return signatures


@attrs.frozen
class _Written:
    """A port as its text has it: names in place of sizes."""

    name: str
    optional: bool
    kind: str
    dims: tuple[str, ...]
    range: str
    batched: bool


@functools.lru_cache(maxsize=1024)  # the texts are those of classes, and each is read at every use of its part
def _written(text: str) -> tuple[tuple[_Written, ...], tuple[_Written, ...]]:
    """The inputs and outputs of a text."""
    before, arrow, after = text.partition("->")
    if not arrow:
        raise ValueError(f"ports {text!r} have no '->'")
    return tuple(map(_port, _split(before))), tuple(map(_port, _split(after)))


def _port(text: str) -> _Written:
    match = _PORT.match(text)
    if match is None:
        raise ValueError(f"port {text!r} is not of the form 'name: kind[size, ...]'")
    kind = match["kind"]
    if kind not in ARITY and not kind[0].isupper():
        raise ValueError(f"port {text!r}: unknown kind {kind!r}; known: {', '.join(ARITY)}")
    dims = tuple(dim.strip() for dim in (match["dims"] or "").split(",") if dim.strip())
    arity = ARITY.get(kind)
    if arity is not None and len(dims) != arity:
        raise ValueError(f"port {text!r}: {kind} has {arity} sizes, not {len(dims)}")
    batched = kind not in UNBATCHED and not match["one"]
    return _Written(match["name"] or "", bool(match["optional"]), kind, dims, match["range"] or "", batched)


class _PortReader:
    def __init__(self, sizes: abc.Mapping[str, object], owner: str) -> None:
        self.sizes, self.owner = sizes, owner
        self.vars: dict[str, Var] = {}

    def port(self, written: _Written) -> Port:
        return Port(written.name, self._space(written), written.optional)

    def _space(self, written: _Written) -> Space | Var:
        if written.kind not in ARITY:
            return self._var(written.kind)
        dims = tuple(map(self._dim, written.dims))
        value: Range | Var | None = None
        if written.range:
            known = self.sizes.get(written.range)
            value = (float(known[0]), float(known[1])) if isinstance(known, tuple) else self._var(written.range)
        return Space(written.kind, dims, value, batched=written.batched)

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
