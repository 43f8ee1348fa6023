"""Flow, values with their spaces, parts with their sizes, and the settings of a recipe."""

from __future__ import annotations

from collections import abc

import attrs

from latentkit.engine.system import System
from latentkit.explaining.layout import columns, listed, wrapped
from latentkit.explaining.rendering import Renderer, count, number, quantity
from latentkit.interfaces import Part
from latentkit.recipe.schema import AverageSpec, DataSpec, DrawSpec, PartSpec
from latentkit.recipe.staging import stages
from latentkit.registry.manager import Registry
from latentkit.wiring.graph import Node, ancestors
from latentkit.wiring.wiring import Wiring

_HIDDEN = ("number", "apply", "weights")
_PLACES = {"data": "data", "draw": "draw", "state": "state", "scalars": "scalar", "kept": "kept"}


def flow(wiring: Wiring) -> list[str]:
    """``x_fake = G(w)``, a line each."""
    return columns([(name, f"= {text}") for name, text in wiring.recipe.flow.items()])


def values(wiring: Wiring) -> list[str]:
    """Every value that is computed or comes from outside, with where it comes from and its space."""
    renderer = Renderer(wiring)
    kept = {name for phase in wiring.phases for name in phase.kept}
    rows = []
    for node in sorted(ancestors(_roots(wiring))):
        space = wiring.spaces.get(node)
        origin = _origin(node, kept)
        if space is not None and origin:
            rows.append((renderer.definition(node), origin, str(space)))
    order = ("data", "draw", "state", "scalar", "kept", "given to decode")
    rows.sort(key=lambda row: order.index(row[1]) if row[1] in order else len(order))
    return columns([(text, space, f"({origin})" if origin in order else "") for text, origin, space in rows])


def _roots(wiring: Wiring) -> list[Node]:
    roots = [*wiring.inference.values(), *wiring.monitor.values()]
    for phase in wiring.phases:
        roots += [node for term in phase.terms for node in (term.node, term.weight)]
        roots += [*phase.kept.values(), *phase.rates.values(), *phase.states.values()]
    return roots


def _origin(node: Node, kept: abc.Collection[str]) -> str:
    if node.op != "source":
        return "" if node.op in _HIDDEN else "value"
    assert isinstance(node.value, tuple)
    kind, name = node.value
    return "given to decode" if kind == "kept" and name not in kept else _PLACES.get(str(kind), "")


def parameter_counts(wiring: Wiring, registry: Registry) -> dict[str, int]:
    """Parameters of each part; nothing is allocated."""
    system = System(wiring, registry, device="meta")
    return {name: sum(p.numel() for p in module.parameters()) for name, module in system.modules_by_name().items()}


def parts(wiring: Wiring, counts: abc.Mapping[str, int]) -> list[str]:
    """Each part: component, parameters and who trains it; below, its sizes and what else is done to it."""
    total = f"{sum(counts.values()):,} parameters"
    rows = []
    for name, part in wiring.parts.items():
        spec = wiring.recipe.parts[name]
        trained = [phase.name for phase in wiring.phases if name in phase.spec.train]
        state = "frozen" if spec.frozen else f"trained in {listed(trained)}" if trained else ""
        size = f"{counts[name]:,} parameters" if counts[name] else "no parameters"
        rows.append((name, spec.use, size.rjust(len(total)), state, _sizes(part, spec)))
    lines = columns([row[:4] for row in [*rows, ("", "", total, "in all", "")]])
    start = " " * (4 + max(len(row[0]) for row in rows))
    found = []
    for line, row in zip(lines, [*rows, None], strict=False):
        found += [line, *(wrapped(row[4], start, start) if row and row[4] else [])]
    return found


def _sizes(part: Part, spec: PartSpec) -> str:
    fields = [field.name for field in attrs.fields(type(part))]
    found = [f"{name} {_value(getattr(part, name))}" for name in fields if getattr(part, name) is not None]
    found += ["spectral norm"] if spec.spectral_norm else []
    found += [f"{word} {inner.use}" for word, inner in (("init", spec.init), ("constraint", spec.constraint)) if inner]
    return ", ".join(found)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value)
    return str(list(value)) if isinstance(value, tuple) else str(value)


def outside(wiring: Wiring) -> list[str]:
    """Data sources and draws."""
    recipe = wiring.recipe
    rows = [(listed(spec.gives), "data", _data(wiring, name, spec)) for name, spec in recipe.data.items()]
    rows += [(name, "draw", _draw(wiring, name, spec)) for name, spec in recipe.draw.items()]
    rows += [(name, "scalar", quantity(value)) for name, value in recipe.scalars.items()]
    return columns(rows)


def _data(wiring: Wiring, name: str, spec: DataSpec) -> str:
    fields = ", ".join(f"{field} as {value}" for value, field in spec.gives.items())
    split = "no image held out" if spec.split in (1, 1.0) else f"split {spec.split}"
    found = [spec.use, fields, f"values in [{number(spec.range[0])}, {number(spec.range[1])}]", split]
    found += ["flipped at random"] if spec.flip else []
    found += [f"{key} {_value(value)}" for key, value in spec.options.items()]
    return ", ".join([*found, _scope(spec.per, wiring)])


def _draw(wiring: Wiring, name: str, spec: DrawSpec) -> str:
    space = str(wiring.draws[name].space)
    options = "".join(f", {key} {_value(value)}" for key, value in spec.options.items() if key != "dim")
    return f"{spec.use}, {space}{options}, {_scope(wiring.draws[name].per, wiring)}"


def _scope(per: str, wiring: Wiring) -> str:
    if len(wiring.phases) == 1 or wiring.recipe.together:
        return "new in each step"
    return "one for all phases of a step" if per == "step" else "new in each phase"


def settings(wiring: Wiring) -> list[str]:
    """Averages, states, training and inference."""
    recipe, train = wiring.recipe, wiring.recipe.train
    rows = [("average", name, _average(spec, train.batch)) for name, spec in recipe.average.items()]
    for key, state in recipe.state.items():
        after = f"after {listed(state.after)}" if state.after else "after each phase"
        every = f", every {state.every} steps" if state.every > 1 else ""
        rows.append(("state", key, f"next {state.next}, {after}{every}"))
    rows.append(("train", "", f"{count(train.steps)} steps of {count(train.batch)}, seed {train.seed}"))
    rows += [("inference", name, text) for name, text in recipe.inference.items()]
    rows += [("monitor", name, text) for name, text in recipe.monitor.items()]
    heads = [row[0] if number == 0 or rows[number - 1][0] != row[0] else "" for number, row in enumerate(rows)]
    return columns([(head, *row[1:]) for head, row in zip(heads, rows, strict=True)])


def course(wiring: Wiring) -> list[str]:
    """Stages: when each begins, and what it changes; empty where there is one."""
    found = stages(wiring.source.whole)
    if len(found) == 1:
        return []
    rows = [(str(stage.index + 1), f"from step {count(stage.start)}", stage.changes) for stage in found]
    return [*columns(rows), "  All else on this page is as in the last stage."]


def _average(spec: AverageSpec, batch: int) -> str:
    half = f"half-life {count(spec.half_life)} images, " if spec.half_life is not None else ""
    buffers = {"keep": "buffers stay as they began", "copy": "buffers copied", "average": "buffers averaged"}
    return f"of {listed(spec.parts)}, {half}decay {spec.decay_at(batch):.6g} per step, {buffers[spec.buffers]}"
