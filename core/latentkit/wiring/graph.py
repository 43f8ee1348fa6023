"""The expression graph. Equal sub-expressions are one node, so sharing is a fact and not an optimisation."""

from __future__ import annotations

from collections import abc
from typing import Any

import attrs


@attrs.frozen(eq=False)
class Node:
    """One value.

    ``op`` is ``source`` (``value`` is (kind, name)), ``number``, ``call`` (``value`` is (part, entry)), ``apply``
    (``value`` is a stateless part, of a loss), ``weights`` (``value`` is a part's name), ``field``, or an operation.
    """

    index: int
    op: str
    args: tuple[Node, ...]
    value: object

    @property
    def source(self) -> tuple[str, Any]:
        """Of a ``source``: its kind (data, draw, scalars, state, kept, timed) and its name (or quantity)."""
        assert isinstance(self.value, tuple)
        return str(self.value[0]), self.value[1]

    @property
    def callee(self) -> tuple[str, str]:
        """Of a ``call``: the part's name and the entry, empty for the part itself."""
        assert isinstance(self.value, tuple)
        return str(self.value[0]), str(self.value[1])

    def is_source(self, *kinds: str) -> bool:
        """Whether this is a source, of one of these kinds where any are named."""
        return self.op == "source" and (not kinds or self.source[0] in kinds)

    def __lt__(self, other: Node) -> bool:
        return self.index < other.index


class Graph:
    """Makes nodes, each once. A node's index is larger than those of its arguments."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.table: dict[object, Node] = {}
        self.origin: dict[Node, tuple[tuple[str, ...], str]] = {}
        """The recipe path and the text of the expression that a node first stood in."""

    def node(
        self,
        op: str,
        args: abc.Sequence[Node] = (),
        value: object = None,
        origin: tuple[tuple[str, ...], str] = ((), ""),
    ) -> Node:
        """The node of this operation on these arguments: the known one, or a new one."""
        # True == 1 == 1.0 as dictionary keys, so the type of a number belongs to the key.
        key = (op, tuple(arg.index for arg in args), value, type(value))
        if key not in self.table:
            node = Node(len(self.nodes), op, tuple(args), value)
            self.nodes.append(node)
            self.table[key] = node
            self.origin[node] = origin
        return self.table[key]


CUTS = frozenset({"detach", "sign"})
"""Operations that end a gradient path."""


def ancestors(roots: abc.Iterable[Node], cuts: abc.Collection[str] = ()) -> set[Node]:
    """The nodes that the roots are computed from, roots included; not beyond operations in ``cuts``."""
    found: set[Node] = set()
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node not in found:
            found.add(node)
            stack += [] if node.op in cuts else node.args
    return found


def differentiable_ancestors(roots: abc.Iterable[Node]) -> set[Node]:
    """The nodes that a gradient of the roots can flow to."""
    return ancestors(roots, CUTS)
