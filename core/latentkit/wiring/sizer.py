"""Sizes of parts, draws and states, from what data and draws state."""

from __future__ import annotations

from collections import abc

import attrs

from latentkit.errors import Mismatch, Problem
from latentkit.interfaces import DataSource, Part, Prior
from latentkit.ports import Signature
from latentkit.recipe.schema import DataSpec, DrawSpec, Recipe, StateSpec
from latentkit.recipe.source import Source
from latentkit.recipe.writing import brief
from latentkit.spaces import SCALAR, SCORE, Space, Var
from latentkit.wiring.batching import batch_faults, batch_share
from latentkit.wiring.graph import Graph, Node, ancestors
from latentkit.wiring.hints import Misfit, hint_for
from latentkit.wiring.sizes import Sizes
from latentkit.wiring.wiring import Draw, Phase, State, phase_nodes

_ONE = "batch_mean() takes the batch away"


class Sizer:
    """Sizes of parts, draws and states, from what data and draws state."""

    def __init__(
        self, recipe: Recipe, source: Source, parts: abc.Mapping[str, Part], priors: abc.Mapping[str, Prior],
        data: abc.Mapping[str, DataSource], likes: dict[str, Node],
    ) -> None:  # fmt: skip
        self.recipe, self.source, self.parts, self.priors, self.likes = recipe, source, parts, priors, likes
        self.problems: list[Problem] = []
        self.data_spaces = {
            value: _data_space(spec, data[name], field)
            for name, spec in recipe.data.items()
            if name in data
            for value, field in spec.gives.items()
        }
        self.signatures: dict[str, dict[str, Signature]] = {name: part.signatures(name) for name, part in parts.items()}
        self.draw_spaces = {name: _draw_space(recipe.draw[name], prior, name) for name, prior in priors.items()}
        self.state_spaces: dict[str, Space | Var] = {
            name: _state_space(spec, name) for name, spec in recipe.state.items()
        }
        self.kept: dict[str, Node] = {}

    def infer(
        self, graph: Graph, phases: abc.Sequence[Phase], others: abc.Iterable[Node],
        equal: abc.Sequence[tuple[Node, Node]], unused: abc.Collection[str] = (), whole: bool = True,
    ) -> None:  # fmt: skip
        """Infer the space of every node that phases or roles need; what disagrees is in ``problems``.

        Of ``unused`` parts the sizes may stay open: that they are unused is said elsewhere. Where the nodes are not
        the ``whole`` recipe, because some of it had problems, only what disagrees is one.
        """
        sources: dict[object, Space | Var] = {("data", name): space for name, space in self.data_spaces.items()}
        sources |= {("draw", name): space for name, space in self.draw_spaces.items()}
        sources |= {("state", name): space for name, space in self.state_spaces.items()}
        sources |= {("scalars", name): SCALAR for name in self.recipe.scalars}
        pairs = list(equal)
        for node in graph.nodes:
            if node.is_source("timed"):
                sources[node.value] = SCALAR
            elif node.is_source("kept"):
                name = node.source[1]
                sources[node.value] = Var(str(name))
                pairs += [(node, phase.kept[name]) for phase in phases if name in phase.kept]
        alike = [name for name in self.likes if name in self.draw_spaces and not self.recipe.draw[name].row]
        pairs += [(self.likes[name], graph.node("source", (), ("draw", name))) for name in alike]
        for phase in phases:
            pairs += [(node, graph.node("source", (), ("state", name))) for name, node in phase.states.items()]
        self.sizes = Sizes(self.signatures, sources)
        paired = [node for pair in pairs for node in pair]  # also a state that nothing reads has a size
        self.sizes.infer(ancestors([*phase_nodes(phases), *others, *paired]), pairs, whole)
        if whole:
            self._settle()
        for name, space in self.data_spaces.items():  # a label's classes, say, which the flow knows
            found = self.sizes.unifier.resolve(space)
            self.data_spaces[name] = found if isinstance(found, Space) else space
        self._report_failures(graph)
        if not self.problems:
            for node, fact, hint in batch_faults(self.sizes.open, self.sizes.of, self.likes):
                self.problems.append(Problem(self._where(graph, node), fact, hint))
        if not self.problems:
            self._report_terms(phases, whole)
        if whole and not self.sizes.failures:
            self._report_open_sizes(unused)

    def _settle(self) -> None:
        """Sizes that a part computes from others (flattened features, say), now that the others are known.

        These may be what another part was waiting for, so it goes on until no part learns anything.
        """
        before: dict[str, Part] = {}
        for _ in self.parts:  # each round settles one part more, or is the last
            now = self.sized_parts()
            for name, part in now.items():
                if before.get(name) != part:
                    self._settle_part(name, part)
            if now == before or self.problems:
                return
            before = now

    def _settle_part(self, name: str, part: Part) -> None:
        try:
            settled = part.signatures(name)
        except Mismatch:
            return  # an illegal size is reported with the open ones
        for entry, signature in settled.items():
            called, mine = f"{name}.{entry}" if entry else name, self.signatures[name][entry]
            for known, port in zip(mine.outputs, signature.outputs, strict=True):
                self._settle_port(name, known.space, port.space, f"{called}(...)")
            for known, port in zip(mine.inputs, signature.inputs, strict=True):
                self._settle_port(name, known.space, port.space, f"{port.name} of {called}")

    def _settle_port(self, name: str, mine: Space | Var, settled: Space | Var, what: str) -> None:
        used = self.sizes.unifier.resolve(mine)
        try:
            self.sizes.unifier.unify(mine, settled)
        except Mismatch:
            fact = f"{what} is {settled} with these sizes, but is used as {used}"
            self.problems.append(Problem(self.source.where(("parts", name)), fact))

    def _report_failures(self, graph: Graph) -> None:
        for node, error in self.sizes.failures:
            name = node.callee[0] if node.op == "call" else ""
            hint = hint_for(error, name, self.parts.get(name)) if isinstance(error, Misfit) else ""
            self.problems.append(Problem(self._where(graph, node), str(error), hint))

    def _where(self, graph: Graph, node: Node) -> str:
        path, text = graph.origin[node]
        return self.source.where(path) + (f" = {brief(text)}" if text else "")

    def _report_open_sizes(self, unused: abc.Collection[str]) -> None:
        for name, open_sizes in self._open_sizes().items():
            if name in unused:
                continue
            use = self.recipe.parts[name].use
            fact = f"{' and '.join(open_sizes)} of {name} ({use}) cannot be inferred from the flow"
            self.problems.append(Problem(self.source.where(("parts", name)), fact, f"state {open_sizes[0]} = ..."))

    def _report_terms(self, phases: abc.Sequence[Phase], whole: bool) -> None:
        for phase in phases:
            for term in phase.terms:
                self._expect(term.node, (SCORE, SCALAR), "a loss", term.path, whole)
                self._expect(term.weight, (SCALAR,), "a weight", (*term.path, "weight"), whole)
            for part, node in phase.rates.items():
                self._expect(node, (SCALAR,), f"the rate of {part}", ("phase", phase.name), whole)
            for name, node in phase.states.items():
                space = self.sizes.of(node)
                if isinstance(space, Space) and space.batched:
                    where = self.source.where(("state", name, "next"))
                    self.problems.append(Problem(where, f"a state has no batch, this is {space}", _ONE))

    def _expect(self, node: Node, allowed: tuple[Space, ...], what: str, path: tuple[str, ...], whole: bool) -> None:
        space = self.sizes.of(node)
        if space not in allowed and (whole or isinstance(space, Space)):
            wanted = " or ".join(str(item) for item in allowed)
            one = _ONE if allowed == (SCALAR,) else "reduce it with mean() or sum()"
            self.problems.append(Problem(self.source.where(path), f"{what} is {wanted}, this is {space}", one))

    def _open_sizes(self) -> dict[str, list[str]]:
        found = {}
        for name, part in self.sized_parts().items():
            try:
                signatures = part.signatures(name)
            except Mismatch as error:
                self.problems.append(Problem(self.source.where(("parts", name)), str(error)))
                continue
            wanted = {str(item.name) for signature in signatures.values()
                      for port in (*signature.inputs, *signature.outputs)
                      for item in getattr(port.space, "dims", ()) if isinstance(item, Var)}  # fmt: skip
            missing = sorted(size for size in wanted if hasattr(part, size))
            if missing:
                found[name] = missing
        return found

    def sized_parts(self) -> dict[str, Part]:
        """The parts with every size, and value range, that the flow determines filled in."""
        return {name: self._sized(part, self.signatures[name]) for name, part in self.parts.items()}

    def _sized(self, part: Part, signatures: abc.Mapping[str, Signature]) -> Part:
        found: dict[str, object] = {}
        fields = {field.name for field in attrs.fields(type(part))}
        for signature in signatures.values():
            for port in (*signature.inputs, *signature.outputs):
                for item in (*getattr(port.space, "dims", ()), getattr(port.space, "range", None)):
                    known = self.sizes.unifier.find(item)
                    if isinstance(item, Var) and item.name in fields and isinstance(known, int | tuple):
                        found[item.name] = known
        return attrs.evolve(part, **found)

    def draws(self) -> dict[str, Draw]:
        """The draws with their spaces."""
        made = {}
        for name, spec in self.recipe.draw.items():
            found = self.sizes.unifier.resolve(self.draw_spaces[name])
            space = found if isinstance(found, Space) else SCORE
            share = float(batch_share(self.likes[name])) if name in self.likes else 1.0
            made[name] = Draw(self.priors[name], space, share, "step" if self.recipe.together else spec.per, spec.row)
        return made

    def states(self) -> dict[str, State]:
        """The states with their spaces."""
        made = {}
        for name, spec in self.recipe.state.items():
            found = self.sizes.unifier.resolve(self.state_spaces[name])
            made[name] = State(found if isinstance(found, Space) else SCALAR, spec.start, spec.every)
        return made

    def spaces(self, graph: Graph) -> dict[Node, Space]:
        """The space of every node that is determined."""
        found = {node: self.sizes.of(node) for node in graph.nodes}
        return {node: space for node, space in found.items() if isinstance(space, Space)}


def _data_space(spec: DataSpec, source: DataSource, field: str) -> Space:
    if field == "image":
        return Space("image", spec.image_size(source), spec.range)
    if field == "label":
        return Space("label", (source.classes() or Var("classes", spec.use),))
    return Space("features", (Var(field, spec.use),))


def _draw_space(spec: DrawSpec, prior: Prior, name: str) -> Space | Var:
    if spec.shape is not None:
        return Space("tensor", spec.shape)
    if spec.row:
        return SCORE
    return prior.space() or Var(name, "draw")


def _state_space(spec: StateSpec, name: str) -> Space | Var:
    if isinstance(spec.start, tuple):
        return Space("tensor", spec.start, batched=False)
    return Var(name, "state")
