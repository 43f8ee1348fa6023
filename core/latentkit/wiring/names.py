"""Names of a recipe to nodes of the graph, one scope per phase (a kept value is a constant in later phases)."""

from __future__ import annotations

import keyword
import unicodedata
from collections import abc

from latentkit.errors import Problem, RecipeError, nearest
from latentkit.interfaces import Part
from latentkit.recipe.expressions import OPERATIONS, ExpressionError, Tree, parse
from latentkit.recipe.quantities import Formula, Quantity
from latentkit.recipe.schema import Recipe
from latentkit.recipe.source import Source
from latentkit.recipe.writing import brief
from latentkit.wiring.declared import declared
from latentkit.wiring.graph import Graph, Node, ancestors, differentiable_ancestors

Path = tuple[str, ...]
_TOO_DEEP = "depends on values that depend on values, and so on, too many times over"


class Names:
    """What each name of the recipe is. One space for all of them; a clash is a problem."""

    def __init__(
        self,
        recipe: Recipe,
        source: Source,
        parts: abc.Mapping[str, Part],
        faulty: abc.Collection[str] = (),
    ) -> None:
        self.recipe, self.source, self.parts = recipe, source, parts
        self.faulty = faulty
        """Values from outside that have problems of their own; what depends on them is left alone."""
        self.problems: dict[Problem, None] = {}
        """What was found, each once, in order."""
        self.kinds: dict[str, str] = {}
        self.trees: dict[str, Tree] = {}
        self.used: set[str] = set()
        self.circles: set[frozenset[str]] = set()
        self.declared = declared(source)
        self.unreadable = {key for key in self.declared if not isinstance(source.tables.get(key, {}), dict)}
        """Tables that are none, so that what they declare is not known."""
        for table, names in self.declared.items():
            for name in names:
                self._declare(name, table)
        for name, text in recipe.flow.items():
            tree = self.parse(text, ("flow", name))
            if tree is not None:
                self.trees[name] = tree

    def is_part(self, name: str) -> bool:
        """Whether ``[parts]`` has the name, with or without problems; or may have it, where it cannot be read."""
        return name in self.declared["parts"] or "parts" in self.unreadable

    def _declare(self, name: str, table: str) -> None:
        path = (table, name)
        plain = name.isidentifier() and name == unicodedata.normalize("NFKC", name)
        if not plain or keyword.iskeyword(name):
            self.problem(path, f"'{name}' cannot be used in expressions: use letters, digits and _")
        elif name in OPERATIONS:
            self.problem(path, f"'{name}' is an operation of the language", "choose another name")
        elif name in self.kinds:
            hint = "rename one of them: all names live in one space"
            self.problem(path, f"'{name}' is already a name in [{self.kinds[name]}]", hint)
        self.kinds.setdefault(name, table)

    def parse(self, text: str, path: Path) -> Tree | None:
        """Parse an expression; a fault becomes a problem."""
        try:
            return parse(text)
        except ExpressionError as error:
            self.problem(path, f"{brief(text)}: {error}", error.hint)
            return None

    def problem(self, path: Path, fact: str, hint: str = "") -> None:
        """Remember a problem at a key of the recipe."""
        self.problems[Problem(self.source.where(path), fact, hint)] = None


class Scope:
    """Turns expressions into nodes, with the values kept from earlier phases as constants."""

    def __init__(self, graph: Graph, names: Names, kept: frozenset[str] = frozenset()) -> None:
        self.graph, self.names, self.kept = graph, names, kept
        self.done: dict[str, Node | None] = {}
        self.open: list[str] = []

    def expression(self, text: str, path: Path) -> Node | None:
        """The node of an expression, or ``None`` where it had a problem (which is remembered)."""
        tree = self.names.parse(text, path)
        return None if tree is None else self._node(tree, (path, text))

    def quantity(self, value: Quantity, path: Path) -> Node | None:
        """The node of a number, schedule or expression."""
        if isinstance(value, Formula):
            return self.expression(value.text, path)
        return self.graph.node("source", (), ("timed", value), (path, ""))

    def weights(self, text: str, path: Path) -> Node | None:
        """The node of a part's weights, from its bare name."""
        name = text.strip()
        if self.names.kinds.get(name) != "parts":
            fact = f"{brief(text)}: expected the name of a part, whose weights the loss reads"
            self.names.problem(path, fact, nearest(name, self.names.declared["parts"]))
            return None
        self.names.used.add(name)
        if name not in self.names.parts:
            return None
        return self.graph.node("weights", (), name, (path, text))

    def _node(self, tree: Tree, origin: tuple[Path, str]) -> Node | None:
        if tree.op == "name":
            return self._name(str(tree.value), origin)
        if tree.op == "number":
            return self.graph.node("number", (), tree.value, origin)
        if tree.op == "call":
            return self._call(tree, origin)
        if tree.op == "field" and tree.args[0].op == "name" and self.names.is_part(str(tree.args[0].value)):
            part = str(tree.args[0].value)
            fact = f"{brief(origin[1])}: '{part}' is a part, whose '{tree.value}' is no value"
            self.names.problem(origin[0], fact, f"call it, as in {part}(...)")
            return None
        args = [self._node(arg, origin) for arg in tree.args]
        good = [arg for arg in args if arg is not None]
        if len(good) < len(args):
            return None
        if tree.op == "grad":
            return self.gradient(good[0], good[1], origin)
        return self.graph.node(tree.op, good, tree.value, origin)

    def gradient(self, y: Node, x: Node, origin: tuple[Path, str]) -> Node | None:
        """The node of d y / d x; a problem where y does not depend on x."""
        if x in differentiable_ancestors([y]):
            return self.graph.node("grad", (y, x), None, origin)
        cut = x in ancestors([y])
        why = "a detach() or sign() cuts the way" if cut else "y does not depend on x"
        self.names.problem(origin[0], f"{brief(origin[1])}: grad(y, x) is 0: {why}")
        return None

    def _call(self, tree: Tree, origin: tuple[Path, str]) -> Node | None:
        assert isinstance(tree.value, tuple)
        name, entry = tree.value
        args = [self._node(arg, origin) for arg in tree.args]
        path, text = origin
        kind = self.names.kinds.get(name)
        if kind != "parts":
            fact = f"'{name}' is a value, not a part" if kind else f"no part is called '{name}'"
            hint = nearest(name, [*self.names.declared["parts"], *OPERATIONS])
            hint = hint or f"parts of this recipe: {', '.join(self.names.declared['parts']) or 'none'}"
            if kind or "parts" not in self.names.unreadable:
                self.names.problem(path, f"{brief(text)}: {fact}", hint)
            return None
        self.names.used.add(name)
        part = self.names.parts.get(name)
        if part is None:
            return None
        if entry and entry not in part.entries:
            known = ", ".join(part.entries) or "none"
            fact = f"{brief(text)}: {name} ({type(part).__name__.lstrip('_')}) has no entry '{entry}'; it has: {known}"
            self.names.problem(path, fact, nearest(entry, part.entries))
            return None
        good = [arg for arg in args if arg is not None]
        if len(good) < len(args):
            return None
        return self.graph.node("call", good, (name, entry), origin)

    def _name(self, name: str, origin: tuple[Path, str]) -> Node | None:
        path, text = origin
        names = self.names
        kind = names.kinds.get(name)
        names.used.add(name)
        if kind is None or kind == "parts":
            what = "is no value of this recipe"
            hint = nearest(name, [known for known, table in names.kinds.items() if table != "parts"])
            if kind or name in OPERATIONS:
                what = f"is {'a part' if kind else 'an operation'}: call it, as in {name}(...)"
            elif not hint:
                hint = "values are what [data] gives, and the names in [draw], [scalars], [state] and [flow]"
            if kind or not names.unreadable:
                names.problem(path, f"{brief(text)}: '{name}' {what}", hint)
            return None
        if name in names.faulty:
            return None
        if name in self.kept:
            return self.graph.node("source", (), ("kept", name), origin)
        if kind != "flow":
            return self.graph.node("source", (), (kind, name), origin)
        if name not in self.done:
            self.done[name] = self._flow(name)
        return self.done[name]

    def _flow(self, name: str) -> Node | None:
        if name in self.open:
            circle = self.open[self.open.index(name) :]
            if frozenset(circle) not in self.names.circles:
                self.names.circles.add(frozenset(circle))
                fact = f"is defined in a circle: {' -> '.join([*circle, name])}"
                self.names.problem(("flow", name), fact, "define one of them without the others")
            return None
        tree = self.names.trees.get(name)
        if tree is None:
            return None
        self.open.append(name)
        try:
            return self._node(tree, (("flow", name), self.names.recipe.flow[name]))
        except RecursionError:
            raise RecipeError([Problem(self.names.source.where(("flow", name)), _TOO_DEEP)]) from None
        finally:
            self.open.pop()
