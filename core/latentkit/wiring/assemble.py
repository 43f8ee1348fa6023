"""Recipe to wiring. Collects every problem that can be known without building a network."""

from __future__ import annotations

from collections import abc

import attrs

from latentkit.errors import Problem, RecipeError, nearest
from latentkit.interfaces import DataSource, Part, Prior
from latentkit.recipe.quantities import Formula, is_static
from latentkit.recipe.reading import structured
from latentkit.recipe.schema import DataSpec, DrawSpec, Recipe, StateSpec
from latentkit.recipe.source import Source
from latentkit.registry.manager import Registry
from latentkit.spaces import SCALAR, SCORE, Signature, Space, Var
from latentkit.wiring.components import Components
from latentkit.wiring.graph import Graph, Node, ancestors
from latentkit.wiring.names import Names, Scope
from latentkit.wiring.phases import PhaseReader
from latentkit.wiring.sizes import Sizes, batch_share
from latentkit.wiring.wiring import Draw, Phase, State, Wiring, parts_called


def assemble(source: Source, registry: Registry) -> Wiring:
    """Resolve a recipe.

    Raises:
        RecipeError: with all the problems that were found.
    """
    recipe = structured(source)
    components = Components(registry, source)
    parts, priors, data = components.parts(recipe), components.priors(recipe), components.data(recipe)
    names = Names(recipe, source, parts)
    graph = Graph()
    reader = PhaseReader(recipe, names, graph, components)
    phases = reader.phases()
    problems = [*components.problems, *names.problems]
    if problems:
        raise RecipeError(_unique(problems))
    scope = Scope(graph, names)
    likes = {name: scope.expression(spec.like, ("draw", name, "like"))
             for name, spec in recipe.draw.items() if spec.like}  # fmt: skip
    inference, code = _inference(recipe, scope, names)
    monitor = _expressions(recipe.monitor, scope, "monitor")
    if names.problems:
        raise RecipeError(_unique(names.problems))
    flow = {name: scope.expression(name, ("flow", name)) for name in recipe.flow}
    sizer = _Sizer(recipe, source, parts, priors, data, {name: node for name, node in likes.items() if node})
    wanted = [*inference.values(), *monitor.values(), *sizer.likes.values(), *[node for node in flow.values() if node]]
    sizer.infer(graph, phases, wanted, _code_pairs(inference, code))
    problems = [*names.problems, *sizer.problems]
    if problems:
        raise RecipeError(_unique(problems))
    unused = set(parts) - parts_called(ancestors([*_phase_nodes(phases), *inference.values(), *monitor.values()]))
    if unused:
        raise RecipeError([
            Problem(source.where(("parts", name)), f"no expression uses the part '{name}'",
                    "call it in [flow], a loss or [inference], or remove it")
            for name in sorted(unused)
        ])  # fmt: skip
    return Wiring(
        recipe=recipe, source=source, graph=graph, parts=sizer.sized_parts(), draws=sizer.draws(), data=data,
        data_spaces=sizer.data_spaces, states=sizer.states(), phases=tuple(phases), inference=inference, code=code,
        monitor=monitor, spaces=sizer.spaces(graph), components=tuple(dict.fromkeys(components.used)),
        warnings=_warnings(recipe, names),
    )  # fmt: skip


def _unique(problems: abc.Iterable[Problem]) -> list[Problem]:
    return list(dict.fromkeys(problems))


def _expressions(table: abc.Mapping[str, str], scope: Scope, key: str) -> dict[str, Node]:
    found = {name: scope.expression(text, (key, name)) for name, text in table.items()}
    return {name: node for name, node in found.items() if node is not None}


def _inference(recipe: Recipe, scope: Scope, names: Names) -> tuple[dict[str, Node], Node | None]:
    roles = {name: text for name, text in recipe.inference.items() if name != "code"}
    code_name = recipe.inference.get("code", "").strip()
    if code_name and (code_name not in names.kinds or names.kinds[code_name] == "parts"):
        hint = nearest(code_name, names.kinds)
        names.problem(("inference", "code"), f'"{code_name}": expected the name of a value', hint)
        code_name = ""
    for role in ("encode", "decode"):
        if role in roles and not code_name:
            fact = f"'{role}' needs 'code': the name of the value that encode yields and decode is given"
            names.problem(("inference", role), fact)
    # Decode is given the code, so inside it the code's name is a constant, as a kept value is in a later phase.
    given = Scope(scope.graph, names, frozenset({code_name} - {""}))
    nodes = {}
    for name, text in roles.items():
        node = (given if name == "decode" else scope).expression(text, ("inference", name))
        if node is not None:
            nodes[name] = node
    code = scope.expression(code_name, ("inference", "code")) if code_name else None
    return nodes, code


def _code_pairs(inference: abc.Mapping[str, Node], code: Node | None) -> list[tuple[Node, Node]]:
    if code is None:
        return []
    pairs = [(inference["encode"], code)] if "encode" in inference else []
    if "decode" in inference:
        given = [node for node in ancestors([inference["decode"]]) if node.value and node.op == "source"]
        kept = [node for node in given if isinstance(node.value, tuple) and node.value[0] == "kept"]
        pairs += [(node, code) for node in kept]
    return pairs


def _phase_nodes(phases: abc.Iterable[Phase]) -> list[Node]:
    nodes = []
    for phase in phases:
        nodes += [node for term in phase.terms for node in (term.node, term.weight)]
        nodes += [*phase.kept.values(), *phase.rates.values(), *phase.states.values()]
    return nodes


def _warnings(recipe: Recipe, names: Names) -> tuple[str, ...]:
    tables = {"draw": recipe.draw, "flow": recipe.flow, "scalars": recipe.scalars}
    return tuple(
        f"[{table}] {name} is used by nothing"
        for table, values in tables.items()
        for name in values
        if name not in names.used and name != recipe.inference.get("code")
    )


class _Sizer:
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
            for value, field in spec.gives.items()
        }
        self.signatures: dict[str, dict[str, Signature]] = {
            name: part.signatures(name) for name, part in parts.items()
        }
        self.draw_spaces = {name: _draw_space(recipe.draw[name], prior, name) for name, prior in priors.items()}
        self.state_spaces: dict[str, Space | Var] = {
            name: _state_space(spec, name) for name, spec in recipe.state.items()
        }
        self.kept: dict[str, Node] = {}

    def infer(
        self, graph: Graph, phases: abc.Sequence[Phase], others: abc.Iterable[Node],
        equal: abc.Sequence[tuple[Node, Node]],
    ) -> None:  # fmt: skip
        sources: dict[object, Space | Var] = {("data", name): space for name, space in self.data_spaces.items()}
        sources |= {("draw", name): space for name, space in self.draw_spaces.items()}
        sources |= {("state", name): space for name, space in self.state_spaces.items()}
        sources |= {("scalars", name): SCALAR for name in self.recipe.scalars}
        pairs = list(equal)
        for node in graph.nodes:
            kind, name = node.value if node.op == "source" else ("", "")  # type: ignore[misc]
            if kind == "timed":
                sources[node.value] = SCALAR
            elif kind == "kept":
                sources[node.value] = Var(str(name))
                pairs += [(node, phase.kept[name]) for phase in phases if name in phase.kept]
        pairs += [(likes_node, graph.node("source", (), ("draw", name)))
                  for name, likes_node in self.likes.items() if not self.recipe.draw[name].row]  # fmt: skip
        for phase in phases:
            pairs += [(node, graph.node("source", (), ("state", name))) for name, node in phase.states.items()]
        self.sizes = Sizes(self.signatures, sources)
        self.sizes.infer(ancestors([*_phase_nodes(phases), *others]), pairs)
        self._report(graph, phases)

    def _report(self, graph: Graph, phases: abc.Sequence[Phase]) -> None:
        for node, fact in self.sizes.failures:
            path, text = graph.origin[node]
            self.problems.append(Problem(self.source.where(path) + (f' = "{text}"' if text else ""), fact))
        if self.problems:
            return
        for name, open_sizes in self._open_sizes().items():
            use = self.recipe.parts[name].use
            fact = f"{' and '.join(open_sizes)} of {name} ({use}) cannot be inferred from the flow"
            self.problems.append(Problem(self.source.where(("parts", name)), fact, f"state {open_sizes[0]} = ..."))
        for term in (term for phase in phases for term in phase.terms):
            for node, what in ((term.node, "a loss"), (term.weight, "a weight")):
                space = self.sizes.of(node)
                allowed = (SCORE, SCALAR) if node is term.node else (SCALAR,)
                if space not in allowed:
                    wanted = " or ".join(str(item) for item in allowed)
                    fact = f"{what} is {wanted}, this is {space}"
                    hint = "reduce it with mean() or sum(), or use a loss such as core.l2"
                    self.problems.append(Problem(self.source.where(term.path), fact, hint))

    def _open_sizes(self) -> dict[str, list[str]]:
        found = {}
        for name, part in self.sized_parts().items():
            wanted = {str(item.name) for signature in part.signatures(name).values()
                      for port in (*signature.inputs, *signature.outputs)
                      for item in getattr(port.space, "dims", ()) if isinstance(item, Var)}  # fmt: skip
            missing = sorted(size for size in wanted if hasattr(part, size))
            if missing:
                found[name] = missing
        return found

    def sized_parts(self) -> dict[str, Part]:
        """The parts with every size that the flow determines filled in."""
        return {name: self._sized(part, self.signatures[name]) for name, part in self.parts.items()}

    def _sized(self, part: Part, signatures: abc.Mapping[str, Signature]) -> Part:
        found: dict[str, int] = {}
        fields = {field.name for field in attrs.fields(type(part))}
        for signature in signatures.values():
            for port in (*signature.inputs, *signature.outputs):
                for item in getattr(port.space, "dims", ()):
                    size = self.sizes.unifier.find(item)
                    if isinstance(item, Var) and item.name in fields and isinstance(size, int):
                        found[item.name] = size
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
    resolution = spec.resolution or source.native_resolution
    channels = spec.channels or source.native_channels
    if field == "image":
        return Space("image", (channels, resolution, resolution), spec.range)
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


__all__ = ["assemble", "Formula", "is_static"]
