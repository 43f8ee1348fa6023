"""What is known of a wiring's values and terms beyond their shapes: origins, round trips, pushes, games."""

from __future__ import annotations

from collections import abc

from latentkit.engine.plan import reached_by
from latentkit.explaining.games import games
from latentkit.explaining.layout import listed
from latentkit.explaining.origins import Origin, Origins
from latentkit.explaining.pairs import Pairs
from latentkit.explaining.pushes import Push, Pushes
from latentkit.explaining.rendering import Renderer
from latentkit.explaining.sketch import Sketch, terms_in_force
from latentkit.wiring.graph import Node, differentiable_ancestors
from latentkit.wiring.wiring import Wiring


class Facts:
    """Facts of a wiring. ``sketch`` and ``plain`` are copies of its graph, the latter without ``detach``."""

    def __init__(self, wiring: Wiring) -> None:
        self.wiring = wiring
        self.terms = terms_in_force(wiring)
        self.sketch = Sketch(wiring.spaces)
        kept: dict[str, Node] = {}
        for phase in wiring.phases:
            for name, node in phase.kept.items():
                kept.setdefault(name, self.sketch.of(node))  # kept again, it is what it was
        self.plain = Sketch(self.sketch.spaces, kept)
        self.trained = {part for phase in wiring.phases for part in phase.spec.train}
        self.origins = Origins(self.plain.spaces, self.trained)
        self.pairs = Pairs(self.plain.of, self.origins)
        self.pushes = self._pushes()
        self.games = games(wiring.phases, self.pushes, self.origin)
        self.renderer = Renderer(wiring)

    def _pushes(self) -> list[Push]:
        reader, found = Pushes(self.wiring), []
        trained = {phase.name: set(phase.spec.train) for phase in self.wiring.phases}
        for term in self.terms:
            node = self.sketch.of(term.node)
            live = differentiable_ancestors([node])
            live &= reached_by(sorted(live), trained[term.phase])
            for score, to in reader.of(node, self.sketch.of(term.weight), live):
                found.append(Push(term.phase, term.name, score, to))
        return found

    def origin(self, node: Node) -> Origin | None:
        """The origin of a node of the sketch."""
        return self.origins.of(self.plain.of(node))

    def text(self, node: Node) -> str:
        """A plain node in the recipe's words."""
        names = self.renderer.names
        return self.renderer.text(min(self.originals(node), key=lambda first: (first not in names, first)))

    def originals(self, node: Node) -> list[Node]:
        """The recipe's own nodes that a plain one stands for; itself where a joint call of them stands there."""
        seconds = self.plain.written.get(node, [node])
        return [first for second in seconds for first in self.sketch.written.get(second, [second])]

    def texts(self, nodes: abc.Iterable[Node]) -> str:
        """Plain nodes in words."""
        return listed(dict.fromkeys(map(self.text, nodes)))
