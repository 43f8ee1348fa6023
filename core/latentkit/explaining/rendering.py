"""Nodes and quantities as text: the recipe's own language, with the flow's names for what has one."""

from __future__ import annotations

from collections import abc

from latentkit.interfaces import Part
from latentkit.recipe.quantities import Constant, Formula, Quantity, Ramp, Stairs
from latentkit.recipe.schema import TermSpec
from latentkit.wiring.graph import Graph, Node
from latentkit.wiring.names import Names
from latentkit.wiring.scope import Scope
from latentkit.wiring.wiring import Wiring

_SIGNS = {"add": ("+", 1), "sub": ("-", 1), "mul": ("*", 2), "div": ("/", 2)}
_NEG, _ATOM = 3, 4


class Renderer:
    """Writes nodes of a wiring as expressions.

    Args:
        wiring: whose nodes.
        kept: values that are constants in this scope, because an earlier phase kept them.
    """

    def __init__(self, wiring: Wiring, kept: abc.Iterable[str] = ()) -> None:
        self.wiring = wiring
        self.names: dict[Node, str] = {}
        for name, node in _flow_nodes(wiring, frozenset(kept)).items():
            self.names.setdefault(node, name)

    def text(self, node: Node) -> str:
        """The node by its name in the flow, or else its expression."""
        return self.names[node] if node in self.names else self.expanded(node)

    def expanded(self, node: Node) -> str:
        """The expression of the node itself, of named values."""
        return self._expanded(node)[0]

    def definition(self, node: Node) -> str:
        """``name = expression``, or the expression where the node has no name."""
        expression = self.expanded(node)
        return f"{self.names[node]} = {expression}" if node in self.names else expression

    def term(self, node: Node, spec: TermSpec) -> str:
        """A term of a loss: an expression, or the loss with its ports and options."""
        if node.op != "apply" or spec.use is None:
            return self.text(node)
        assert isinstance(node.value, Part)
        ports = [port.name for port in node.value.signatures()[""].inputs]
        given = [(port, arg) for port, arg in zip(ports, node.args, strict=True) if not _absent(arg)]
        options = [f"{key} = {value}" for key, value in spec.options.items() if key not in (*ports, "of")]
        inputs = [self.port(port, arg, alone=len(given) + len(options) == 1) for port, arg in given]
        return f"{spec.use}({', '.join([*inputs, *options])})"

    def summand(self, node: Node, spec: TermSpec) -> str:
        """A term that may be multiplied: in brackets where it is a sum."""
        text = self.term(node, spec)
        return f"({text})" if node.op in ("add", "sub") and node not in self.names else text

    def port(self, name: str, node: Node, alone: bool) -> str:
        """``name = value``; a gradient, and what is the only input, stand without a name."""
        text = self.text(node)
        if alone or node.op == "grad":
            return text
        return f"{name} = {self.expanded(node) if text == name and node in self.names else text}"

    def gradient(self, node: Node) -> str:
        """``∂y/∂x``."""
        y, x = (self._tight(arg, _ATOM) for arg in node.args)
        return f"∂{y}/∂{x}"

    def _tight(self, node: Node, needed: int) -> str:
        text, strength = (self.names[node], _ATOM) if node in self.names else self._expanded(node)
        return text if strength >= needed else f"({text})"

    def _expanded(self, node: Node) -> tuple[str, int]:
        args = node.args
        if node.op == "source":
            return _source(node)
        if node.op in ("number", "weights"):
            return number(node.value) if isinstance(node.value, int | float) else str(node.value), _ATOM
        if node.op in _SIGNS:
            sign, strength = _SIGNS[node.op]
            left, right = self._tight(args[0], strength), self._tight(args[1], strength + 1)
            return f"{left} {sign} {right}", strength
        if node.op == "neg":
            return f"-{self._tight(args[0], _NEG)}", _NEG
        if node.op == "field":
            return f"{self._tight(args[0], _ATOM)}.{node.value}", _ATOM
        if node.op == "grad":
            return self.gradient(node), _NEG
        name = node.op
        if node.op == "call":
            assert isinstance(node.value, tuple)
            name = ".".join(filter(None, node.value))
        return f"{name}({', '.join(self.text(arg) for arg in args)})", _ATOM


def _source(node: Node) -> tuple[str, int]:
    assert isinstance(node.value, tuple)
    kind, name = node.value
    if kind != "timed":
        return str(name), _ATOM
    return quantity(name), _ATOM if isinstance(name, Constant) else 0


def _absent(node: Node) -> bool:
    return node.op == "number" and node.value is None


def _flow_nodes(wiring: Wiring, kept: frozenset[str]) -> dict[str, Node]:
    # A scope adds what it does not find, so it gets a graph of its own with the same nodes.
    graph = Graph()
    graph.nodes, graph.table, graph.origin = [*wiring.graph.nodes], {**wiring.graph.table}, {**wiring.graph.origin}
    scope = Scope(graph, Names(wiring.recipe, wiring.source, wiring.parts), kept)
    found = {name: scope.expression(name, ("flow", name)) for name in wiring.recipe.flow if name not in kept}
    return {name: node for name, node in found.items() if node is not None and node.op not in ("source", "number")}


def number(value: float) -> str:
    """A number in few characters: ``0.002``, ``1e-05``, ``10000``."""
    return f"{value:.10g}"


def count(value: float) -> str:
    """A whole number with separators: ``10,000``."""
    return f"{value:,.10g}"


def quantity(value: Quantity) -> str:
    """A number, schedule or expression in words."""
    if isinstance(value, Constant):
        return number(value.value)
    if isinstance(value, Formula):
        return value.text
    if isinstance(value, Ramp):
        shape = "" if value.shape == "linear" else f", {value.shape}"
        start = f" from {count(value.start)}" if value.start else ""
        ends = f"{number(value.start_value)} → {number(value.end_value)}"
        return f"{ends} over {count(value.over)} {value.unit}{start}{shape}"
    assert isinstance(value, Stairs)
    first, *rest = value.steps
    unit = value.unit.removesuffix("s")
    return ", then ".join([number(first[1]), *(f"{number(level)} from {unit} {count(start)}" for start, level in rest)])
