"""Changes to recipes that keep most of their structure: what people mistype, and what nobody would write."""

from __future__ import annotations

import copy
import re
from collections import abc
from random import Random
from typing import Any

Tree = dict[str, Any]
Path = tuple[str, ...]

NUMBERS = (
    0,
    1,
    2,
    3,
    -1,
    5,
    7,
    0.0,
    0.5,
    1.0,
    -0.5,
    1e-8,
    1e-30,
    1e8,
    1e30,
    1e308,
    -1e308,
    float("nan"),
    float("inf"),
    float("-inf"),
    10**6,
    10**12,
    2**31,
    2**63,
    10**30,
    -(2**63),
)
VALUES = (
    *NUMBERS,
    True,
    False,
    "",
    "x",
    "z",
    "G",
    "fake",
    "normal",
    "step",
    "phase",
    "ünïcode",
    "a b",
    "_",
    [],
    [1],
    [0, 1],
    [1.0, 0.0],
    ["G"],
    ["E", "E"],
    [[0, 1], [2, 3]],
    {},
    {"use": "normal"},
    {"use": "l2"},
    {"from": 0, "to": 1, "over": 3},
    {"from": 1, "to": 0.1, "over": 2, "shape": "exponential"},
    {"steps": [[0, 1.0], [1, 0.0]]},
    {"steps": [[2, 1], [1, 2]]},
    {"a": {"b": {"c": 1}}},
)
OPERATIONS = (
    "detach",
    "mean",
    "sum",
    "batch_mean",
    "exp",
    "log",
    "sqrt",
    "square",
    "abs",
    "sign",
    "sigmoid",
    "softplus",
    "relu",
    "grad",
    "clip",
    "concat",
    "chunk",
    "roll",
    "flip",
    "take",
    "join",
    "lerp",
    "reparameterize",
)
EXPRESSIONS = (
    "x",
    "z",
    "1",
    "0",
    "-1",
    "2 * x",
    "x / 0",
    "1 / mean(x)",
    "log(0)",
    "sqrt(-1)",
    "mean(x)",
    "sum(x)",
    "batch_mean(mean(x))",
    "detach(x)",
    "detach(mean(x))",
    "x + z",
    "x - x",
    "sign(mean(x))",
    "exp(100 * mean(x))",
    "grad(mean(x), x)",
    "mean(grad(mean(x), x))",
    "x.mu",
    "x[0]",
    "x ** 2",
    "lambda: 0",
    "__import__('os')",
    "x.__class__",
    "(",
    "",
    "x x",
    "chunk(x, 0, 2)",
    "chunk(x, 1, 3)",
    "concat(x, x)",
    "flip(x)",
    "roll(x, 1)",
    "take(x, 0)",
    "lerp(x, x, 0.5)",
    "clip(x, 0, 1)",
    "clip(x, 1, 0)",
    "join(z, z)",
    "G(z)",
    "E(x)",
    "E(G(z))",
    "G(E(x))",
    "D(x)",
    "D(E(x))",
    "nothing(x)",
)
NAME = re.compile(r"[A-Za-z_]\w*")


def mutated(tables: Tree, rng: Random, components: abc.Sequence[str]) -> Tree:
    """A copy of a recipe with one to four changes."""
    tree = copy.deepcopy(tables)
    for _ in range(rng.choice((1, 1, 1, 1, 2, 2, 3, 4))):
        change = rng.choice(CHANGES)
        change(tree, rng, components)
    return tree


def _paths(tree: Tree, at: Path = ()) -> list[Path]:
    found = []
    for key, value in tree.items():
        found.append((*at, key))
        if isinstance(value, dict):
            found += _paths(value, (*at, key))
    return found


def _parent(tree: Tree, path: Path) -> Tree:
    for key in path[:-1]:
        tree = tree[key]
    return tree


def _pick(tree: Tree, rng: Random, wanted: abc.Callable[[Any], bool] = lambda _: True) -> tuple[Tree, str] | None:
    paths = [path for path in _paths(tree) if wanted(_parent(tree, path)[path[-1]])]
    if not paths:
        return None
    path = rng.choice(paths)
    return _parent(tree, path), path[-1]


def _delete(tree: Tree, rng: Random, _: object) -> None:
    found = _pick(tree, rng)
    if found:
        del found[0][found[1]]


def _rename(tree: Tree, rng: Random, _: object) -> None:
    found = _pick(tree, rng)
    if found:
        table, key = found
        others = [path[-1] for path in _paths(tree)]
        new = rng.choice([key + "s", key[:-1], key[::-1], key.upper(), "", "a.b", "0", *others])
        table[new] = table.pop(key)


def _retype(tree: Tree, rng: Random, _: object) -> None:
    found = _pick(tree, rng)
    if found:
        found[0][found[1]] = copy.deepcopy(rng.choice(VALUES))


def _number(tree: Tree, rng: Random, _: object) -> None:
    found = _pick(tree, rng, lambda value: isinstance(value, int | float))
    if found:
        found[0][found[1]] = rng.choice(NUMBERS)


def _nudge(tree: Tree, rng: Random, _: object) -> None:
    """Another number of the same kind, which is often a good one."""
    found = _pick(tree, rng, lambda value: isinstance(value, int | float) and not isinstance(value, bool))
    if found:
        value = found[0][found[1]]
        found[0][found[1]] = (
            rng.choice((value + 1, max(value - 1, 1), 2 * value))
            if isinstance(value, int)
            else value * rng.choice((0.1, 0.5, 2.0, 10.0))
        )


TERMS = (
    "mean(square(x_fake))",
    "0.1 * mean(abs(x_fake))",
    "softplus(mean(x_fake))",
    "mean(square(z - E(x_fake)))",
    "mean(square(x - x_fake))",
    "relu(1 - mean(x_fake))",
    "square(mean(x_fake) - batch_mean(mean(x)))",
    "mean(square(chunk(x_fake, 0, 2) - chunk(x_fake, 1, 2)))",
    "sigmoid(mean(x_fake) + mean(x))",
    "mean(square(grad(mean(square(x_fake)), x_fake)))",
    "mean(abs(lerp(x, x_fake, 0.5)))",
    "mean(square(concat(x_fake, x)))",
    "mean(square(flip(x_fake)))",
    "mean(clip(x_fake, -0.1, 0.1))",
    "mean(sqrt(abs(x_fake) + 0.01))",
    "mean(exp(-x_fake))",
    "mean(log(square(x_fake) + 1))",
    "mean(square(roll(x_fake, 1) - x_fake))",
    "sum(x_fake) / 64",
)
"""Terms that train whoever makes x_fake."""


def _term(tree: Tree, rng: Random, _: object) -> None:
    """A term that makes sense in many places."""
    found = tree.get("phase")
    phases = [value for value in found.values() if isinstance(value, dict)] if isinstance(found, dict) else []
    if not phases:
        return
    loss = rng.choice(phases).setdefault("loss", {})
    if isinstance(loss, dict):
        of = rng.choice(TERMS)
        loss["more"] = rng.choice(
            [
                of,
                {"of": of, "weight": rng.choice([0.1, 2, {"from": 1, "to": 0, "over": 3}, "batch_mean(mean(x))"])},
                {"of": of, "every": 2},
                {"use": rng.choice(["l1", "l2", "sse"]), "of": "x_fake", "to": "x"},
                {"use": "core.r1", "of": of, "wrt": "x_fake", "weight": 0.1},
            ]
        )


def _swap(tree: Tree, rng: Random, _: object) -> None:
    one, other = _pick(tree, rng), _pick(tree, rng)
    if one and other:
        first, second = one[0][one[1]], other[0][other[1]]
        one[0][one[1]], other[0][other[1]] = copy.deepcopy(second), copy.deepcopy(first)


def _copy(tree: Tree, rng: Random, _: object) -> None:
    one, other = _pick(tree, rng), _pick(tree, rng, lambda value: isinstance(value, dict))
    if one and other:
        other[0][other[1]][rng.choice(["copy", one[1]])] = copy.deepcopy(one[0][one[1]])


def _component(tree: Tree, rng: Random, components: abc.Sequence[str]) -> None:
    found = _pick(tree, rng, lambda value: isinstance(value, dict) and "use" in value)
    if found:
        found[0][found[1]]["use"] = rng.choice(components)


def _is_expression(value: Any) -> bool:
    return isinstance(value, str) and bool(NAME.search(value))


def _expression(tree: Tree, rng: Random, _: object) -> None:
    """Exchange a name, wrap, unwrap, change an operator, or write something else."""
    found = _pick(tree, rng, _is_expression)
    if not found:
        return
    table, key = found
    text = str(table[key])
    names = sorted({path[-1] for path in _paths(tree) if NAME.fullmatch(path[-1])})
    kind = rng.randint(0, 6)
    if kind == 0:
        spots = list(NAME.finditer(text))
        spot = rng.choice(spots)
        text = text[: spot.start()] + rng.choice([*names, *OPERATIONS]) + text[spot.end() :]
    elif kind == 1:
        text = f"{rng.choice([*OPERATIONS, *names])}({text})"
    elif kind == 2:
        text = f"{rng.choice(OPERATIONS)}({text}, {rng.choice([*names, '1', '0.5', text])})"
    elif kind == 3:
        text = f"({text}) {rng.choice('+-*/')} {rng.choice([*names, '0', '2', '1e30', text])}"
    elif kind == 4:
        at = rng.randint(0, len(text))
        text = text[:at] + rng.choice("()+-*/.,[]{}'\"# \n=:\\\x00é") + text[at:]
    elif kind == 5:
        text = text[: rng.randint(0, len(text))]
    else:
        text = rng.choice(EXPRESSIONS)
    table[key] = text


def _add(tree: Tree, rng: Random, components: abc.Sequence[str]) -> None:
    """Something new: a part, a phase, a loss, a draw, a state, an average, a scalar, a monitor, a role."""
    expression = rng.choice(EXPRESSIONS)
    phases = (
        [key for key, value in tree.get("phase", {}).items() if isinstance(value, dict)]
        if isinstance(tree.get("phase"), dict)
        else []
    )
    parts = list(tree["parts"]) if isinstance(tree.get("parts"), dict) else []
    phase = rng.choice(phases) if phases else "more"
    part = rng.choice(parts) if parts else "G"
    component = rng.choice(components)
    new: list[abc.Callable[[], tuple[Path, Any]]] = [
        lambda: (("flow", "extra"), expression),
        lambda: (("monitor", "extra"), expression),
        lambda: (("inference", rng.choice(["sample", "encode", "decode", "reconstruct", "code", "extra"])), expression),
        lambda: (("parts", "Q"), {"use": component}),
        lambda: (("draw", "u"), {"use": component}),
        lambda: (
            ("draw", "u"),
            {"use": "normal", "dim": rng.choice([1, 6, 10**9]), "per": rng.choice(["step", "phase"])},
        ),
        lambda: (("draw", "u"), {"use": "uniform", "like": expression}),
        lambda: (("state", "s"), {"start": rng.choice([0, 1.0, [6], [-1]]), "next": expression}),
        lambda: (("state", "s"), {"start": 0, "next": "s + batch_mean(mean(x))", "after": [phase], "every": 2}),
        lambda: (
            ("scalars", "k"),
            rng.choice([0, 1, 0.5, {"from": 0, "to": 1, "over": 2}, {"steps": [[0, 1], [1, 2]]}]),
        ),
        lambda: (("average", "more"), {"parts": [part], "decay": rng.choice([0.0, 0.5, 0.999, 1.0, 2.0, -1.0])}),
        lambda: (("average", "more"), {"parts": [part], "half_life": rng.choice([0, 1, 1000]), "buffers": "average"}),
        lambda: (("phase", phase, "loss", "extra"), expression),
        lambda: (
            ("phase", phase, "loss", "extra"),
            {"of": expression, "weight": rng.choice([0, 2.0, 1e30, "k", expression]), "every": rng.choice([1, 2, 16])},
        ),
        lambda: (("phase", phase, "loss", "extra"), {"use": component, "of": expression, "to": "x"}),
        lambda: (("phase", phase, "loss", "extra"), {"use": component, "of": expression, "wrt": "x"}),
        lambda: (("phase", phase, "loss", "extra"), {"use": component, "real": expression, "fake": expression}),
        lambda: (("phase", phase, rng.choice(["repeat", "every"])), rng.choice([1, 2, 3, {"steps": [[0, 3], [1, 1]]}])),
        lambda: (("phase", phase, "keep"), [rng.choice(["x_fake", "w", "h", "x", "z", "real"])]),
        lambda: (("phase", phase, "optimizer"), {"use": component, "lr": rng.choice([1e-4, 0, 1e30, expression])}),
        lambda: (("phase", "more"), {"train": [part], "loss": {"extra": expression}}),
        lambda: (("optimizer", part), {"lr": rng.choice([1e-4, 0.0, -1.0, "1e-4 * k", expression])}),
        lambda: (("optimizer", "lr"), rng.choice([0, 1e-3, 1e3, 1e30, {"from": 1e-3, "to": 0, "over": 5}, expression])),
        lambda: (("parts", part, rng.choice(["frozen", "spectral_norm"])), True),
        lambda: (("parts", part, "constraint"), {"use": component, "limit": 0.01}),
        lambda: (("parts", part, "init"), {"use": component}),
        lambda: (("together",), rng.random() < 0.5),
        lambda: (("order",), rng.sample(phases, len(phases))),
        lambda: (
            ("data", rng.choice(["per", "flip", "split", "range", "channels", "resolution", "gives"])),
            rng.choice(["phase", True, 0.5, [0.0, 1.0], 1, 3, 8, 12, {"x": "image", "y": "label"}, {"y": "image"}]),
        ),
        lambda: (("extends",), rng.choice(["ogan", "alae-mlp", "nothing", ""])),
        lambda: (("remove",), rng.choice([["flow.gap"], ["parts"], [""], "flow", ["phase.encode.loss"]])),
        lambda: (("stage",), [{"steps": 3}]),
    ]
    path, value = rng.choice(new)()
    table = tree
    for key in path[:-1]:
        inner = table.setdefault(key, {})
        if not isinstance(inner, dict):
            return
        table = inner
    table[path[-1]] = copy.deepcopy(value)


CHANGES = (
    _nudge,
    _nudge,
    _nudge,
    _term,
    _term,
    _term,
    _delete,
    _rename,
    _retype,
    _number,
    _swap,
    _copy,
    _component,
    _expression,
    _expression,
    _expression,
    _add,
    _add,
    _add,
)


def damaged(text: str, rng: Random) -> bytes:
    """The text of a recipe with a few bytes changed, taken out, put in, or cut off."""
    data = bytearray(text.encode())
    for _ in range(rng.randint(1, 5)):
        at = rng.randint(0, max(len(data) - 1, 0))
        kind = rng.randint(0, 4)
        if kind == 0 and data:
            data[at] ^= 1 << rng.randint(0, 7)
        elif kind == 1:
            del data[at : at + rng.randint(1, 40)]
        elif kind == 2:
            data[at:at] = rng.choice(
                [
                    b"[",
                    b"]",
                    b"{",
                    b"}",
                    b'"',
                    b"'",
                    b"=",
                    b"\n",
                    b"\x00",
                    b"\xff",
                    b"[[a]]\n",
                    b"a.b.c = 1\n",
                    b'"""',
                    b"1e999",
                    b"#",
                ]
            )
        elif kind == 3:
            data[at:at] = data[at // 2 : at // 2 + rng.randint(1, 60)]
        else:
            del data[at:]
    return bytes(data)
