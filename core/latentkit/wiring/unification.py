"""The unification that carries sizes along the flow."""

from __future__ import annotations

from latentkit.errors import Mismatch
from latentkit.spaces import Dim, Range, Space, Var


class Unifier:
    """Makes spaces equal, remembering what each open size turned out to be."""

    def __init__(self) -> None:
        self.bound: dict[Var, object] = {}

    def find(self, item: object) -> object:
        """The value that an open size, range or space stands for by now."""
        while isinstance(item, Var) and item in self.bound:
            item = self.bound[item]
        return item

    def resolve(self, space: Space | Var) -> Space | Var:
        """The space with everything filled in that is known by now."""
        found = self.find(space)
        if not isinstance(found, Space):
            assert isinstance(found, Var)
            return found
        if not found.fields and not isinstance(found.range, Var) and Var not in map(type, found.dims):
            return found  # most are, and most of the time goes into this question
        dims = tuple(self._dim(dim) for dim in found.dims)
        fields = tuple((name, self.resolve(inner)) for name, inner in found.fields)
        return Space(found.kind, dims, self._range(found.range), fields, found.batched)

    def _range(self, value: Range | Var | None) -> Range | Var | None:
        found = self.find(value)
        return found if isinstance(found, tuple | Var) else None

    def _dim(self, dim: Dim) -> Dim:
        found = self.find(dim)
        assert isinstance(found, int | Var)
        return found

    def unify(self, a: Space | Var, b: Space | Var) -> None:
        """Make two spaces one.

        Raises:
            Mismatch: they differ in kind, in a size that both state, or in a value range that both state.
        """
        left, right = self.find(a), self.find(b)
        if left is right:
            return
        if isinstance(left, Var) or isinstance(right, Var):
            self._bind(left, right)
            return
        assert isinstance(left, Space)
        assert isinstance(right, Space)
        kinds = {left.kind, right.kind}
        if len(kinds) > 1 and "tensor" not in kinds:
            raise Mismatch(f"{self.resolve(left)} is not {self.resolve(right)}")
        if len(left.dims) != len(right.dims) or left.batched != right.batched:
            raise Mismatch(f"{self.resolve(left)} does not fit {self.resolve(right)}")
        for mine, theirs in zip(left.dims, right.dims, strict=True):
            if not self._bind(mine, theirs):
                raise Mismatch(f"{self.resolve(left)} does not fit {self.resolve(right)}")
        if left.range is not None and right.range is not None and not self._bind(left.range, right.range):
            raise Mismatch(f"value ranges differ: {self.resolve(left)} against {self.resolve(right)}")
        for (_, mine_space), (_, theirs_space) in zip(left.fields, right.fields, strict=False):
            self.unify(mine_space, theirs_space)

    def _bind(self, a: object, b: object) -> bool:
        a, b = self.find(a), self.find(b)
        if isinstance(a, Var) and a is not b:
            self.bound[a] = b
        elif isinstance(b, Var) and a is not b:
            self.bound[b] = a
        else:
            return a == b
        return True
