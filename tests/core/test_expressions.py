"""The expression language: all that it has, all that it refuses, and that no text breaks the reader."""

from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentkit.recipe.expressions import MAX_LENGTH, MAX_NESTING, OPERATIONS, Tree, parse

X, Y = Tree("name", value="x"), Tree("name", value="y")


def number(value: float) -> Tree:
    return Tree("number", value=value)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("x", X), (" ( x ) ", X), ("_x1", Tree("name", value="_x1")),
        ("3", number(3)), ("0.5", number(0.5)), ("1e-3", number(1e-3)), (".5", number(0.5)),
        ("-3", number(-3)), ("+3", number(3)), ("-x", Tree("neg", (X,))), ("+x", X),
        ("--x", Tree("neg", (Tree("neg", (X,)),))),
        ("x + y", Tree("add", (X, Y))), ("x - y", Tree("sub", (X, Y))), ("x * y", Tree("mul", (X, Y))),
        ("x / y", Tree("div", (X, Y))), ("x + y * 2", Tree("add", (X, Tree("mul", (Y, number(2)))))),
        ("(x + y) * 2", Tree("mul", (Tree("add", (X, Y)), number(2)))),
        ("x - y - 1", Tree("sub", (Tree("sub", (X, Y)), number(1)))),
        ("x / y / 2", Tree("div", (Tree("div", (X, Y)), number(2)))),
        ("-x * y", Tree("mul", (Tree("neg", (X,)), Y))),
        ("U()", Tree("call", (), ("U", ""))), ("E(x)", Tree("call", (X,), ("E", ""))),
        ("D(x, y)", Tree("call", (X, Y), ("D", ""))),
        ("D(x, y,)", Tree("call", (X, Y), ("D", ""))),
        ("W.inverse(x)", Tree("call", (X,), ("W", "inverse"))),
        ("E(x).mu", Tree("field", (Tree("call", (X,), ("E", "")),), "mu")),
        ("q.mu", Tree("field", (Tree("name", value="q"),), "mu")),
        ("W.inverse(x).mu", Tree("field", (Tree("call", (X,), ("W", "inverse")),), "mu")),
        ("lerp(x, detach(y), 0.5)", Tree("lerp", (X, Tree("detach", (Y,)), number(0.5)))),
    ],
)  # fmt: skip
def test_expression_reads_as(text: str, tree: Tree) -> None:
    assert parse(text) == tree


def test_numbers_keep_their_kind() -> None:
    assert type(parse("2").value) is int
    assert type(parse("2.0").value) is float
    assert type(parse("-2").value) is int


def test_the_set_of_operations_is_closed() -> None:
    assert set(OPERATIONS) == {
        "detach", "grad", "mean", "sum", "batch_mean", "exp", "log", "sqrt", "square", "abs", "sign", "sigmoid",
        "softplus", "relu", "clip", "concat", "chunk", "roll", "flip", "take", "join", "lerp", "reparameterize",
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_operation_takes_its_arguments_and_no_other_number(name: str) -> None:
    counts = OPERATIONS[name]
    for count in range(1, 5):
        text = f"{name}({', '.join(['x'] * count)})"
        if count in counts:
            assert parse(text) == Tree(name, (X,) * count)
        else:
            with pytest.raises(ValueError, match=rf"^{name}\(\) takes {counts[0]} arguments?, found {count}$"):
                parse(text)


def test_operation_without_arguments_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^concat\(\) takes 1 or more arguments, found 0$"):
        parse("concat()")


@pytest.mark.parametrize(
    "text",
    [
        "x ** 2", "x // 2", "x % 2", "x @ y", "x << 1", "x | y", "x & y", "x ^ y", "~x", "not x", "x and y", "x or y",
        "x < y", "x == y", "x is y", "x in y", "x if y else z", "x[0]", "x[0:1]", "[x]", "[x for x in y]", "{x}",
        "{x: y}", "(x, y)", "lambda: x", "(x := y)", "...", "f'{x}'", "(yield)", "(await x)",
    ],
)  # fmt: skip
def test_other_python_is_not_part_of_the_language(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not part of the language \(names, numbers, \+ - \* /, calls, fields\)$"):
        parse(text)


@pytest.mark.parametrize("text", ["True", "None", "'x'", "b'x'", "1j", "-True", "-1j", "+False", "-'x'", "'a' 'b'"])
def test_constants_other_than_numbers_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a number; expressions have names and numbers only$"):
        parse(text)


@pytest.mark.parametrize("text", ["1e999", "-1e999", "x + 1e999", "1" + "0" * 400, "-1" + "0" * 400])
def test_numbers_are_finite(text: str) -> None:
    with pytest.raises(ValueError, match=r"^numbers must be finite$"):
        parse(text)


@pytest.mark.parametrize("text", ["f(x=1)", "f(*x)", "f(**x)", "clip(x, low=0, high=1)", "W.inverse(h=x)"])
def test_inputs_go_by_position(text: str) -> None:
    with pytest.raises(ValueError, match=r"takes its inputs by position; there are no keywords$"):
        parse(text)


@pytest.mark.parametrize("text", ["f(x)(y)", "a.b.c(x)", "f(x).g(y)", "(x + y)(z)", "(lambda: 1)()", "3(x)"])
def test_only_parts_entries_and_operations_are_called(text: str) -> None:
    with pytest.raises(ValueError, match=r"cannot be called; only parts, their entries and operations can$"):
        parse(text)


@pytest.mark.parametrize(
    "text",
    ["(", "x)", "x y", "x +", "1x", "x; y", "x = y", "def f(): pass", "import os", "\x00", "'\\d'", "0777", "*x,"],
)
def test_what_is_no_expression_is_said_so(text: str) -> None:
    with pytest.raises(ValueError, match=r"^not an expression: "):
        parse(text)


@pytest.mark.parametrize("text", ["", "  ", "\t", "x\n+ y", "(x,\ny)"])
def test_an_expression_is_one_line(text: str) -> None:
    with pytest.raises(ValueError, match=r"^expected one expression on one line$"):
        parse(text)


def test_long_and_deep_text_is_refused_before_it_is_read() -> None:
    with pytest.raises(ValueError, match=f"has {MAX_LENGTH + 1} characters; at most {MAX_LENGTH} are read"):
        parse("x" * (MAX_LENGTH + 1))
    for text in ("(" * 60 + "x" + ")" * 60, "f(" * 60 + "x" + ")" * 60, "-" * 60 + "x", "+ " * 60 + "x"):
        with pytest.raises(ValueError, match=f"nested more than {MAX_NESTING} deep"):
            parse(text)
    with pytest.raises(ValueError, match=r"a chain of more than 200 operations"):
        parse("+".join(["x"] * 300))
    with pytest.raises(ValueError, match=r"chain|nested"):
        parse("x" + ".a" * 1500)
    assert parse("+".join(["x"] * 150)).op == "add"


@pytest.mark.parametrize(
    "text",
    ["~" * 3000 + "x", "not " * 900 + "x", "x**" * 1000 + "x", "lambda:" * 500 + "x", "x if x else " * 300 + "x"],
)
def test_deep_text_of_foreign_operators_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"language|nested|chain|expression"):
        parse(text)


def test_names_of_a_tree() -> None:
    assert parse("D(E(x), q.mu) + W.inverse(z) * 2").names() == {"D", "E", "x", "q", "W", "z"}


ALPHABET = st.sampled_from(
    [
        *"xyzEG0123456789.+-*/(), _[]{}:=<>!~@%&|^'\"\\#;\n\t\0µ",
        "lambda ",
        "if ",
        "for ",
        "1e",
        "0x",
        "detach(",
        "E(x)",
        "clip(",
    ]
)


def only_value_errors(text: str) -> None:
    with contextlib.suppress(ValueError):
        check(parse(text))


def check(tree: Tree) -> None:
    assert tree.op in {"name", "number", "call", "field", "neg", "add", "sub", "mul", "div", *OPERATIONS}
    if tree.op == "number":
        assert type(tree.value) in (int, float)
        assert math.isfinite(float(tree.value))  # type: ignore[arg-type]
    for arg in tree.args:
        check(arg)


@given(st.text(max_size=200))
@settings(max_examples=300, deadline=None)
def test_no_text_raises_anything_but_a_value_error(text: str) -> None:
    only_value_errors(text)


@given(st.lists(ALPHABET, max_size=60).map("".join))
@settings(max_examples=500, deadline=None)
def test_nothing_that_looks_like_python_raises_anything_but_a_value_error(text: str) -> None:
    only_value_errors(text)


def written(tree: Tree) -> str:
    args = [written(arg) for arg in tree.args]
    signs = {"add": "+", "sub": "-", "mul": "*", "div": "/"}
    if tree.op in signs:
        return f"({args[0]} {signs[tree.op]} {args[1]})"
    if tree.op == "neg":
        return f"(-{args[0]})"
    if tree.op == "field":
        return f"{args[0]}.{tree.value}"
    if tree.op == "call":
        return f"{'.'.join(filter(None, tree.value))}({', '.join(args)})"  # type: ignore[arg-type]
    return str(tree.value) if tree.op in ("name", "number") else f"{tree.op}({', '.join(args)})"


def trees() -> st.SearchStrategy[Tree]:
    names = st.sampled_from(["x", "y", "z1", "_w"])
    floats = st.floats(min_value=1e-6, max_value=1e6)
    leaves = names.map(lambda name: Tree("name", value=name)) | (st.integers(0, 99) | floats).map(number)

    def grown(inner: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
        pairs = st.tuples(inner, inner)
        called = st.tuples(st.sampled_from(["E", "G"]), st.sampled_from(["", "inverse"]))
        return (
            st.builds(
                lambda op, args: Tree(op, args), st.sampled_from(["add", "sub", "mul", "div", "grad", "take"]), pairs
            )
            | st.builds(lambda arg: Tree("field", (Tree("call", (arg,), ("E", "")),), "mu"), inner)
            | st.builds(lambda args, value: Tree("call", args, value), pairs, called)
            | st.builds(lambda op, arg: Tree(op, (arg,)), st.sampled_from(["detach", "mean", "exp"]), inner)
        )

    return st.recursive(leaves, grown, max_leaves=12)


@given(trees())
@settings(max_examples=200, deadline=None)
def test_what_is_written_reads_back(tree: Tree) -> None:
    assert parse(written(tree)) == tree
