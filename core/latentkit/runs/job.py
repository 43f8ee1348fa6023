"""A run being trained: what it needs, and where it stands."""

from __future__ import annotations

import attrs

from latentkit.engine.training import Training
from latentkit.engine.world import World
from latentkit.events import Event
from latentkit.proof import prove_stages
from latentkit.recipe.source import Source
from latentkit.registry.manager import Registry
from latentkit.runs.course import Course
from latentkit.runs.files import remove_leftovers
from latentkit.runs.finiteness import Flags
from latentkit.runs.folder import Folder
from latentkit.runs.lifecycle import Say
from latentkit.runs.loading import as_saved, load
from latentkit.runs.run import Run, training_lines
from latentkit.runs.stopping import Stopping
from latentkit.runs.waiting import DataWait
from latentkit.settings import Settings
from latentkit.wiring.wiring import Wiring


@attrs.define
class Job:
    """A run being trained: everything it needs, checked before a file is written."""

    folder: Folder
    source: Source
    course: Course
    training: Training
    registry: Registry
    versions: dict[str, str]
    say: Say
    recipe_text: str = ""
    flags: Flags = attrs.field(factory=Flags)
    stopping: Stopping = attrs.field(factory=Stopping)
    waits: DataWait = attrs.field(factory=DataWait)
    saved: int | None = None
    """The step of the newest checkpoint."""

    @classmethod
    def prepare(
        cls,
        source: Source,
        folder: Folder,
        settings: Settings,
        registry: Registry,
        say: Say,
        world: World | None = None,
    ) -> Job:
        """Everything that can fail before a file is written."""
        settings.torch_device()
        settings = settings.settled()
        settings.take_threads()
        course = Course.of(source, registry, world)
        report = prove_stages(course.wirings, registry, thorough=True)
        report.raise_for_problems()
        for warning in (*report.warnings, *report.not_seen):
            say(warning)
        training = course.training(0, settings)
        owners = {name.partition(".")[0] for name in course.components} | {"core"}
        versions = {"latentkit": registry.plugins["core"].version}
        versions |= {f"plugin {owner}": registry.plugins[owner].version for owner in sorted(owners - {"core"})}
        registry.activate(course.components)
        return cls(folder, source, course, training, registry, versions, say)

    @property
    def wiring(self) -> Wiring:
        """Of the stage that is trained."""
        return self.training.wiring

    @property
    def world(self) -> World:
        """Of the processes that train; the first one writes."""
        return self.course.world

    def enter(self, stage: int) -> None:
        """Begin anew in this stage, before a state is restored."""
        if stage != self.training.stage:
            self.training = self.course.training(stage, self.training.settings)

    @property
    def steps(self) -> int:
        """In all."""
        return self.wiring.recipe.train.steps

    def write_recipe(self) -> None:
        """Write the resolved recipe."""
        if self.world.leads:
            self.recipe_text = self.folder.write_recipe(self.source.tables, self.versions)

    def begin(self) -> None:
        """Write what a run has from its start."""
        if self.world.leads:
            remove_leftovers(self.folder.path)  # of a run that was killed before its first checkpoint
        self.write_recipe()
        if self.world.leads:
            self.folder.cut_metrics(-1, 1)

    def result(self, seconds: float) -> Run:
        """What is in the folder, for all processes; only the first one needs to see it."""
        if self.world.leads:
            model, lines = load(self.folder.path, registry=self.registry), training_lines(self.folder)
        else:
            model, lines = as_saved(self.training, self.registry), []
        return Run(self.folder.path, model, self.world.told(lines), seconds)

    def move_on(self, say: Say) -> None:
        """Go to the stage whose turn it is."""
        stage = self.course.follows(self.training)
        if stage is not None:
            before = self.training
            self.training = self.course.moved(before, stage)
            self.training.watch = before.watch
            before.close()
            say(f"step {self.training.step_count}, {self.course.told(stage)}")

    def event(self) -> Event:
        """Where the run stands."""
        training = self.training
        return Event(
            self.folder.path, self.wiring.recipe.name, training.step_count, self.steps, training.images, training
        )
