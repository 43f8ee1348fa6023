"""Expressions of recipes: names, numbers, ``+ - * /``, calls, fields. Parsed, never executed as Python."""

from __future__ import annotations

import ast
import functools
import re
import sys
import warnings

import attrs

MAX_LENGTH = 4000
MAX_NESTING = 50
OPERATIONS: dict[str, tuple[int, ...]] = {
    "detach": (1,), "grad": (2,), "mean": (1,), "sum": (1,), "batch_mean": (1,),
    "exp": (1,), "log": (1,), "sqrt": (1,), "square": (1,), "abs": (1,), "sign": (1,), "sigmoid": (1,),
    "softplus": (1,), "relu": (1,), "clip": (3,),
    "concat": tuple(range(1, 17)), "chunk": (3,), "roll": (2,), "flip": (1,), "take": (2,),
    "join": tuple(range(1, 17)), "lerp": (3,), "reparameterize": (2,),
}  # fmt: skip
"""Operation: how many arguments it takes."""
_NAMED = "name a part of it in [flow]"
_INSTEAD: dict[type[ast.AST], str] = {
    ast.Pow: "a square is square(x), a root sqrt(x)",
    ast.Subscript: "chunk(x, i, n) is part i of n parts of a batch",
    ast.Compare: "there are no conditions; relu(x), clip(x, low, high) and sign(x) come close",
    ast.IfExp: "there are no conditions; a schedule { steps = [[at, value], ...] } switches in time",
    ast.JoinedStr: "names stand without quotes",
}
"""What to write in place of some other Python."""
_BINARY = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div"}


class ExpressionError(ValueError):
    """Text that is no expression of the language; ``hint`` says what would be one, where that is known."""

    def __init__(self, fact: str, hint: str = "") -> None:
        self.hint = hint
        super().__init__(fact)


@attrs.frozen
class Tree:
    """A parsed expression. ``op`` is ``name``, ``number``, ``call`` (``value`` is (part, entry)), ``field``,
    or an operation."""

    op: str
    args: tuple[Tree, ...] = ()
    value: object = None

    def names(self) -> set[str]:
        """Every name that occurs."""
        found = {self.value} if self.op == "name" else set()
        if self.op == "call":
            assert isinstance(self.value, tuple)
            found.add(self.value[0])
        for arg in self.args:
            found |= arg.names()
        return {str(name) for name in found}


@functools.lru_cache(maxsize=1024)  # the same texts come again when a recipe is read, checked and trained
def parse(text: str) -> Tree:
    """Parse one expression.

    Raises:
        ExpressionError: what in it is not part of the language.
    """
    if len(text) > MAX_LENGTH:
        fact = f"the expression has {len(text)} characters; at most {MAX_LENGTH} are read"
        raise ExpressionError(fact, _NAMED)
    deepest = level = 0
    for char in text:
        level += (char in "([{") - (char in ")]}")
        deepest = max(deepest, level)
    if deepest > MAX_NESTING or len(re.findall(r"[-+]\s*(?=[-+])", text)) > MAX_NESTING:
        raise ExpressionError(f"the expression is nested more than {MAX_NESTING} deep", _NAMED)
    if not text.strip() or "\n" in text.strip():
        raise ExpressionError("expected one expression on one line")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of Python, about texts that are none of the language
            tree = ast.parse(text.strip(), mode="eval").body
        return _bounded(_convert(tree))
    except ExpressionError:
        raise
    except (SyntaxError, ValueError) as error:
        said = error.msg if isinstance(error, SyntaxError) else error
        raise ExpressionError(f"not an expression: {said}") from None
    except (RecursionError, MemoryError):
        raise ExpressionError("the expression is nested too deeply, or has too many operations", _NAMED) from None


def _bounded(tree: Tree) -> Tree:
    level, depth = [tree], 0
    while level:
        level, depth = [arg for item in level for arg in item.args], depth + 1
    if depth > 4 * MAX_NESTING:
        raise ExpressionError(f"the expression is a chain of more than {4 * MAX_NESTING} operations", _NAMED)
    return tree


def _convert(node: ast.expr) -> Tree:
    match node:
        case ast.Constant(value=bool() | str() | bytes() | None | complex()):
            fact = f"{node.value!r} is not a number; expressions have names and numbers only"
            raise ExpressionError(fact, "names stand without quotes" if isinstance(node.value, str) else "")
        case ast.Constant(value=int() | float() as value):
            if not abs(value) <= sys.float_info.max:
                raise ExpressionError("numbers must be finite")
            return Tree("number", value=node.value)
        case ast.Name(id=name):
            return Tree("name", value=name)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant() as constant):
            number = _convert(constant)
            assert isinstance(number.value, int | float)
            return Tree("number", value=-number.value)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return Tree("neg", (_convert(operand),))
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _convert(operand)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return Tree(_BINARY[type(op)], (_convert(left), _convert(right)))
        case ast.Attribute(value=value, attr=attr):
            return Tree("field", (_convert(value),), attr)
        case ast.Call(func=func, args=args, keywords=keywords):
            return _call(func, args, keywords)
    kind = type(node.op) if isinstance(node, ast.BinOp) else type(node)
    fact = f"'{ast.unparse(node)[:60]}' is not part of the language (names, numbers, + - * /, calls, fields)"
    raise ExpressionError(fact, _INSTEAD.get(kind, ""))


def _call(func: ast.expr, args: list[ast.expr], keywords: list[ast.keyword]) -> Tree:
    if keywords or any(isinstance(arg, ast.Starred) for arg in args):
        fact = f"'{ast.unparse(func)[:60]}(...)' takes its inputs by position; there are no keywords"
        raise ExpressionError(fact, "write the inputs alone, in their order")
    inner = tuple(_convert(arg) for arg in args)
    match func:
        case ast.Name(id=name) if name in OPERATIONS:
            _check_count(name, len(inner))
            return Tree(name, inner)
        case ast.Name(id=name):
            return Tree("call", inner, (name, ""))
        case ast.Attribute(value=ast.Name(id=name), attr=entry):
            return Tree("call", inner, (name, entry))
    raise ExpressionError(f"'{ast.unparse(func)[:60]}' cannot be called; only parts, their entries and operations can")


def _check_count(name: str, found: int) -> None:
    counts = OPERATIONS[name]
    if found not in counts:
        wanted = str(counts[0]) if len(counts) == 1 else f"{counts[0]} or more"
        raise ExpressionError(f"{name}() takes {wanted} argument{'s' if wanted != '1' else ''}, found {found}")
