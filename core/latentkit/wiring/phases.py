"""The phases of a recipe as nodes: terms, weights, rates, kept values, next states."""

from __future__ import annotations

from collections import abc

from latentkit.errors import nearest
from latentkit.interfaces import Part
from latentkit.ports import parse_ports
from latentkit.recipe.quantities import Quantity, read_quantity
from latentkit.recipe.schema import PhaseSpec, Recipe, TermSpec, UseSpec
from latentkit.recipe.writing import brief
from latentkit.spaces import Space
from latentkit.wiring.components import Components
from latentkit.wiring.graph import Graph, Node
from latentkit.wiring.names import Names, Path
from latentkit.wiring.scope import Scope
from latentkit.wiring.times import check_times, check_together
from latentkit.wiring.wiring import Phase, Term

_LOSSES = ("loss", "regularizer", "function")


class PhaseReader:
    """Reads each phase in its own scope: what an earlier phase kept is a constant there."""

    def __init__(self, recipe: Recipe, names: Names, graph: Graph, components: Components) -> None:
        self.recipe, self.names, self.graph, self.components = recipe, names, graph, components

    def phases(self) -> list[Phase]:
        """All phases in the order of a step."""
        kept: frozenset[str] = frozenset()
        made = []
        for name, spec in self.recipe.phases.items():
            made.append(self._phase(name, spec, Scope(self.graph, self.names, kept)))
            kept |= frozenset(spec.keep)
        check_together(self.recipe, self.names)
        return made

    def _phase(self, name: str, spec: PhaseSpec, scope: Scope) -> Phase:
        path = ("phase", name)
        for part in spec.train:
            self._check_part(part, (*path, "train"))
            if part in self.recipe.parts and self.recipe.parts[part].frozen:
                hint = f"take it out of 'train', or write frozen = false in [parts] {part}"
                self.names.problem((*path, "train"), f"'{part}' is frozen, so no phase can train it", hint)
            elif spec.train.count(part) > 1:
                self.names.problem((*path, "train"), f"names '{part}' more than once", "name it once")
            self.names.used.add(part)
        check_times(name, spec, self.names)
        read = [self._term(name, key, term, scope) for key, term in spec.loss.items()]
        named = [key for key in spec.keep if key.isidentifier()]
        kept = {key: scope.expression(key, (*path, "keep")) for key in named}
        terms = tuple(term for term in read if term is not None)
        return Phase(
            name, spec, terms, {key: node for key, node in kept.items() if node},
            self._rates(name, spec, scope), self._states(name, scope),
        )  # fmt: skip

    def _check_part(self, part: str, path: Path) -> None:
        if not self.names.is_part(part):
            known = self.names.declared["parts"]
            hint = nearest(part, known) or f"parts of this recipe: {', '.join(known) or 'none'}"
            self.names.problem(path, f"no part is called '{part}'", hint)

    def _rates(self, name: str, spec: PhaseSpec, scope: Scope) -> dict[str, Node]:
        optimizer = spec.optimizer or self.recipe.optimizer
        base: Path = ("phase", name, "optimizer") if spec.optimizer else ("optimizer",)
        for part in optimizer.parts:
            self._check_part(part, (*base, part))
        rates = {}
        for part in spec.train:
            own = part in optimizer.parts
            path = (*base, part, "lr") if own else (*base, "lr")
            node = scope.quantity(optimizer.parts[part] if own else optimizer.lr, path)
            if node is not None:
                rates[part] = node
        return rates

    def _states(self, name: str, scope: Scope) -> dict[str, Node]:
        found = {}
        table = self.names.source.tables.get("phase")
        known = list(table) if isinstance(table, dict) else []
        for key, spec in self.recipe.state.items():
            for phase in spec.after or ():
                if phase not in known:
                    hint = nearest(phase, known) or f"phases of this recipe: {', '.join(known)}"
                    self.names.problem(("state", key, "after"), f"no phase is called '{phase}'", hint)
            if spec.after is None or name in spec.after:
                node = scope.expression(spec.next, ("state", key, "next"))
                if node is not None:
                    found[key] = node
        return found

    def _term(self, phase: str, name: str, spec: TermSpec, scope: Scope) -> Term | None:
        path = ("phase", phase, "loss", name)
        if spec.every < 1:
            self.names.problem((*path, "every"), f"must be at least 1, found {spec.every}")
        weight = scope.quantity(spec.weight, (*path, "weight"))
        if spec.use is None:
            node = self._expression(spec.options["of"], path, scope) if "of" in spec.options else None
        else:
            node = self._applied(spec, path, scope)
        if node is None or weight is None:
            return None
        return Term(phase, name, node, weight, spec.every)

    def _applied(self, spec: TermSpec, path: Path, scope: Scope) -> Node | None:
        assert spec.use is not None
        cls = self.components.load(spec.use, _LOSSES, path)
        if cls is None:
            return None
        ports = _port_names(cls)
        takes_gradient = "gradient" in ports
        inputs = {key: value for key, value in spec.options.items() if key in ports}
        options = {key: value for key, value in spec.options.items() if key not in inputs}
        if takes_gradient:
            of = options.pop("of", None)
            if of is None or spec.wrt is None:
                missing = "of" if of is None else "wrt"
                self.names.problem(path, f"{spec.use} needs '{missing}': it reads the gradient of 'of' at 'wrt'")
                return None
            inputs["gradient"] = of
        elif spec.wrt is not None:
            self.names.problem((*path, "wrt"), f"{spec.use} takes no gradient, so it has no 'wrt'")
        part = self.components.configure(
            UseSpec(use=spec.use, options=options),
            _LOSSES,
            path,
            Part,  # type: ignore[type-abstract]
            inputs=[key for key in (*ports, "of", "wrt", "weight", "every") if key != "gradient"],
            recover=True,
        )
        if part is None:
            return None
        args = [
            self._input(port, optional, kind, inputs, (*path, "of" if port == "gradient" else port), scope, spec)
            for port, (optional, kind) in ports.items()
        ]
        good = [arg for arg in args if arg is not None]
        return self.graph.node("apply", good, part, (path, "")) if len(good) == len(args) else None

    def _input(
        self, port: str, optional: bool, kind: str, inputs: abc.Mapping[str, object], path: Path, scope: Scope,
        spec: TermSpec,
    ) -> Node | None:  # fmt: skip
        if port not in inputs:
            if optional:
                return self.graph.node("number", (), None)
            self.names.problem(path[:-1], f"{spec.use} needs '{port}'", f'write {port} = "..."')
            return None
        value = inputs[port]
        if kind == "scalar" and not isinstance(value, str):
            return self._scalar(value, path, scope)
        if kind == "weights" and isinstance(value, str):
            return scope.weights(value, path)
        node = self._expression(value, path, scope)
        if port != "gradient" or node is None:
            return node
        wrt = scope.expression(spec.wrt or "", (*path[:-1], "wrt"))
        return None if wrt is None else scope.gradient(node, wrt, (path, str(value)))

    def _expression(self, value: object, path: Path, scope: Scope) -> Node | None:
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = repr(value)
        if not isinstance(value, str):
            self.names.problem(path, f"expected an expression in quotes, found {brief(value)}")
            return None
        return scope.expression(value, path)

    def _scalar(self, value: object, path: Path, scope: Scope) -> Node | None:
        try:
            quantity: Quantity = read_quantity(value)
        except ValueError as error:
            self.names.problem(path, str(error))
            return None
        return scope.quantity(quantity, path)


def _port_names(cls: type[Part]) -> dict[str, tuple[bool, str]]:
    """Input ports of a loss class: whether each may be left out, and its kind."""
    signature = parse_ports(cls.ports, {})
    return {
        port.name: (port.optional, port.space.kind if isinstance(port.space, Space) else "")
        for port in signature.inputs
    }
