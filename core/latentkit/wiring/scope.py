"""Expressions of a recipe to nodes of the graph, one scope per phase (a kept value is a constant in later phases)."""

from __future__ import annotations

from latentkit.errors import Problem, RecipeError, nearest
from latentkit.recipe.expressions import OPERATIONS, Tree
from latentkit.recipe.quantities import Formula, Quantity
from latentkit.recipe.writing import brief
from latentkit.wiring.graph import Graph, Node, ancestors, differentiable_ancestors
from latentkit.wiring.names import Names, Path

_TOO_DEEP = "depends on values that depend on values, and so on, too many times over"


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
