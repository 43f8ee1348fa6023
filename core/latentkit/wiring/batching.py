"""Operations on the batch axis: what they are given, and how many samples they make."""

from __future__ import annotations

from collections import abc
from fractions import Fraction

from latentkit.errors import Mismatch
from latentkit.wiring.graph import Node


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


def uneven_chunks(nodes: abc.Iterable[Node], batch: int) -> abc.Iterator[tuple[Node, str]]:
    """The ``chunk`` nodes that would not make equal parts of this batch, each with what is wrong."""
    for node in nodes:
        if node.op == "chunk":
            samples, count = batch_share(node.args[0]) * batch, int(str(node.args[2].value))
            if samples % count:
                yield node, f"chunk() makes {count} equal parts, but a batch of {batch} gives it {samples} samples"


def even_batch(nodes: abc.Iterable[Node], least: int) -> int:
    """The smallest batch, at least this large, that every ``chunk`` splits evenly."""
    chunks = [node for node in nodes if node.op == "chunk"]
    batch = least
    while any(True for _ in uneven_chunks(chunks, batch)):
        batch += 1
    return batch


def batch_share(node: Node) -> Fraction:
    """How many samples a value has, as a multiple of the batch: ``chunk(x, 0, 2)`` has a half."""
    if node.op == "chunk":
        return batch_share(node.args[0]) / Fraction(str(node.args[2].value))
    if node.op == "concat":
        return sum((batch_share(arg) for arg in node.args), Fraction(0))
    if node.op == "take":
        return batch_share(node.args[1])
    inner = [batch_share(arg) for arg in node.args]
    return max(inner) if inner else Fraction(1)
