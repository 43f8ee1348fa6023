"""What values of a recipe are computed from: data, draws, the code."""

from __future__ import annotations

from collections import abc

from latentkit.wiring.graph import Node, ancestors
from latentkit.wiring.wiring import Wiring


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


def drawn_code(wiring: Wiring) -> Node | None:
    """The value that is the code of a sample: the code itself, or what ``sample`` has where ``decode`` has the code.

    ``None`` where no code is named, or none is drawn.
    """
    code, roles = wiring.code, wiring.inference
    if code is None or _is_drawn(code):
        return code
    if not {"sample", "decode"} <= set(roles):
        return None
    stands = standing_for_code(wiring.recipe.inference["code"], roles["decode"], roles["sample"])
    return stands if stands is not None and _is_drawn(stands) else None


def _is_drawn(node: Node) -> bool:
    sources = {item.source[0] for item in ancestors([node]) if item.op == "source"}
    return "draw" in sources and "data" not in sources


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
