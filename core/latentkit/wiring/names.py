"""What the names of a recipe are."""

from __future__ import annotations

import keyword
import unicodedata
from collections import abc

from latentkit.errors import Problem
from latentkit.interfaces import Part
from latentkit.recipe.expressions import OPERATIONS, ExpressionError, Tree, parse
from latentkit.recipe.schema import Recipe
from latentkit.recipe.source import Source
from latentkit.recipe.writing import brief
from latentkit.wiring.declared import declared

Path = tuple[str, ...]


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
