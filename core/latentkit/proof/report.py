"""What a check found."""

from __future__ import annotations

import attrs

from latentkit.errors import Problem, RecipeError


@attrs.frozen
class Report:
    """The result of a check: ``ok``, and all the problems and warnings.

    What was established is kept apart by how it is known. The graph and the shapes prove; a probe only sees.

    Attributes:
        name: of the recipe.
        problems: what forbids to train it.
        warnings: what should be looked at.
        graph: what follows from the expressions alone, for all values.
        shapes: what follows from running everything on the meta device, for all values of these sizes.
        probe: what was seen on one step with synthetic data; it held there.
        not_seen: what the probe looked for and did not see, and what was not probed. It may be there all the same.
    """

    name: str
    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()
    graph: tuple[str, ...] = ()
    shapes: tuple[str, ...] = ()
    probe: tuple[str, ...] = ()
    not_seen: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the recipe may be trained."""
        return not self.problems

    @property
    def proved(self) -> tuple[str, ...]:
        """What holds always: on the graph and on shapes."""
        return (*self.graph, *self.shapes)

    def raise_for_problems(self) -> None:
        """Raise what was found.

        Raises:
            RecipeError: there are problems.
        """
        if self.problems:
            raise RecipeError(self.problems)
