"""What values of a recipe are computed from: data, draws, the code."""

from __future__ import annotations

from collections import abc

from latentkit.wiring.graph import Node, ancestors


def draws_behind(nodes: abc.Iterable[Node]) -> set[Node]:
    """The draws that these nodes are computed from."""
    return {node for node in ancestors(nodes) if node.is_source("draw")}


def per_sample(roots: abc.Iterable[Node]) -> set[Node]:
    """The nodes behind these, themselves included, that are computed from data or draws."""
    return computed_from(roots, lambda node: node.is_source("data", "draw"))


def computed_from(roots: abc.Iterable[Node], starts: abc.Callable[[Node], bool]) -> set[Node]:
    """The nodes behind these, themselves included, that are such a start or depend on one."""
    found: set[Node] = set()
    for node in sorted(ancestors(roots)):
        if starts(node) or any(arg in found for arg in node.args):
            found.add(node)
    return found


def standing_for_code(code: str, decode: Node, sample: Node) -> Node | None:
    """The value that ``sample`` has wherever ``decode`` has the code; ``None`` where they differ in anything else."""
    found: Node | None = None
    compared: set[tuple[Node, Node]] = set()
    waiting = [(decode, sample)]
    while waiting:
        a, b = waiting.pop()
        if a.is_source("kept") and a.source[1] == code:
            if found not in (None, b):
                return None
            found = b
        elif a is not b and (a, b) not in compared:
            if a.op == "source" or (a.op, a.value, len(a.args)) != (b.op, b.value, len(b.args)):
                return None
            compared.add((a, b))
            waiting += zip(a.args, b.args, strict=True)
    return found
