"""Changes to recipes that grow: expressions, terms, states, draws and parts of the language's own grammar.

Most of what comes out is well formed, so that it meets the rules behind the names: spaces, batches, gradients.
"""

from __future__ import annotations

import copy
import re
from collections import abc
from random import Random
from typing import Any

Tree = dict[str, Any]
Kinds = abc.Mapping[str, abc.Sequence[str]]
"""Names of components by kind."""

TOKEN = re.compile(r"[A-Za-z_]\w*|\d+\.?\d*(?:e-?\d+)?|\S")
UNARY = (
    "detach", "mean", "sum", "batch_mean", "exp", "log", "sqrt", "square", "abs", "sign", "sigmoid", "softplus", "relu",
    "flip",
)  # fmt: skip
BINARY = ("grad", "take", "reparameterize", "concat", "join")
AROUND = (
    "mean({0})", "sum({0})", "square({0})", "detach({0})", "batch_mean({0})", "{0} - {0}", "concat({0}, {0})",
    "chunk({0}, 0, 2)", "lerp({0}, {0}, 0.5)", "0.1 * {0}", "join({0}, {0})", "mean(square(grad({0}, {1})))",
    "log({0})", "sqrt({0})", "exp({0})", "flip({0})", "{0}.mu", "take({0}, {1})", "clip({0}, -1, 1)",
)  # fmt: skip


def grown(tables: Tree, rng: Random, kinds: Kinds) -> Tree:
    """A copy of a recipe with one or two additions."""
    tree = copy.deepcopy(tables)
    for _ in range(rng.choice((1, 1, 1, 2))):
        rng.choice((_within, _within, _term, _value, _source, _part, _phase, _setting, _exchange))(tree, rng, kinds)
    return tree


def expression(tree: Tree, rng: Random, depth: int = 0) -> str:
    """An expression of the recipe's names, parts and numbers."""
    values, parts = _values(tree), list(tree["parts"])
    kind = rng.random()
    if depth > 3 or kind < 0.3:
        return rng.choice(values)
    if kind < 0.36:
        return rng.choice(("0", "1", "0.5", "2", "-1", "1e-3", "1e30"))

    def inner() -> str:
        return expression(tree, rng, depth + 1)

    if kind < 0.55:
        entry = rng.choice(("", "", "", "", ".features", ".inverse", ".outputs"))
        return f"{rng.choice(parts)}{entry}({', '.join(inner() for _ in range(rng.choice((1, 1, 1, 0, 2))))})"
    if kind < 0.72:
        return f"({inner()} {rng.choice('+-*/')} {inner()})"
    if kind < 0.9:
        return f"{rng.choice(UNARY)}({inner()})"
    if kind < 0.95:
        return f"{rng.choice(BINARY)}({inner()}, {inner()})"
    return rng.choice((f"chunk({inner()}, {rng.choice('01')}, 2)", f"lerp({inner()}, {inner()}, {inner()})",
                       f"clip({inner()}, -1, {inner()})", f"roll({inner()}, 1)", f"{inner()}.mu"))  # fmt: skip


def _values(tree: Tree) -> list[str]:
    return ["x", *(name for key in ("draw", "scalars", "state", "flow") for name in tree.get(key, {}))]


def _places(table: Tree, path: tuple[str, ...] = ()) -> list[tuple[Tree, str]]:
    """Where expressions stand."""
    found = []
    for key, value in table.items():
        at = (*path, key)
        if isinstance(value, dict):
            found += _places(value, at)
        elif isinstance(value, str) and ("loss" in at[:-1] or at[0] in ("flow", "inference", "monitor", "state")):
            found += [(table, key)] if key not in ("use", "code") else []
    return found


def _within(tree: Tree, rng: Random, _: Kinds) -> None:
    table, key = rng.choice(_places(tree))
    text, values = str(table[key]), _values(tree)
    tokens = TOKEN.findall(text)
    known = [index for index, token in enumerate(tokens) if token in values]
    if known and rng.random() < 0.4:
        tokens[rng.choice(known)] = expression(tree, rng, 2)
        table[key] = " ".join(tokens)
    elif rng.random() < 0.7:
        table[key] = rng.choice(AROUND).format(f"({text})", rng.choice(values))
    else:
        table[key] = f"{text} {rng.choice('+-*/')} {expression(tree, rng, 1)}"


def _term(tree: Tree, rng: Random, kinds: Kinds) -> None:
    def inner() -> str:
        return expression(tree, rng)

    loss = rng.choice(list(tree["phase"].values())).setdefault("loss", {})
    loss["more"] = rng.choice((
        f"mean({inner()})",
        {"of": f"mean({inner()})", "every": rng.choice((1, 2)),
         "weight": rng.choice((0, 0.1, inner(), {"from": 1, "to": 0, "over": 9}))},
        {"use": rng.choice(kinds["loss"]), "of": inner(), "to": inner()},
        {"use": rng.choice(kinds["regularizer"]), "of": f"mean({inner()})", "wrt": inner(), "weight": 0.1},
        {"use": rng.choice(kinds["loss"]), "real": f"mean({inner()})", "fake": f"mean({inner()})"},
        {"use": "orthogonal", "of": rng.choice(list(tree["parts"])), "weight": 0.01},
    ))  # fmt: skip


def _value(tree: Tree, rng: Random, _: Kinds) -> None:
    text = expression(tree, rng)
    table, name, value = rng.choice((
        ("flow", rng.choice(("more", "x_fake")), text), ("monitor", "more", text),
        ("inference", rng.choice(("sample", "encode", "decode", "more")), text),
        ("state", "s", {"next": rng.choice((text, f"batch_mean({text})", f"lerp(s, batch_mean({text}), 0.1)"))}),
        ("state", "s", {"next": f"s + batch_mean(mean({text}))", "every": 2, "start": rng.choice((0, 0.5, [6]))}),
    ))  # fmt: skip
    tree.setdefault(table, {})[name] = value


def _source(tree: Tree, rng: Random, kinds: Kinds) -> None:
    shape = rng.choice((
        {}, {"dim": 6}, {"like": expression(tree, rng)}, {"row": True, "like": "x"}, {"shape": [1, 8, 8]}, {"n": 3},
        {"classes": 3}, {"std": "k"}, {"dim": 6, "per": "step"},
    ))  # fmt: skip
    tree.setdefault("draw", {})["u"] = {"use": rng.choice(kinds["prior"]), **shape}
    ramp = {"from": 1, "to": 0.1, "over": 5, "shape": "exponential", "unit": "images"}
    tree.setdefault("scalars", {})["k"] = rng.choice((0, 0.5, -1, 1e30, ramp, {"steps": [[0, 1], [3, 2]]}))
    _within(tree, rng, kinds)


def _part(tree: Tree, rng: Random, kinds: Kinds) -> None:
    kind = rng.choice(("mapping", "generator", "encoder", "discriminator", "function"))
    extra = rng.choice((
        {}, {"frozen": True}, {"spectral_norm": True}, {"init": {"use": rng.choice(kinds["initializer"])}},
        {"constraint": {"use": "clip-weights"}}, {"shape": [4, 6]}, {"dim": 6},
    ))  # fmt: skip
    tree["parts"]["Q"] = {"use": rng.choice(kinds[kind]), **extra}
    table, key = rng.choice(_places(tree))
    name = rng.choice(_values(tree))
    table[key] = re.sub(rf"\b{name}\b", f"Q({name})", str(table[key]))
    train = rng.choice(list(tree["phase"].values()))["train"]
    train += ["Q"] if rng.random() < 0.7 else []


def _phase(tree: Tree, rng: Random, kinds: Kinds) -> None:
    phase, values, parts = rng.choice(list(tree["phase"].values())), _values(tree), list(tree["parts"])
    key, value = rng.choice((
        ("repeat", rng.choice((0, 2, 1.5, {"steps": [[0, 2], [1, 0]]}))), ("every", 2), ("keep", [rng.choice(values)]),
        ("train", rng.sample(parts, rng.randint(0, len(parts)))),
        ("optimizer", {"use": rng.choice(kinds["optimizer"]), "lr": rng.choice((1e-3, expression(tree, rng)))}),
    ))  # fmt: skip
    phase[key] = value


def _setting(tree: Tree, rng: Random, kinds: Kinds) -> None:
    parts = list(tree["parts"])
    key, value = rng.choice((
        ("together", not tree.get("together", False)), ("order", rng.sample(list(tree["phase"]), len(tree["phase"]))),
        ("average", {"a": {"parts": rng.sample(parts, 1), "start": "fresh", "buffers": "average"}}),
        ("optimizer", {"use": rng.choice(kinds["optimizer"]), "lr": expression(tree, rng)}),
    ))  # fmt: skip
    tree[key] = value
    tree["data"] |= rng.choice((
        {}, {"flip": True}, {"per": "phase"}, {"range": [1.0, 0.0]}, {"range": [0.0, 255.0]}, {"split": [5, 20]},
        {"gives": {"x": "image", "y": "label"}}, {"channels": 3},
    ))  # fmt: skip


def _exchange(tree: Tree, rng: Random, kinds: Kinds) -> None:
    """Another component of the same kind, with its sizes alone."""
    part = rng.choice(list(tree["parts"].values()))
    mine = next((kind for kind, names in kinds.items() if part["use"] in names), "mapping")
    use = rng.choice(kinds[mine])
    narrow = {"dcgan": {"channels_base": 2}, "mlp": {"hidden": 8}}.get(use.partition(".")[0], {})
    kept = {key: value for key, value in part.items() if key == "dim"}
    part.clear()
    part.update({"use": use, **kept, **(narrow if mine != "discriminator" or use.startswith("dcgan") else {})})
