"""What one recipe says otherwise than another: keys, objectives, parameters."""

from __future__ import annotations

import json
from collections import abc

from latentkit.explaining.layout import columns, section
from latentkit.explaining.objectives import equation, objective
from latentkit.explaining.rendering import Renderer
from latentkit.explaining.tables import parameter_counts
from latentkit.recipe.merging import Tree
from latentkit.recipe.writing import to_toml
from latentkit.registry.manager import Registry
from latentkit.wiring.wiring import Wiring

_UNSAID = ("title", "paper")
_Terms = list[tuple[str, str]]


def differences(mine: Wiring, theirs: Wiring, registry: Registry) -> str:
    """Keys that were added, removed or changed, and the objectives and parameter counts that changed with them."""
    head = f"{mine.recipe.name} against {theirs.recipe.name}"
    if mine.recipe.name == theirs.recipe.name:
        head = f"{mine.recipe.name} with other settings"
    lines = [head, "═" * len(head)]
    keys = _keys(flat(mine.source.tables), flat(theirs.source.tables))
    if not keys:
        return "\n".join([*lines, "no differences"]) + "\n"
    lines += section("Keys", columns(keys))
    lines += section("Objectives", _objectives(mine, theirs))
    lines += section("Parameters", _parameters(parameter_counts(mine, registry), parameter_counts(theirs, registry)))
    return "\n".join(lines) + "\n"


def flat(tree: Tree, path: tuple[str, ...] = ()) -> dict[str, object]:
    """Tables as dotted keys. A loss that is only an expression has it under ``of``, as in its long form."""
    found: dict[str, object] = {}
    for key, value in tree.items():
        here = (*path, key)
        if isinstance(value, dict) and value:
            found |= flat(value, here)
        elif len(here) == 4 and here[0] == "phase" and here[2] == "loss":
            found[".".join((*here, "of"))] = value
        elif path or key not in _UNSAID:
            found[".".join(here)] = value
    return found


def _keys(mine: abc.Mapping[str, object], theirs: abc.Mapping[str, object]) -> list[tuple[str, str, str]]:
    rows = []
    for key in [*mine, *(key for key in theirs if key not in mine)]:
        if key not in theirs:
            rows.append(("added", key, written(mine[key])))
        elif key not in mine:
            rows.append(("removed", key, f"was {written(theirs[key])}"))
        elif mine[key] != theirs[key]:
            rows.append(("changed", key, f"{written(theirs[key])}  →  {written(mine[key])}"))
    order = ("changed", "added", "removed")
    return sorted(rows, key=lambda row: order.index(row[0]))


def written(value: object) -> str:
    """A value as TOML has it."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return to_toml({"key": value}).partition("=")[2].strip() if value != {} else "{ }"


def _objectives(mine: Wiring, theirs: Wiring) -> list[str]:
    before, now = _sums(theirs), _sums(mine)
    lines: list[str] = []
    for phase in [*now, *(name for name in before if name not in now)]:
        was, trained_before = before.get(phase, ([], ""))
        terms, trained = now.get(phase, ([], ""))
        if (was, trained_before) == (terms, trained):
            continue
        note = "new phase" if not was else "no longer a phase" if not terms else ""
        if was and terms and trained != trained_before:
            note = f"was {trained_before}"
        lines += [""] * bool(lines) + [f"  {phase}:  {trained or trained_before}" + (f"  ({note})" if note else "")]
        lines += _compared(was, terms)
    return lines


def _compared(was: _Terms, now: _Terms) -> list[str]:
    """The terms of ``now``, each changed one after what it was, then those that are gone."""
    rows: list[tuple[str, tuple[str, str]]] = []
    names = {_short(term): term for term in now}
    for term in now:
        old = [other for other in was if _short(other) == _short(term)]
        rows += [("was", other) for other in old if other != term]
        rows.append(("" if term in was else "now" if old else "new", term))
    rows += [("was", term) for term in was if _short(term) not in names]
    return equation([term for _, term in rows], [f"    {word.ljust(3)}  " for word, _ in rows])


def _short(term: tuple[str, str]) -> str:
    return term[1].partition(",")[0]


def _sums(wiring: Wiring) -> dict[str, tuple[_Terms, str]]:
    found = {}
    kept: list[str] = []
    for phase in wiring.phases:
        found[phase.name] = objective(wiring, phase, Renderer(wiring, kept)), ", ".join(phase.spec.train)
        kept += phase.spec.keep
    return found


def _parameters(mine: abc.Mapping[str, int], theirs: abc.Mapping[str, int]) -> list[str]:
    rows = []
    for name in [*mine, *(name for name in theirs if name not in mine)]:
        if mine.get(name, 0) != theirs.get(name, 0):
            rows.append((name, f"{_size(theirs.get(name))}  →  {_size(mine.get(name))}"))
    if sum(mine.values()) != sum(theirs.values()):
        rows.append(("in all", f"{sum(theirs.values()):,}  →  {sum(mine.values()):,}"))
    return columns(rows)


def _size(count: int | None) -> str:
    return "no such part" if count is None else f"{count:,}"
