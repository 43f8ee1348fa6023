"""Recipe to wiring. Collects every problem that can be known without building a network."""

from __future__ import annotations

from collections import abc

import attrs

from latentkit.errors import Problem, RecipeError, nearest
from latentkit.interfaces import DataSource, Prior
from latentkit.recipe.quantities import Formula
from latentkit.recipe.reading import read_recipe
from latentkit.recipe.schema import Recipe
from latentkit.recipe.source import Source
from latentkit.recipe.staged_values import selectors
from latentkit.recipe.staging import last_stage
from latentkit.recipe.writing import brief
from latentkit.registry.manager import Registry
from latentkit.spaces import Space
from latentkit.wiring.batching import uneven_chunks
from latentkit.wiring.components import Components
from latentkit.wiring.declared import declared, lost_expressions, words
from latentkit.wiring.graph import Graph, Node, ancestors
from latentkit.wiring.names import Names
from latentkit.wiring.phases import PhaseReader
from latentkit.wiring.scope import Scope
from latentkit.wiring.sizer import Sizer
from latentkit.wiring.wiring import Wiring, parts_called, phase_nodes


def assemble(source: Source, registry: Registry) -> Wiring:
    """Resolve a recipe; one with stages as it is in the last of them.

    Raises:
        RecipeError: with all the problems that were found.
    """
    source = last_stage(source)
    recipe, faults = read_recipe(source)
    components = Components(registry, source)
    parts, priors, data = components.parts(recipe), components.priors(recipe), components.data(recipe)
    components.shaping(recipe)
    names = Names(recipe, source, parts, _faulty(recipe, source, priors, data))
    graph = Graph()
    if not source.tables.get("phase"):
        hint = 'a phase is a table [phase.NAME] with train = ["a part", ...] and loss.NAME = an expression'
        names.problem(("phase",), "the recipe has no phase: nothing would be trained", hint)
    phases = PhaseReader(recipe, names, graph, components).phases()
    scope = Scope(graph, names)
    likes = {name: scope.expression(spec.like, ("draw", name, "like"))
             for name, spec in recipe.draw.items() if spec.like}  # fmt: skip
    inference, code = _inference(recipe, scope, names)
    monitor = _expressions(recipe.monitor, scope, "monitor")
    _check_roles(inference, monitor, names)
    _check_numbers(recipe, names, priors)
    needed_names = frozenset(names.used) | selectors(source.whole)
    # Flow values that nothing needs are read all the same, so that their faults are found.
    flow = [node for name in recipe.flow if (node := scope.expression(name, ("flow", name)))]
    whole = not (faults or components.problems or names.problems)
    roots = [*phase_nodes(phases), *inference.values(), *monitor.values()]
    used = parts_called(ancestors(roots))
    if not whole:  # what could not be read may use any part that it names
        used |= set(parts) if lost_expressions(source, recipe) else words(source.tables)
    unused = set(parts) - used
    for name in sorted(unused):
        hint = "call it in [flow], a loss or [inference], or remove it"
        names.problem(("parts", name), f"no expression uses the part '{name}'", hint)
    sizer = Sizer(recipe, source, parts, priors, data, {name: node for name, node in likes.items() if node})
    sizer.infer(graph, phases, [*roots, *sizer.likes.values(), *flow], _code_pairs(inference, code), unused, whole)
    for name, node in monitor.items():
        space = sizer.sizes.of(node)
        if isinstance(space, Space) and space.kind in ("posterior", "record"):
            hint = "log a field of it, as in E(x).mu"
            names.problem(("monitor", name), f"a monitor is one tensor, whose mean is logged; this is {space}", hint)
    if whole and not sizer.problems:
        for node, fact in uneven_chunks(graph.nodes, recipe.train.batch, sizer.likes):
            path, text = graph.origin[node]
            names.problem(path, f"{brief(text)}: {fact}", "choose another train.batch")
    _raise_for([*faults, *components.problems, *names.problems, *sizer.problems])
    return Wiring(
        recipe=recipe, source=source, graph=graph, parts=sizer.sized_parts(), draws=sizer.draws(), data=data,
        data_spaces=sizer.data_spaces, states=sizer.states(), phases=tuple(phases), inference=inference, code=code,
        monitor=monitor, spaces=sizer.spaces(graph), components=tuple(dict.fromkeys(components.used)),
        warnings=_warnings(recipe, needed_names), likes=sizer.likes,
    )  # fmt: skip


def _faulty(
    recipe: Recipe, source: Source, priors: abc.Mapping[str, Prior], data: abc.Mapping[str, DataSource]
) -> set[str]:
    """Values from outside that the recipe declares, and of which something is wrong."""
    given = [value for name, spec in recipe.data.items() if name in data for value in spec.gives]
    sound = {"data": given, "draw": priors, "scalars": recipe.scalars, "state": recipe.state}
    return {name for table, names in declared(source).items() for name in names if name not in sound.get(table, names)}


def _raise_for(problems: abc.Iterable[Problem]) -> None:
    """Raise what was found, file by file in the order of their lines."""
    found = list(dict.fromkeys(problems))
    files = list(dict.fromkeys(_place(problem)[0] for problem in found))
    if found:
        raise RecipeError(sorted(found, key=lambda item: (files.index(_place(item)[0]), _place(item)[1])))


def _place(problem: Problem) -> tuple[str, int]:
    file, _, line = problem.where.partition(", ")[0], *problem.where.partition(", line ")[1:]
    number = line.partition(",")[0]
    return file, int(number) if number.isdecimal() else 0


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


def _check_roles(inference: abc.Mapping[str, Node], monitor: abc.Mapping[str, Node], names: Names) -> None:
    for table, nodes in (("inference", inference), ("monitor", monitor)):
        for name, root in nodes.items():
            if any(node.op == "grad" for node in ancestors([root])):
                names.problem((table, name), f"grad() is for losses; [{table}] is evaluated without gradients")


def _check_numbers(recipe: Recipe, names: Names, priors: abc.Mapping[str, Prior]) -> None:
    for name, state in recipe.state.items():
        if state.every < 1:
            names.problem(("state", name, "every"), f"must be at least 1, found {state.every}")
    for name, average in recipe.average.items():
        for part in average.parts:
            if not names.is_part(part):
                known = names.declared["parts"]
                hint = nearest(part, known) or f"parts of this recipe: {', '.join(known) or 'none'}"
                names.problem(("average", name, "parts"), f"no part is called '{part}'", hint)
    owners: dict[str, str] = {}
    for name, average in recipe.average.items():
        for part in average.parts:
            if owners.setdefault(part, name) != name:
                names.problem(("average", name, "parts"), f"'{part}' is averaged by [average.{owners[part]}] already")
    for name, prior in priors.items():
        for field in attrs.fields(type(prior)):
            value = getattr(prior, field.name)
            if isinstance(value, Formula) and value.text not in recipe.scalars:
                fact = f'"{value.text}": an option of a draw is a number, a schedule, or the name of a scalar'
                names.problem(("draw", name, field.name), fact, nearest(value.text, recipe.scalars))
            elif isinstance(value, Formula):
                names.used.add(value.text)
    for key in ("steps", "batch", "checkpoint_every", "keep_checkpoints", "log_every"):
        if getattr(recipe.train, key) < 1:
            names.problem(("train", key), f"must be at least 1, found {getattr(recipe.train, key)}")


def _warnings(recipe: Recipe, used: abc.Collection[str]) -> tuple[str, ...]:
    """Values that nothing needs: not an error, but hardly meant."""
    tables: dict[str, abc.Iterable[str]] = {"draw": recipe.draw, "scalars": recipe.scalars, "flow": recipe.flow}
    found = [f"[{table}] {name}" for table, values in tables.items() for name in values if name not in used]
    return tuple(f"{name} is used by nothing" for name in found)
