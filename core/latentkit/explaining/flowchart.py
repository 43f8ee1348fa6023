"""A wiring as a Mermaid flowchart: draws and data, parts in the colour of the phases that train them, losses."""

from __future__ import annotations

from collections import abc

from latentkit.explaining.layout import listed
from latentkit.explaining.rendering import Renderer, quantity
from latentkit.recipe.quantities import Constant
from latentkit.wiring.graph import CUTS, Node, ancestors
from latentkit.wiring.wiring import Phase, Wiring

_COLOURS = ("#cfe3f7", "#fbdcc4", "#d6efd0", "#e8d9f3", "#f9efb8", "#f6cfd8", "#d3eeee")
_STYLES = {
    "data": "fill:#ffffff,stroke:#333333,stroke-width:2px",
    "draw": "fill:#ffffff,stroke:#333333,stroke-dasharray:4 3",
    "value": "fill:#f4f4f4,stroke:#999999",
    "fixed": "fill:#dddddd,stroke:#666666",
    "loss": "fill:#ffffff,stroke:#aa3333",
}
_SHORT = 28


def flowchart(wiring: Wiring) -> str:
    """The chart of all losses. A dotted edge carries no gradient."""
    chart = _Chart(wiring)
    for phase in wiring.phases:
        chart.phase(phase)
    return "\n".join(["flowchart LR", *chart.lines, *chart.classes()]) + "\n"


class _Chart:
    def __init__(self, wiring: Wiring) -> None:
        self.wiring = wiring
        self.lines: list[str] = []
        self.drawn: set[Node] = set()
        self.combinations: dict[tuple[str, ...], str] = {}
        self.kept: dict[str, Node] = {}
        self.named: set[Node] = set()

    def phase(self, phase: Phase) -> None:
        """The nodes that the phase's losses need and were not drawn yet, and its losses in a box."""
        renderer = Renderer(self.wiring, self.kept)
        roots = [term.node for term in phase.terms]
        inside = {node for node in roots if node.op == "apply"}
        for node in sorted(ancestors(roots) - inside - self.drawn):
            self._node(node, renderer)
        self.lines.append(f"  subgraph {_id('phase', phase.name)}[{_quoted(self._title(phase))}]")
        edges = []
        for term in phase.terms:
            name = _id("loss", phase.name, term.name)
            spec = phase.spec.loss[term.name]
            weight = "" if spec.weight == Constant(1) else f"{quantity(spec.weight)} · "
            label = "<br/>".join(filter(None, (term.name, weight + (spec.use or "value" * bool(weight)))))
            self.lines.append(f"    {name}{{{{{_quoted(label)}}}}}:::loss")
            inputs = term.node.args if term.node in inside else (term.node,)
            edges += [self._edge(arg, name) for arg in inputs if not _hidden(arg)]
        self.lines += ["  end", *edges]
        self.kept |= phase.kept

    def _title(self, phase: Phase) -> str:
        return f"{phase.name}: trains {', '.join(phase.spec.train)}"

    def _node(self, node: Node, renderer: Renderer) -> None:
        self.drawn.add(node)
        if _hidden(node):
            return
        space = self.wiring.spaces.get(node)
        shape = f"<br/>{space}" if space is not None else ""
        name = renderer.names.get(node)
        if node.op == "source":
            assert isinstance(node.value, tuple)
            kind, value = node.value
            text = _quoted(f"{value}{shape}")
            box = {"data": f"[({text})]:::data", "draw": f"([{text}]):::draw"}.get(kind, f"({text}):::value")
            self.lines.append(f"  {_key(node)}{box}")
            if kind == "kept" and value in self.kept:
                self.lines.append(f"  {self._out(self.kept[value])} -. kept .-> {_key(node)}")
            return
        if node.op == "call":
            self._call(node)
        else:
            self.lines.append(f"  {_key(node)}[{_quoted(_operation(node, renderer))}]:::value")
        self.lines += [self._edge(arg, _key(node), node) for arg in node.args if not _hidden(arg)]
        if name:
            self.named.add(node)
            self.lines += [f"  v{node.index}({_quoted(name + shape)}):::value", f"  {_key(node)} --> v{node.index}"]

    def _call(self, node: Node) -> None:
        assert isinstance(node.value, tuple)
        part, entry = node.value
        trained = tuple(phase.name for phase in self.wiring.phases if part in phase.spec.train)
        style = self.combinations.setdefault(trained, f"trained{len(self.combinations)}") if trained else "fixed"
        label = f"{part}{'.' + entry if entry else ''}<br/>{self.wiring.recipe.parts[part].use}"
        self.lines.append(f"  {_key(node)}[{_quoted(label)}]:::{style}")

    def _edge(self, start: Node, end: str, of: Node | None = None) -> str:
        arrow = "-.->" if of is not None and of.op in CUTS else "-->"
        return f"  {self._out(start)} {arrow} {end}"

    def _out(self, node: Node) -> str:
        return f"v{node.index}" if node in self.named else _key(node)

    def classes(self) -> abc.Iterator[str]:
        """Styles, and what each colour means."""
        for name, style in _STYLES.items():
            yield f"  classDef {name} {style}"
        for number, name in enumerate(self.combinations.values()):
            yield f"  classDef {name} fill:{_COLOURS[number % len(_COLOURS)]},stroke:#333333"
        yield '  subgraph colours["trained in"]'
        for phases, name in self.combinations.items():
            yield f"    key_{name}[{_quoted(listed(phases))}]:::{name}"
        yield "  end"


def _operation(node: Node, renderer: Renderer) -> str:
    """The expression where it is short, else the operation."""
    text = renderer.expanded(node)
    return text if len(text) <= _SHORT else f".{node.value}" if node.op == "field" else node.op


def _hidden(node: Node) -> bool:
    timed = node.op == "source" and isinstance(node.value, tuple) and node.value[0] == "timed"
    return timed or node.op == "number"


def _key(node: Node) -> str:
    return f"n{node.index}"


def _id(*names: str) -> str:
    return "_".join("".join(char if char.isalnum() else "_" for char in name) for name in names)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', "#quot;") + '"'
