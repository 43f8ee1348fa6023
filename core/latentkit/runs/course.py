"""The stages of a run: their wirings, their data, and the way from one to the next."""

from __future__ import annotations

import attrs

from latentkit.engine.batches import Batches
from latentkit.engine.samples import Samples, at_resolution, open_samples
from latentkit.engine.training import Training
from latentkit.engine.world import World
from latentkit.proof.stages import largest_stage
from latentkit.recipe.schema import DataSpec
from latentkit.recipe.source import Source
from latentkit.recipe.staging import Stage, stages
from latentkit.registry.manager import Registry
from latentkit.runs.state import restore, state_of, tensors_of
from latentkit.settings import Settings
from latentkit.wiring.assemble import assemble
from latentkit.wiring.wiring import Wiring


@attrs.frozen(eq=False)
class Course:
    """What a run goes through. A recipe without stages is one stage."""

    stages: tuple[Stage, ...]
    wirings: tuple[Wiring, ...]
    registry: Registry
    world: World = attrs.field(factory=World)
    """Of the processes that train."""
    opened: dict[str, Samples] = attrs.field(factory=dict)
    """By source, its samples at the highest resolution of all stages."""

    @classmethod
    def of(cls, source: Source, registry: Registry, world: World | None = None) -> Course:
        """Stages and their wirings.

        Raises:
            RecipeError: with all the problems of the first stage that has some.
        """
        found = stages(source)
        return cls(found, tuple(assemble(stage.source, registry) for stage in found), registry, world or World())

    @property
    def components(self) -> tuple[str, ...]:
        """Names of all components that a stage uses."""
        return tuple(dict.fromkeys(name for wiring in self.wirings for name in wiring.components))

    def samples(self, index: int) -> dict[str, Samples]:
        """The data of a stage. Originals are read once, at the highest resolution.

        Raises:
            DataError: missing or unreadable data.
        """
        recipe = self.wirings[index].recipe
        return {name: self._samples(name, recipe.data[name], index) for name in self.wirings[index].data}

    def _samples(self, name: str, spec: DataSpec, index: int) -> Samples:
        if name not in self.opened:
            wiring = self.wirings[largest_stage(self.wirings, name)]
            found = open_samples(name, wiring.recipe.data[name], wiring.data[name])
            self.opened[name] = attrs.evolve(found, classes=found.classes or _classes(wiring, spec))
        _, height, width = spec.image_size(self.wirings[index].data[name])
        return at_resolution(self.opened[name], spec, height, width)

    def training(self, index: int, settings: Settings) -> Training:
        """A training at the start of a stage, with fresh weights.

        Raises:
            DataError: as :meth:`samples`.
        """
        made = Training(self.wirings[index], self.registry, self.samples(index), settings, world=self.world)
        made.stage = index
        return made

    def follows(self, training: Training) -> int | None:
        """The stage whose turn it is, where that of the training is over."""
        index, last = training.stage, len(self.stages) - 1
        while index < last and training.step_count >= self.stages[index].end:
            index += 1
        return index if index != training.stage else None

    def moved(self, training: Training, index: int) -> Training:
        """The training with everything that it has learned, in another stage."""
        made = self.training(index, training.settings)
        anew = {what for stage in self.stages[training.stage + 1 : index + 1] for what in stage.reset}
        restore(made, tensors_of(training), state_of(training), optimizers="optimizer" not in anew)
        for name, batches in made.data.items():
            made.positions[name] = _position(training.positions[name], training.data[name], batches)
        return made

    def told(self, index: int) -> str:
        """What a stage changes, in a line."""
        return f"stage {index + 1} of {len(self.stages)}: {self.stages[index].changes}"


def _classes(wiring: Wiring, spec: DataSpec) -> int | None:
    """How many classes the recipe counts, where it has labels of this source."""
    for value, field in spec.gives.items():
        dims = wiring.data_spaces[value].dims if field == "label" else ()
        if dims and isinstance(dims[0], int):
            return dims[0]
    return None


def _position(before: int, old: Batches, new: Batches) -> int:
    """The same place in the data; with other batches the next epoch's start."""
    mine, theirs = (len(item.samples.training) // item.batch for item in (new, old))
    return before if (mine, new.batch) == (theirs, old.batch) else -(-before // theirs) * mine
