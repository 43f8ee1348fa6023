"""Spaces along every edge, by unification: a size that one place states is known everywhere it must be equal."""

from __future__ import annotations

import functools
import re
from collections import abc

import attrs

from latentkit.errors import Mismatch
from latentkit.interfaces import Part
from latentkit.ports import Signature
from latentkit.spaces import SCALAR, SCORE, WEIGHTS, Space, Var
from latentkit.wiring.batching import check_whole_numbers
from latentkit.wiring.graph import Node
from latentkit.wiring.hints import Misfit
from latentkit.wiring.unification import Unifier

_SAME = frozenset({"detach", "concat", "chunk", "roll", "flip", "take"})
_ELEMENTWISE = frozenset({"neg", "exp", "log", "sqrt", "square", "abs", "sign", "sigmoid", "softplus", "relu", "clip"})
_BINARY = frozenset({"add", "sub", "mul", "div"})


class Sizes:
    """Infers the space of every node.

    Args:
        signatures: per part, its ports and those of its entries, sharing their open sizes.
        sources: the space of each source by (kind, name); an open space where the flow must determine it.
    """

    def __init__(
        self, signatures: abc.Mapping[str, dict[str, Signature]], sources: abc.Mapping[object, Space | Var]
    ) -> None:
        self.unifier = Unifier()
        self.signatures = signatures
        self.sources = dict(sources)
        self.open: dict[Node, Var] = {}
        self.failures: list[tuple[Node, Mismatch]] = []

    def of(self, node: Node) -> Space | Var:
        """The space of a node, as far as it is known."""
        space = self.open.get(node)
        if space is None:
            space = self.open[node] = Var(f"value {node.index}")
        return self.unifier.resolve(space)

    def infer(self, nodes: abc.Iterable[Node], equal: abc.Iterable[tuple[Node, Node]] = (), whole: bool = True) -> None:
        """Work through the nodes until nothing more can be said. What disagrees is in ``failures``.

        Where the nodes are not the ``whole`` recipe, nothing is guessed.
        """
        waiting = sorted(nodes, key=lambda node: (node.op != "source", node))
        while waiting and waiting[0].op == "source":  # first what is stated, so that what disagrees is what uses it
            node = waiting.pop(0)
            self._attempt(node, functools.partial(self._rule, node))
        for a, b in equal:
            self._attempt(a, functools.partial(self._equal, a, b))
        while waiting:
            left = [node for node in waiting if not self._attempt(node, functools.partial(self._rule, node))]
            if len(left) == len(waiting) and not (whole and self._guess(left)):
                return
            waiting = left

    def _attempt(self, node: Node, rule: abc.Callable[[], bool]) -> bool:
        try:
            return rule()
        except Mismatch as error:
            self.failures.append((node, error))
            return True

    def _equal(self, a: Node, b: Node) -> bool:
        self.unifier.unify(self.of(a), self.of(b))
        return True

    def _guess(self, waiting: abc.Sequence[Node]) -> bool:
        """Nothing follows any more: then operands of + - * / are alike, a draw is a number per sample, a state one."""
        for node in waiting:
            if node.op not in _BINARY:
                continue
            a, b = (self.of(arg) for arg in node.args)
            if isinstance(a, Var) and isinstance(b, Var) and a is not b:
                self.unifier.unify(a, b)
                return True
        for node in waiting:
            for arg in node.args:
                space = self.of(arg)
                if arg.op == "source" and isinstance(space, Var):
                    self.unifier.unify(space, SCALAR if arg.is_source("state") else SCORE)
                    return True
        return False

    def _rule(self, node: Node) -> bool:
        if node.op == "source":
            return self._is(node, self.sources[node.value])
        if node.op == "number":
            return self._is(node, SCALAR)
        if node.op == "weights":
            return self._is(node, WEIGHTS)
        if node.op == "call":
            name, entry = node.callee
            return self._ports(node, self.signatures[name][entry], name)
        if node.op == "apply":
            assert isinstance(node.value, Part)
            return self._ports(node, node.value.signatures()[""], _name(node.value))
        return self._operation(node)

    def _is(self, node: Node, space: Space | Var) -> bool:
        self.unifier.unify(self.of(node), space)
        return True

    def _ports(self, node: Node, signature: Signature, owner: str) -> bool:
        ports = signature.inputs
        needed = sum(not port.optional for port in ports)
        if not needed <= len(node.args) <= len(ports):
            names = ", ".join(f"{port.name}: {port.space}" for port in ports) or "nothing"
            raise Mismatch(f"{owner} takes {len(ports)} inputs ({names}), was given {len(node.args)}")
        for port, arg in zip(ports, node.args, strict=False):
            if arg.op == "number" and arg.value is None:
                continue  # an optional port that was left out
            wanted, given = self.unifier.resolve(port.space), self.of(arg)
            try:
                self.unifier.unify(given, wanted)
            except Mismatch:
                raise Misfit(owner, port.name, port.space, wanted, given) from None
        try:
            self.unifier.unify(self.of(node), signature.output)
        except Mismatch:
            made = self.unifier.resolve(signature.output)
            raise Mismatch(f"{owner} gives {made}, is used as {self.of(node)}") from None
        return True

    def _operation(self, node: Node) -> bool:
        if node.op in ("chunk", "roll"):
            check_whole_numbers(node)
        if node.op in _SAME:
            for arg in node.args[: 1 if node.op in ("chunk", "roll", "take") else None]:
                self.unifier.unify(self.of(node), self.of(arg))
            return True
        if node.op in ("mean", "sum"):
            first = self.of(node.args[0])
            if isinstance(first, Var):
                return False
            return self._is(node, SCORE if first.batched else SCALAR)
        if node.op == "grad":
            return self._gradient(node)
        if node.op in _BINARY:
            return self._arithmetic(node, *node.args)
        if node.op == "lerp":
            return self._lerp(node)
        if node.op == "reparameterize":
            return self._reparameterize(node)
        first = self.of(node.args[0])
        if isinstance(first, Var):
            return False
        if node.op in _ELEMENTWISE:
            return self._is(node, attrs.evolve(first, range=None))
        if node.op == "batch_mean":
            return self._is(node, SCALAR if first == SCORE else attrs.evolve(first, range=None, batched=False))
        if node.op == "field":
            return self._field(node, first)
        return self._join(node)

    def _gradient(self, node: Node) -> bool:
        y, x = (self.of(arg) for arg in node.args)
        if isinstance(y, Var) or isinstance(x, Var):
            return False
        if y.kind not in ("score", "scalar"):
            raise Mismatch(f"grad(y, x) wants one number per sample as y, was given {y}; take mean() or sum() first")
        return self._is(node, attrs.evolve(x, range=None))

    def _arithmetic(self, node: Node, a: Node, b: Node) -> bool:
        left, right = self.of(a), self.of(b)
        for one, other in ((left, right), (right, left)):
            if isinstance(one, Space) and one.kind == "scalar":
                if isinstance(other, Var):
                    return False
                return self._is(node, attrs.evolve(other, range=None))
        if isinstance(left, Var) or isinstance(right, Var):
            return False
        return self._is(node, self._aligned(left, right))

    def _aligned(self, left: Space, right: Space) -> Space:
        small, large = sorted((left, right), key=lambda space: len(space.dims))
        for mine, theirs in zip(small.dims, large.dims, strict=False):
            try:
                self.unifier.unify(Space("tensor", (mine,)), Space("tensor", (theirs,)))
            except Mismatch:
                raise Mismatch(f"{left} and {right} do not align") from None
        alike = len(small.dims) < len(large.dims) or left.kind == right.kind
        return attrs.evolve(
            large, range=None, kind=large.kind if alike else "tensor", batched=left.batched or right.batched
        )

    def _lerp(self, node: Node) -> bool:
        a, b, t = node.args
        if isinstance(self.of(a), Var) and isinstance(self.of(b), Var):
            return False
        first, second = self.of(a), self.of(b)
        plain = [attrs.evolve(space, range=None) if isinstance(space, Space) else space for space in (first, second)]
        self.unifier.unify(plain[0], plain[1])
        share = self.of(t)
        if isinstance(share, Var):
            return False
        whole = plain[0] if isinstance(plain[0], Space) else plain[1]
        assert isinstance(whole, Space)
        if share.kind != "scalar":
            self._aligned(whole, share)
        return self._is(node, whole)

    def _reparameterize(self, node: Node) -> bool:
        size = Var("dim")
        self.unifier.unify(self.of(node.args[0]), Space("posterior", (size,)))
        self.unifier.unify(self.of(node.args[1]), Space("latent", (size,)))
        return self._is(node, Space("latent", (size,)))

    def _field(self, node: Node, whole: Space) -> bool:
        if whole.kind == "posterior" and node.value in ("mu", "logvar"):
            return self._is(node, Space("latent", whole.dims))
        for name, space in whole.fields:
            if name == node.value:
                return self._is(node, space)
        known = ["mu", "logvar"] if whole.kind == "posterior" else [name for name, _ in whole.fields]
        raise Mismatch(f"{whole} has no field '{node.value}'; it has: {', '.join(known) or 'none'}")

    def _join(self, node: Node) -> bool:
        spaces = [self.of(arg) for arg in node.args]
        for space in spaces:
            if isinstance(space, Space) and not space.dims:
                raise Mismatch(f"join() puts features behind each other, was given {space}, which has none")
            if isinstance(space, Space) and not space.batched:
                raise Mismatch(f"join() joins the features of each sample, was given {space}, which is no batch")
        if any(isinstance(space, Var) or isinstance(space.dims[0], Var) for space in spaces):
            return False
        known = [space for space in spaces if isinstance(space, Space)]
        for other in known[1:]:
            one, two = (attrs.evolve(item, kind="tensor", dims=item.dims[1:], range=None) for item in (known[0], other))
            try:
                self.unifier.unify(one, two)
            except Mismatch:
                fact = f"join() wants values that differ in their first size, was given {known[0]} and {other}"
                raise Mismatch(fact) from None
        total = sum(space.dims[0] for space in known if isinstance(space.dims[0], int))
        return self._is(node, attrs.evolve(known[0], dims=(total, *known[0].dims[1:]), range=None))


def _name(part: Part) -> str:
    """A loss as recipes write it, from the name of its function or class: ``bernoulli-nll``."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", type(part).__name__.strip("_"))
    return words.replace("_", "-").lower()
