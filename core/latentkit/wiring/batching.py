"""Operations on the batch axis: what they are given, and how many samples they make."""

from __future__ import annotations

import math
from collections import abc
from fractions import Fraction

from latentkit.errors import Mismatch
from latentkit.spaces import SCALAR, Space, Var
from latentkit.wiring.graph import Node, ancestors

Shares = dict[Node, Fraction | None]
"""How many samples values have, as multiples of the batch; ``None`` for values without a batch."""
REORDERING = frozenset({"concat", "chunk", "roll", "flip", "take"})
"""Operations that pick samples of a batch."""
_WHOLE = frozenset({"detach", "take", "field", "reparameterize", "call", "apply"})
"""What takes a value of several tensors (a posterior, a record) as a whole."""


def check_whole_numbers(node: Node) -> None:
    """``chunk(x, i, n)`` and ``roll(x, n)`` take whole numbers: the plan must know the sizes of what they make."""
    for number in node.args[1:]:
        if number.op != "number" or not isinstance(number.value, int):
            example = "chunk(x, 0, 2)" if node.op == "chunk" else "roll(x, 1)"
            raise Mismatch(f"{node.op}() takes whole numbers written out, as in {example}")
    if node.op == "chunk":
        index, count = (int(str(number.value)) for number in node.args[1:])
        if not 0 <= index < count:
            raise Mismatch(f"chunk(x, i, n) is part i of n, counted from 0; found i = {index}, n = {count}")


def batch_faults(
    nodes: abc.Iterable[Node], space_of: abc.Callable[[Node], Space | Var], likes: abc.Mapping[str, Node]
) -> abc.Iterator[tuple[Node, str, str]]:
    """Operations whose values have no batch, several tensors, or other numbers of samples: node, fact and hint."""
    nodes = sorted(nodes)
    shares = batch_shares(nodes, likes)
    for node in nodes:
        if node.op == "take" and getattr(space_of(node.args[1]), "kind", "") != "index":
            fact = f"take(a, index) wants an index per sample, was given {space_of(node.args[1])}"
            yield node, fact, 'a draw { use = "index", n = ... } is one'
            continue
        spaces = [space for arg in node.args if isinstance(space := space_of(arg), Space)]
        if len(spaces) < len(node.args) or not spaces:
            continue
        first = spaces[0]
        several = [space for space in spaces if space.kind in ("posterior", "record")]
        if several and node.op not in _WHOLE:
            fact = f"{_called(node)} takes one tensor, was given {several[0]}"
            yield node, fact, "read a field of it, as in E(x).mu"
        elif node.op in REORDERING and not first.batched:
            yield node, f"{node.op}() picks samples of a batch, was given {first}, which has none", ""
        elif node.op == "batch_mean" and not first.batched and first.dims:
            yield node, f"batch_mean() takes the batch away, was given {first}, which has none", ""
        elif node.op == "clip" and any(space.kind != "scalar" for space in spaces[1:]):
            yield node, f"clip(a, low, high) wants numbers as limits, was given {spaces[1]} and {spaces[2]}", ""
        elif node.op not in ("concat", "take", "grad") and space_of(node) != SCALAR:
            found = sorted({share for arg in node.args if (share := shares[arg]) is not None})
            if len(found) > 1:
                sizes = " and ".join(str(share) for share in found)
                fact = f"{_called(node)} wants values of equally many samples, was given {sizes} times the batch"
                yield node, fact, "chunk() and concat() change how many samples there are"


def _called(node: Node) -> str:
    signs = {"add": "+", "sub": "-", "mul": "*", "div": "/", "neg": "-"}
    if node.op in ("call", "apply"):
        return node.callee[0] if node.op == "call" else "the loss"
    return signs.get(node.op, f"{node.op}()")


def uneven_chunks(
    nodes: abc.Iterable[Node], batch: int, likes: abc.Mapping[str, Node] | None = None
) -> abc.Iterator[tuple[Node, str]]:
    """The ``chunk`` nodes that would not make equal parts of this batch, each with what is wrong."""
    chunks = [node for node in nodes if node.op == "chunk"]
    shares = batch_shares(chunks, likes or {})
    for node in chunks:
        samples, count = (shares[node.args[0]] or 0) * batch, int(str(node.args[2].value))
        if samples % count:
            yield node, f"chunk() makes {count} equal parts, but a batch of {batch} gives it {samples} samples"


def even_batch(nodes: abc.Iterable[Node], least: int) -> int:
    """The smallest batch, at least this large, that every ``chunk`` splits evenly."""
    chunks = [node for node in nodes if node.op == "chunk"]
    shares = batch_shares(chunks, {})
    steps = [Fraction(str(node.args[2].value)) / (shares[node.args[0]] or 1) for node in chunks]
    step = math.lcm(*(share.numerator for share in steps))
    return math.ceil(least / step) * step


def batch_share(node: Node) -> Fraction:
    """How many samples a value has, as a multiple of the batch: ``chunk(x, 0, 2)`` has a half."""
    return batch_shares([node], {})[node] or Fraction(1)


def batch_shares(nodes: abc.Iterable[Node], likes: abc.Mapping[str, Node]) -> Shares:
    """The same for nodes and all that they are computed from. ``likes`` are draws that are as large as a value."""
    wanted = ancestors(nodes)
    shares: Shares = batch_shares(likes.values(), {}) if likes else {}
    for node in sorted(wanted):
        inner = [shares[arg] for arg in node.args]
        given = [share for share in inner if share is not None]
        if node.op == "source":
            kind, name = node.source
            own = shares[likes[name]] if kind == "draw" and name in likes else Fraction(1)
            shares[node] = own if kind in ("data", "draw", "kept") else None
        elif node.op == "chunk":
            shares[node] = inner[0] and inner[0] / Fraction(str(node.args[2].value))
        elif node.op in ("take", "grad"):
            shares[node] = inner[1]
        elif node.op == "batch_mean" or not given:
            shares[node] = None
        else:
            shares[node] = sum(given, Fraction(0)) if node.op == "concat" else max(given)
    return shares
