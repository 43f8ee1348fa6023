"""A wiring as a Mermaid flowchart: draws and data, parts in the colour of the phases that train them, losses."""

from __future__ import annotations

from collections import abc

from latentkit.engine.plan import CUTS
from latentkit.explaining.rendering import Renderer, quantity
from latentkit.recipe.quantities import Constant
from latentkit.wiring.graph import Node, ancestors
from latentkit.wiring.wiring import Phase, Wiring

_COLOURS = ("#cfe3f7", "#fbdcc4", "#d6efd0", "#e8d9f3", "#f9efb8", "#f6cfd8", "#d3eeee")
_STYLES = {
    "data": "fill:#ffffff,stroke:#333333,stroke-width:2px",
    "draw": "fill:#ffffff,stroke:#333333,stroke-dasharray:4 3",
    "value": "fill:#f4f4f4,stroke:#999999",
    "fixed": "fill:#dddddd,stroke:#666666",
    "loss": "fill:#ffffff,stroke:#aa3333",
}
_SIGNS = {"add": "+", "sub": "−", "mul": "×", "div": "÷", "neg": "−"}


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
        self.kept: list[str] = []

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
            label = f"{term.name}<br/>{weight}{spec.use or 'mean'}"
            self.lines.append(f"    {name}{{{{{_quoted(label)}}}}}:::loss")
            inputs = term.node.args if term.node in inside else (term.node,)
            edges += [self._edge(arg, name) for arg in inputs if not _hidden(arg)]
        self.lines += ["  end", *edges]
        self.kept += phase.spec.keep

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
            kind, value = node.value  # type: ignore[misc]
            text = _quoted(f"{value}{shape}")
            box = f"[({text})]:::data" if kind == "data" else f"([{text}]):::draw"
            self.lines.append(f"  {_key(node)}{box}")
            return
        if node.op == "call":
            self._call(node)
        else:
            label = f"{_SIGNS.get(node.op, node.op)}" if node.op != "field" else f".{node.value}"
            self.lines.append(f"  {_key(node)}(({_quoted(label)})):::value")
        self.lines += [self._edge(arg, _key(node), node) for arg in node.args if not _hidden(arg)]
        if name:
            text = _quoted(f"{name}{shape}")
            self.lines += [f"  v{node.index}({text}):::value", f"  {_key(node)} --- v{node.index}"]
            self.named(node)

    def named(self, node: Node) -> None:
        """Edges from now on start at the node's name."""
        self.lines[-1] = self.lines[-1].replace("---", "-->")

    def _call(self, node: Node) -> None:
        part, entry = node.value  # type: ignore[misc]
        trained = tuple(phase.name for phase in self.wiring.phases if part in phase.spec.train)
        style = self.combinations.setdefault(trained, f"trained{len(self.combinations)}") if trained else "fixed"
        label = f"{part}{'.' + entry if entry else ''}<br/>{self.wiring.recipe.parts[part].use}"
        self.lines.append(f"  {_key(node)}[{_quoted(label)}]:::{style}")

    def _edge(self, start: Node, end: str, of: Node | None = None) -> str:
        arrow = "-.->" if of is not None and of.op in CUTS else "-->"
        return f"  {_key(start)} {arrow} {end}"

    def classes(self) -> abc.Iterator[str]:
        """Styles, and what each colour means."""
        for name, style in _STYLES.items():
            yield f"  classDef {name} {style}"
        for number, (phases, name) in enumerate(self.combinations.items()):
            yield f"  %% {name}: trained in {', '.join(phases)}"
            yield f"  classDef {name} fill:{_COLOURS[number % len(_COLOURS)]},stroke:#333333"


def _hidden(node: Node) -> bool:
    timed = node.op == "source" and isinstance(node.value, tuple) and node.value[0] == "timed"
    return timed or node.op == "number"


def _key(node: Node) -> str:
    return f"n{node.index}"


def _id(*names: str) -> str:
    return "_".join("".join(char if char.isalnum() else "_" for char in name) for name in names)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', "#quot;") + '"'
