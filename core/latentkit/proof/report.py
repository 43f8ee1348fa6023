"""What a check found."""

from __future__ import annotations

import attrs

from latentkit.errors import Problem, RecipeError


@attrs.frozen
class Report:
    """The result of a check: ``ok``, and all the problems and warnings."""

    name: str
    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()
    proved: tuple[str, ...] = ()
    """What was established, one sentence each."""

    @property
    def ok(self) -> bool:
        """Whether the recipe may be trained."""
        return not self.problems

    def raise_for_problems(self) -> None:
        """Raise what was found.

        Raises:
            RecipeError: there are problems.
        """
        if self.problems:
            raise RecipeError(self.problems)
