"""Training state and one step of it. Every system takes the same step; only its plan differs."""

from __future__ import annotations

import functools
from collections import abc
from typing import Any

import attrs
from torch import Tensor

from latentkit.engine.batches import Batches
from latentkit.engine.drawing import at_time, drawn, number
from latentkit.engine.executing import Executor, Watch
from latentkit.engine.feeding import Feed, Injected, check_injected
from latentkit.engine.merging import can_share
from latentkit.engine.outcome import Outcome
from latentkit.engine.plan import active_terms, groups, plan
from latentkit.engine.program import Program
from latentkit.engine.samples import Samples
from latentkit.engine.sharding import Sharding, couples
from latentkit.engine.starting import averages, built_system, initial_states, optimizer_slots
from latentkit.engine.statistics import share_statistics
from latentkit.engine.streams import Streams
from latentkit.engine.world import World
from latentkit.registry.manager import Registry
from latentkit.settings import Settings
from latentkit.wiring.wiring import Phase, Wiring


class Training:
    """A system in training: parts, optimizers, averages, states, and where it is in the data.

    Args:
        wiring: the resolved recipe.
        registry: where optimizers, constraints and initializers are found.
        samples: opened data sources; without them every data value must be injected.
        settings: device, precision, layout.
        batch: samples per step; the recipe's by default.
        seed: the run's seed; the recipe's by default.
        world: ranks that train together; each has an equal share of the batch.

    Raises:
        LatentkitError: a batch that the ranks cannot share.
    """

    def __init__(
        self,
        wiring: Wiring,
        registry: Registry,
        samples: abc.Mapping[str, Samples] | None = None,
        settings: Settings | None = None,
        batch: int | None = None,
        seed: int | None = None,
        world: World | None = None,
    ) -> None:
        self.wiring, self.settings = wiring, (settings or Settings()).settled()
        self.batch = batch or wiring.recipe.train.batch
        self.seed = wiring.recipe.train.seed if seed is None else seed
        self.device, self.dtype = self.settings.torch_device(), self.settings.dtype
        self.world = world or World()
        self.sharding = None if self.world.alone else Sharding(wiring, self.world, self.batch)
        self.system = built_system(wiring, registry, self.settings, self.seed)
        self.modules = self.system.modules_by_name()
        for name in self.modules if self.sharding is not None else ():
            if not couples(wiring.parts[name]):
                share_statistics(self.modules[name], self.world)
        self.streams = Streams(self.seed, self.device)
        self.data = {name: Batches(found, self.batch, self.seed, self.device, self.dtype, self.world)
                     for name, found in (samples or {}).items()}  # fmt: skip
        self.step_count = self.images = self.stage = 0
        self.positions = dict.fromkeys(self.data, 0)
        self.states = initial_states(wiring, self.device, self.dtype)
        self.slots = optimizer_slots(wiring, registry, self.modules)
        self.averages = averages(wiring, registry, self.settings, self.seed, self.modules)
        self.stochastic = any(part.stochastic for part in wiring.parts.values())
        self.generators: dict[str, Tensor] = {}
        """States of the default generators from a checkpoint, where parts have dropout."""
        self.programs: dict[object, Program | None] = {}
        self.groups = groups(wiring)
        self.executor = Executor(self.system, self.slots, self.states, self.settings, self.world)
        self.watch: Watch | None = None
        """Called after each execution, before its update, with the program, its values and its outcome."""
        self.phase_done: abc.Callable[[str], None] | None = None
        """Called with a phase's name when it has updated its parts."""

    def step(self, values: Injected | None = None, repeats: int | None = None) -> dict[tuple[str, str], Tensor]:
        """One training step: every phase in order, then the averages.

        Args:
            values: per phase, values that replace data, draws, scalars, states or kept values by name.
            repeats: execute a phase at most so many times, whatever its ``repeat`` says (for a probe).

        Returns:
            The terms by (phase, term): batch means before weighting, detached, on the device.
        """
        injected = check_injected(self.wiring, values or {})
        kept: dict[str, Any] = {}
        fetched: dict[str, Any] = {}
        bases = dict(self.positions)
        for name, batches in self.data.items():
            self.positions[name] += batches.samples.spec.per == "step"
        terms: dict[tuple[str, str], Tensor] = {}
        for group in self.groups:
            count = round(group[0].spec.repeat.at(self.step_count, self.images)) if len(group) == 1 else 1
            for repeat in range(count if repeats is None else min(count, repeats)):
                outcome = self._execute(group, repeat, injected, kept, fetched, bases)
                if outcome is not None:
                    terms |= outcome.terms
                    kept |= outcome.kept
        for average in self.averages.values():
            average.update(self.batch)
        self.step_count += 1
        self.images += self.batch
        return terms

    def _execute(
        self,
        group: tuple[Phase, ...],
        repeat: int,
        injected: Injected,
        kept: abc.Mapping[str, Any],
        fetched: dict[str, Any],
        bases: abc.Mapping[str, int],
    ) -> Outcome | None:
        program = self._program(group)
        if program is None:
            return None
        given = {name: value for phase in group for name, value in injected.get(phase.name, {}).items()}
        data = self.feed(repeat, fetched, bases)
        phase_name = "" if len(group) > 1 else group[0].name
        values: dict[tuple[str, Any], Any] = {}
        for slot, source, _ in program.inputs:
            kind, name = source
            if kind == "kept" and name not in given:
                values[source] = kept[name]
                continue
            if kind != "timed" and name in given:
                value = given[name]
            elif kind == "data":
                values[source] = data.value(name)  # this rank's share
                continue
            else:
                value = self.source(kind, name, phase_name, repeat)
            values[source] = value if self.sharding is None else self.sharding.given(program.plan.order[slot], value)
        data.finish()
        outcome = self.executor(program, values, self.watch)
        for phase in program.plan.running if self.phase_done is not None else ():
            self.phase_done(phase.name)  # type: ignore[misc]  # mypy forgets the check above
        return outcome

    def _program(self, group: tuple[Phase, ...]) -> Program | None:
        terms = active_terms(group, self.step_count)
        states = {
            name: node for phase in group for name, node in phase.states.items()
            if self.step_count % self.wiring.states[name].every == 0
        }  # fmt: skip
        key = (group[0].name, tuple(terms), tuple(states))
        if key not in self.programs:
            upcast = self.settings.precision == "bfloat16"
            share = functools.partial(
                can_share, wiring=self.wiring, modules=self.modules, batch=self.batch, device=self.device
            )
            planned = plan(group, terms, states, share) if terms else None
            self.programs[key] = (
                Program(planned, self.modules, self.wiring.spaces, upcast, self.sharding)
                if planned is not None
                else None
            )
        return self.programs[key]

    def feed(
        self, repeat: int, fetched: dict[str, Any], bases: abc.Mapping[str, int], whole: bool = False
    ) -> Feed:  # fmt: skip
        """The batches of one execution: of several ranks this one's share, or the whole."""
        return Feed(self.data, self.positions, bases, repeat, fetched, self.settings.channels_last, whole)

    def close(self) -> None:
        """End the processes that read data. A step that wants more starts others."""
        for batches in self.data.values():
            batches.close()

    def source(self, kind: str, name: Any, phase: str = "", repeat: int = 0) -> Any:
        """The value of a draw, scalar or state now."""
        if kind == "draw":
            draw = self.wiring.draws[name]
            stream = ("", 0) if draw.per == "step" and repeat == 0 else (phase, repeat)
            generator = self.streams.at(self.step_count, *stream, name)
            prior = at_time(draw.prior, self.wiring.recipe.scalars, self.step_count, self.images)
            return drawn(attrs.evolve(draw, prior=prior), self.batch, generator, self.dtype)
        if kind == "state":
            return self.states[name]
        quantity = self.wiring.recipe.scalars[name] if kind == "scalars" else name
        return number(quantity, self.step_count, self.images, self.device, self.dtype)
