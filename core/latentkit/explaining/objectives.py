"""What each phase minimises, as an equation, and where its gradients go."""

from __future__ import annotations

from collections import abc

from latentkit.engine.plan import Plan, groups, plan, reached_by
from latentkit.explaining.layout import WIDTH, columns, listed, wrapped
from latentkit.explaining.rendering import Renderer, number, quantity
from latentkit.explaining.units import Units
from latentkit.recipe.quantities import Constant, Quantity
from latentkit.spaces import SCALAR
from latentkit.wiring.graph import CUTS, ancestors, differentiable_ancestors
from latentkit.wiring.wiring import Phase, Term, Wiring, parts_called


def objective(wiring: Wiring, phase: Phase, renderer: Renderer) -> list[tuple[str, str]]:
    """Each term of a phase with its sign, weight and mean over the batch, and its name with how often it is taken."""
    found = []
    for term in phase.terms:
        spec = phase.spec.loss[term.name]
        sign, factor = _weight(spec.weight)
        scalar = wiring.spaces.get(term.node) == SCALAR
        mean = renderer.summand(term.node, spec) if scalar else f"𝔼[ {renderer.term(term.node, spec)} ]"
        lazy = f"every {term.every} steps, then × {term.every}" if term.every > 1 else ""
        found.append((f"{sign} {factor}{mean}", ", ".join(filter(None, (term.name, lazy)))))
    return found


def _weight(weight: Quantity) -> tuple[str, str]:
    if not isinstance(weight, Constant):
        text = quantity(weight)
        return "+", f"{text} · " if text.isidentifier() else f"({text}) · "
    sign = "-" if weight.value < 0 else "+"
    return sign, "" if abs(weight.value) == 1 else f"{number(abs(weight.value))} · "


def equation(terms: abc.Sequence[tuple[str, str]], heads: abc.Sequence[str]) -> list[str]:
    """The sum of the terms, a line each behind its head, names on the right; the first without its plus sign.

    A term whose head says ``was`` is no longer in the sum, so that the next is the first too.
    """
    first = next((number for number, head in enumerate(heads) if head.strip() != "was"), 0)
    signs = ["  " if number <= first and text[0] == "+" else text[:2] for number, (text, _) in enumerate(terms)]
    width = max(len(text) for text, _ in terms) + 2
    fits = len(heads[0]) + width + max(len(name) for _, name in terms) + 2 <= WIDTH
    lines = []
    for head, sign, (text, name) in zip(heads, signs, terms, strict=True):
        body = f"{text.ljust(width)}({name})" if fits else f"{text}  ({name})"
        lines += [head + sign + body[2:]] if fits else wrapped(body[2:], head + sign, " " * (len(head) + 6))
    return lines


def phases(wiring: Wiring) -> list[str]:
    """All phases of a step."""
    lines = _course(wiring)
    units = Units(wiring)
    kept: list[str] = []
    for group in groups(wiring):
        renderer = Renderer(wiring, kept)
        terms = tuple(term for phase in group for term in phase.terms)
        states = {name: node for phase in group for name, node in phase.states.items()}
        planned = plan(group, terms, states)
        for phase in group:
            lines += ["", *_phase(wiring, phase, renderer, planned, units)]
            kept += phase.spec.keep
        plain = _plain(planned, renderer)
        if len(group) > 1 and plain:
            lines += ["", *wrapped(plain, "  Without a graph, for no phase needs one:  ", " " * 6)]
    return lines


def _course(wiring: Wiring) -> list[str]:
    if len(wiring.phases) == 1:
        text = "A step is one phase."
    elif wiring.recipe.together:
        text = ("A step is one forward pass that all phases share, on the same draws. Every phase's gradient is taken "
                "before any part is updated.")  # fmt: skip
    else:
        text = (f"A step runs {listed(phase.name for phase in wiring.phases)} in this order; each sees the parts as "
                "the one before left them.")  # fmt: skip
    return wrapped(f"{text} 𝔼 is the mean over the batch.", "  ", "  ")


def _phase(wiring: Wiring, phase: Phase, renderer: Renderer, planned: Plan, units: Units) -> list[str]:
    verb = "minimises" if len(phase.spec.train) == 1 else "minimise"
    lines = [f"  {phase.name}:  {', '.join(phase.spec.train)} {verb}"]
    lines += equation(objective(wiring, phase, renderer), [" " * 6] * len(phase.terms))
    rows = [
        ("reach", _reach(phase)),
        ("passes", _passes(phase, planned)),
        ("no graph", "" if wiring.recipe.together else _plain(planned, renderer)),
        ("cut", "; ".join(_cuts(phase, renderer))),
        *units.rows(phase),
        ("update", _update(wiring, phase)),
        ("runs", _runs(phase)),
        ("keeps", f"{listed(phase.spec.keep)}, for the phases after it" if phase.spec.keep else ""),
    ]
    return [*lines, *columns([row for row in rows if row[1]], 4)]


def _reach(phase: Phase) -> str:
    """Which of the trained parts each term's gradient reaches, where that is not the same for all."""
    reach = {term.name: _parts_reached(term, phase.spec.train) for term in phase.terms}
    if all(set(parts) == set(phase.spec.train) for parts in reach.values()):
        return ""
    return "; ".join(f"{name} reaches {listed(parts) or 'nothing'}" for name, parts in reach.items())


def _parts_reached(term: Term, trained: abc.Sequence[str]) -> list[str]:
    live = parts_called(differentiable_ancestors([term.node]))
    return [part for part in trained if part in live]


def _passes(phase: Phase, planned: Plan) -> str:
    live = differentiable_ancestors(term.node for term in phase.terms)
    on_the_way = live & reached_by(planned.order, set(phase.spec.train))
    parts = sorted(parts_called(on_the_way) - set(phase.spec.train))
    return f"through {listed(parts)}, unchanged" if parts else ""


def _plain(planned: Plan, renderer: Renderer) -> str:
    with_graph = planned.graph - planned.leaves
    calls = [node for node in planned.order if node.op == "call" and node not in with_graph]
    return ",  ".join(renderer.definition(node) for node in calls)


def _cuts(phase: Phase, renderer: Renderer) -> list[str]:
    found = []
    for node in sorted(ancestors(term.node for term in phase.terms)):
        if node.op not in CUTS:
            continue
        before = [part for part in phase.spec.train if part in parts_called(ancestors(node.args))]
        effect = f"no gradient to {listed(before)} this way" if before else "nothing trained here is behind it"
        found.append(f"{renderer.expanded(node)}: {effect}")
    return found


def _update(wiring: Wiring, phase: Phase) -> str:
    spec = wiring.optimizer_of(phase)
    options = "".join(f", {key} {value}" for key, value in spec.options.items())
    rates = {part: quantity(wiring.rate(phase, part)) for part in phase.spec.train}
    same = len(set(rates.values())) == 1
    rate = next(iter(rates.values())) if same else "; ".join(f"{part} {text}" for part, text in rates.items())
    own = " (state of its own)" if phase.spec.optimizer else ""
    return f"{spec.use}{own}, rate {rate}{options}"


def _runs(phase: Phase) -> str:
    found = []
    if phase.spec.every > 1:
        found.append(f"every {phase.spec.every} steps")
    if phase.spec.repeat != Constant(1):
        times = phase.spec.repeat
        text = quantity(times) if isinstance(times, Constant) else f"({quantity(times)})"
        found.append(f"{text} times a step, all but the first on fresh data and draws")
    return ", ".join(found)
