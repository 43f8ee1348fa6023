"""The components that a recipe names, found in the registry and given their options."""

from __future__ import annotations

import re
from collections import abc
from typing import Any, TypeVar

import attrs

from latentkit.errors import LatentkitError, Problem, RegistryError, nearest
from latentkit.interfaces import Component, DataSource, Part, Prior
from latentkit.optimizers import Optimizer
from latentkit.recipe.converting import recovered, structure
from latentkit.recipe.schema import Recipe, UseSpec
from latentkit.recipe.source import Source
from latentkit.registry.manager import Registry
from latentkit.shaping import Constraint, Initializer

PART_KINDS = ("mapping", "generator", "encoder", "discriminator", "function", "loss", "regularizer")
T = TypeVar("T", bound=Component)
_KEYS = {"initializer": "init", "constraint": "constraint"}


class Components:
    """Configures components; every fault becomes a problem of the recipe."""

    def __init__(self, registry: Registry, source: Source) -> None:
        self.registry, self.source = registry, source
        self.problems: list[Problem] = []
        self.used: list[str] = []

    def parts(self, recipe: Recipe) -> dict[str, Part]:
        """The parts of ``[parts]``."""
        made = {
            name: self.configure(spec, PART_KINDS, ("parts", name), Part, recover=True)  # type: ignore[type-abstract]
            for name, spec in recipe.parts.items()
        }
        return {
            name: part
            for name, part in made.items()
            if part is not None and self._sizes_are_positive(part, ("parts", name))
        }

    def _sizes_are_positive(self, part: Part, path: tuple[str, ...]) -> bool:
        """Sizes are the options that the flow determines where they are not stated."""
        stated = {field.name: getattr(part, field.name) for field in attrs.fields(type(part)) if field.default is None}
        wrong = {key: value for key, value in stated.items() if isinstance(value, int) and value < 1}
        for key, value in wrong.items():
            self.problem((*path, key), f"a size must be at least 1, found {value}")
        return not wrong

    def shaping(self, recipe: Recipe) -> None:
        """Look at the optimizers, initializers and constraints, which are made with the modules."""
        self.configure(recipe.optimizer, ("optimizer",), ("optimizer",), Optimizer)  # type: ignore[type-abstract]
        for name, phase in recipe.phase.items():
            if phase.optimizer is not None:
                path = ("phase", name, "optimizer")
                self.configure(phase.optimizer, ("optimizer",), path, Optimizer)  # type: ignore[type-abstract]
        for name, part in recipe.parts.items():
            for kind, spec, base in (
                ("initializer", part.init, Initializer), ("constraint", part.constraint, Constraint),
            ):  # fmt: skip
                if spec is not None:
                    self.configure(spec, (kind,), ("parts", name, _KEYS[kind]), base)

    def priors(self, recipe: Recipe) -> dict[str, Prior]:
        """The priors of ``[draw]``."""
        made = {
            name: self.configure(spec, ("prior",), ("draw", name), Prior, recover=True)  # type: ignore[type-abstract]
            for name, spec in recipe.draw.items()
        }
        return {name: prior for name, prior in made.items() if prior is not None}

    def data(self, recipe: Recipe) -> dict[str, DataSource]:
        """The sources of ``[data]``, with a check that each gives what the recipe takes from it."""
        made = {}
        for name, spec in recipe.data.items():
            path = ("data",) if name == "data" else ("data", name)
            source = self.configure(spec, ("data",), path, DataSource, recover=True)  # type: ignore[type-abstract]
            if source is None:
                continue
            made[name] = source
            for value, field in spec.gives.items():
                if field not in source.offers():
                    fact = f"'{value}' wants the field '{field}', but {spec.use} offers {', '.join(source.offers())}"
                    labels = "labels need a source that has them; " if field == "label" else ""
                    self.problem((*path, "gives", value), fact, f"{labels}see `latentkit show {spec.use}`")
        return made

    def configure(
        self,
        spec: UseSpec,
        kinds: abc.Collection[str],
        path: tuple[str, ...],
        base: type[T],
        inputs: abc.Collection[str] = (),
        recover: bool = False,
    ) -> T | None:
        """One component, or ``None`` where it had a problem; with ``recover`` made without the options at fault.

        ``inputs`` are known keys beside its options.
        """
        cls = self.load(spec.use, kinds, path)
        if cls is None:
            return None
        value, problems = structure(spec.options, cls, self.source.where, path)
        fields = [field.name for field in (*attrs.fields(type(spec)), *attrs.fields(cls)) if field.name != "options"]
        keys = [*inputs, *fields]
        for problem in problems:
            # The key may be a misspelt one of the table around the component's own options.
            near = nearest(problem.where.rpartition(".")[2].rpartition(" ")[2], keys)
            hint = (near if problem.fact == "unknown key" else "") or problem.hint or f"see `latentkit show {spec.use}`"
            self.problems.append(attrs.evolve(problem, hint=hint))
        if value is None and recover:
            value = recovered(spec.options, cls)
        assert value is None or isinstance(value, base)
        return value

    def load(self, use: str, kinds: abc.Collection[str], path: tuple[str, ...]) -> Any:
        """The class of a component, or ``None`` where it had a problem."""
        try:
            self.used.append(self.registry.find(use, kinds).name)
            return self.registry.load(use, kinds)
        except RegistryError as error:
            self.problem((*path, "use"), *_said(str(error), kinds))
        except LatentkitError as error:
            self.problem(path, str(error))
        return None

    def problem(self, path: tuple[str, ...], fact: str, hint: str = "") -> None:
        """Remember a problem at a key of the recipe."""
        self.problems.append(Problem(self.source.where(path), fact, hint))


def _said(text: str, kinds: abc.Collection[str]) -> tuple[str, str]:
    """What the registry says, in the words of a recipe: fact and hint."""
    noun = {"data": "data source"}.get(next(iter(kinds)), next(iter(kinds)))
    if len(kinds) > 1:
        noun = "component for a part" if "generator" in kinds else "component for a loss"
    text = text.replace(f"no {' or '.join(kinds)} is called", f"no {noun} is called")
    fact, _, hint = re.sub(r"\ba (?=[aeiou])", "an ", text).partition("; ")
    if hint.startswith(("did you mean", "see `")):
        return fact, hint
    return (f"{fact}; {hint}" if hint else fact), "see `latentkit list`"
