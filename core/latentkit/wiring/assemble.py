"""Recipe to wiring. Collects every problem that can be known without building a network."""

from __future__ import annotations

from collections import abc

from latentkit.errors import Problem, RecipeError, nearest
from latentkit.recipe.reading import structured
from latentkit.recipe.schema import Recipe
from latentkit.recipe.source import Source
from latentkit.registry.manager import Registry
from latentkit.wiring.components import Components
from latentkit.wiring.graph import Graph, Node, ancestors
from latentkit.wiring.names import Names, Scope
from latentkit.wiring.phases import PhaseReader
from latentkit.wiring.sizer import Sizer
from latentkit.wiring.wiring import Wiring, parts_called, phase_nodes


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
    unused = set(parts) - parts_called(ancestors([*phase_nodes(phases), *inference.values(), *monitor.values()]))
    if unused:
        raise RecipeError([
            Problem(source.where(("parts", name)), f"no expression uses the part '{name}'",
                    "call it in [flow], a loss or [inference], or remove it")
            for name in sorted(unused)
        ])  # fmt: skip
    flow = {name: scope.expression(name, ("flow", name)) for name in recipe.flow}
    sizer = Sizer(recipe, source, parts, priors, data, {name: node for name, node in likes.items() if node})
    wanted = [*inference.values(), *monitor.values(), *sizer.likes.values(), *[node for node in flow.values() if node]]
    sizer.infer(graph, phases, wanted, _code_pairs(inference, code))
    problems = [*names.problems, *sizer.problems]
    if problems:
        raise RecipeError(_unique(problems))
    return Wiring(
        recipe=recipe, source=source, graph=graph, parts=sizer.sized_parts(), draws=sizer.draws(), data=data,
        data_spaces=sizer.data_spaces, states=sizer.states(), phases=tuple(phases), inference=inference, code=code,
        monitor=monitor, spaces=sizer.spaces(graph), components=tuple(dict.fromkeys(components.used)),
        warnings=_warnings(recipe, [*phase_nodes(phases), *inference.values(), *monitor.values(), *([code] if code else [])], flow, sizer.likes),
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
        pairs += [(node, code) for node in ancestors([inference["decode"]]) if node.is_source("kept")]
    return pairs


def _warnings(
    recipe: Recipe, roots: abc.Sequence[Node], flow: abc.Mapping[str, Node | None], likes: abc.Mapping[str, Node]
) -> tuple[str, ...]:
    """Values that nothing needs: not an error, but hardly meant."""
    needed = ancestors([*roots, *likes.values()])
    sources = {node.source for node in needed if node.op == "source"}
    kept = {name for kind, name in sources if kind == "kept"}
    found = [f"[draw] {name}" for name in recipe.draw if ("draw", name) not in sources]
    found += [f"[scalars] {name}" for name in recipe.scalars if ("scalars", name) not in sources]
    found += [f"[flow] {name}" for name, node in flow.items() if node not in needed and name not in kept]
    return tuple(f"{name} is used by nothing" for name in found)
