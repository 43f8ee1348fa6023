"""The components that a recipe names, found in the registry and given their options."""

from __future__ import annotations

from collections import abc
from typing import Any, TypeVar

import attrs

from latentkit.errors import LatentkitError, Problem, RegistryError, nearest
from latentkit.interfaces import Component, DataSource, Part, Prior
from latentkit.recipe.converting import structure
from latentkit.recipe.schema import Recipe, UseSpec
from latentkit.recipe.source import Source
from latentkit.registry.manager import Registry

PART_KINDS = ("mapping", "generator", "encoder", "discriminator", "function", "loss", "regularizer")
T = TypeVar("T", bound=Component)


class Components:
    """Configures components; every fault becomes a problem of the recipe."""

    def __init__(self, registry: Registry, source: Source) -> None:
        self.registry, self.source = registry, source
        self.problems: list[Problem] = []
        self.used: list[str] = []

    def parts(self, recipe: Recipe) -> dict[str, Part]:
        """The parts of ``[parts]``."""
        made = {
            name: self.configure(spec, PART_KINDS, ("parts", name), Part)  # type: ignore[type-abstract]
            for name, spec in recipe.parts.items()
        }
        return {name: part for name, part in made.items() if part is not None}

    def priors(self, recipe: Recipe) -> dict[str, Prior]:
        """The priors of ``[draw]``."""
        made = {
            name: self.configure(spec, ("prior",), ("draw", name), Prior)  # type: ignore[type-abstract]
            for name, spec in recipe.draw.items()
        }
        return {name: prior for name, prior in made.items() if prior is not None}

    def data(self, recipe: Recipe) -> dict[str, DataSource]:
        """The sources of ``[data]``, with a check that each gives what the recipe takes from it."""
        made = {}
        for name, spec in recipe.data.items():
            path = ("data",) if name == "data" else ("data", name)
            source = self.configure(spec, ("data",), path, DataSource)  # type: ignore[type-abstract]
            if source is None:
                continue
            made[name] = source
            for key in ("resolution", "channels"):
                value = getattr(spec, key)
                if value is not None and value < 1:
                    self.problem((*path, key), f"must be at least 1, found {value}")
            for value, field in spec.gives.items():
                if field not in source.offers():
                    fact = f"'{value}' wants the field '{field}', but {spec.use} offers {', '.join(source.offers())}"
                    hint = "labels need a source that has them" if field == "label" else ""
                    self.problem((*path, "gives", value), fact, hint)
        return made

    def configure(
        self,
        spec: UseSpec,
        kinds: abc.Collection[str],
        path: tuple[str, ...],
        base: type[T],
        extra: abc.Mapping[str, object] | None = None,
    ) -> T | None:
        """One component, or ``None`` where it had a problem."""
        cls = self.load(spec.use, kinds, path)
        if cls is None:
            return None
        options = {**spec.options, **(extra or {})}
        value, problems = structure(options, cls, self.source.where, path)
        keys = [field.name for field in (*attrs.fields(type(spec)), *attrs.fields(cls)) if field.name != "options"]
        for problem in problems:
            # The key may be a misspelt one of the table around the component's own options.
            near = nearest(problem.where.rpartition(".")[2].rpartition(" ")[2], keys)
            hint = (near if problem.fact == "unknown key" else "") or problem.hint or f"see `latentkit show {spec.use}`"
            self.problems.append(attrs.evolve(problem, hint=hint))
        assert value is None or isinstance(value, base)
        return value

    def load(self, use: str, kinds: abc.Collection[str], path: tuple[str, ...]) -> Any:
        """The class of a component, or ``None`` where it had a problem."""
        try:
            self.used.append(self.registry.find(use, kinds).name)
            return self.registry.load(use, kinds)
        except RegistryError as error:
            self.problem((*path, "use"), str(error))
        except LatentkitError as error:
            self.problem(path, str(error))
        return None

    def problem(self, path: tuple[str, ...], fact: str, hint: str = "") -> None:
        """Remember a problem at a key of the recipe."""
        self.problems.append(Problem(self.source.where(path), fact, hint))
