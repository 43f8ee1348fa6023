"""Training state and one step of it. Every system takes the same step; only its plan differs."""

from __future__ import annotations

from collections import abc
from typing import Any

import attrs
import torch
from torch import Tensor

from latentkit.engine.averaging import Average
from latentkit.engine.batches import Batches, Samples
from latentkit.engine.plan import active_terms, groups, plan
from latentkit.engine.program import Outcome, Program, evaluate
from latentkit.engine.streams import Streams, key_seed
from latentkit.engine.system import System
from latentkit.engine.updates import Slot, update
from latentkit.errors import LatentkitError
from latentkit.interfaces import Prior
from latentkit.optimizers import Optimizer
from latentkit.recipe.quantities import Constant, Formula, Quantity, Ramp, Stairs, Timed, is_static
from latentkit.recipe.schema import OptimizerSpec
from latentkit.registry.manager import Registry
from latentkit.settings import Settings
from latentkit.wiring.components import Components
from latentkit.wiring.graph import Node
from latentkit.wiring.wiring import Draw, Phase, Wiring

Injected = abc.Mapping[str, abc.Mapping[str, Any]]
Watch = abc.Callable[[Program, abc.Sequence[Any], Outcome], None]


class Training:
    """A system in training: parts, optimizers, averages, states, and where it is in the data.

    Args:
        wiring: the resolved recipe.
        registry: where optimizers, constraints and initializers are found.
        samples: opened data sources; without them every data value must be injected.
        settings: device, precision, layout.
        batch: samples per step; the recipe's by default.
        seed: the run's seed; the recipe's by default.
    """

    def __init__(
        self,
        wiring: Wiring,
        registry: Registry,
        samples: abc.Mapping[str, Samples] | None = None,
        settings: Settings | None = None,
        batch: int | None = None,
        seed: int | None = None,
    ) -> None:
        self.wiring, self.settings = wiring, settings or Settings()
        self.batch = batch or wiring.recipe.train.batch
        self.seed = wiring.recipe.train.seed if seed is None else seed
        self.device, self.dtype = self.settings.torch_device(), self.settings.dtype
        self.system = self._system(registry, self.seed)
        self.modules = self.system.modules_by_name()
        self.streams = Streams(self.seed, self.device)
        self.data = {name: Batches(found, self.batch, self.seed, self.device, self.dtype)
                     for name, found in (samples or {}).items()}  # fmt: skip
        self.step_count = self.images = 0
        self.positions = dict.fromkeys(self.data, 0)
        self.states = {name: self._zeros(name) for name in wiring.states}
        self.slots = self._optimizers(registry)
        self.averages = {name: Average(spec, self.modules, self._fresh(registry, spec.start, name))
                         for name, spec in wiring.recipe.average.items()}  # fmt: skip
        self.programs: dict[object, Program | None] = {}
        self.groups = groups(wiring)
        self.watch: Watch | None = None
        """Called after each execution, before its update, with the program, its values and its outcome."""

    def _system(self, registry: Registry, seed: int) -> System:
        # Weights are drawn on the CPU, so that every device starts with the same ones.
        start = "meta" if self.device.type == "meta" else "cpu"
        system = System(self.wiring, registry, seed, start).to(self.device, self.dtype)
        return system.to(memory_format=torch.channels_last) if self.settings.channels_last else system  # type: ignore[call-overload]  # torch types it for tensors only

    def _fresh(self, registry: Registry, start: str, name: str) -> dict[str, Any] | None:
        if start != "fresh":
            return None
        return self._system(registry, key_seed(self.seed, "average", name)).modules_by_name()

    def _zeros(self, name: str) -> Tensor:
        state = self.wiring.states[name]
        dims = tuple(dim for dim in state.space.dims if isinstance(dim, int))
        start = 0.0 if isinstance(state.start, tuple) else state.start
        return torch.full(dims, start, device=self.device, dtype=self.dtype)

    def _optimizers(self, registry: Registry) -> dict[tuple[str, str], Slot]:
        """One state per part and owner: the recipe's optimizer (owner "") or a phase's own."""
        components = Components(registry, self.wiring.source)
        slots: dict[tuple[str, str], Slot] = {}
        for phase in self.wiring.phases:
            owner = phase.name if phase.spec.optimizer else ""
            optimizer = optimizer_of(components, self.wiring.optimizer_of(phase), owner)
            for part in phase.spec.train:
                slots.setdefault((owner, part), Slot(optimizer, self.modules[part]))
        return slots

    def step(self, values: Injected | None = None) -> dict[tuple[str, str], Tensor]:
        """One training step: every phase in order, then the averages.

        Args:
            values: per phase, values that replace data, draws, scalars, states or kept values by name.

        Returns:
            The terms by (phase, term): batch means before weighting, detached, on the device.
        """
        injected = self._known(values or {})
        kept: dict[str, Any] = {}
        fetched: dict[str, Any] = {}
        bases = dict(self.positions)
        for name, batches in self.data.items():
            self.positions[name] += batches.samples.spec.per == "step"
        terms: dict[tuple[str, str], Tensor] = {}
        for group in self.groups:
            count = round(group[0].spec.repeat.at(self.step_count, self.images)) if len(group) == 1 else 1
            for repeat in range(count):
                outcome = self._execute(group, repeat, injected, kept, fetched, bases)
                if outcome is not None:
                    terms |= outcome.terms
                    kept |= outcome.kept
        for average in self.averages.values():
            average.update(self.batch)
        self.step_count += 1
        self.images += self.batch
        return terms

    def _known(self, values: Injected) -> Injected:
        """The injected values, all of whose names exist."""
        phases = {phase.name for phase in self.wiring.phases}
        recipe = self.wiring.recipe
        sources = {*self.wiring.data_spaces, *recipe.draw, *recipe.scalars, *recipe.state}
        sources |= {name for phase in self.wiring.phases for name in phase.kept}
        for phase, given in values.items():
            for name, known in ((phase, phases), *((name, sources) for name in given)):
                if name not in known:
                    what = "phase" if known is phases else "value from outside"
                    raise LatentkitError(f"step(): no {what} is called '{name}'; known: {', '.join(sorted(known))}")
        return values

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
        data = _Data(self, repeat, fetched, bases)
        phase_name = "" if len(group) > 1 else group[0].name
        values: dict[tuple[str, Any], Any] = {}
        for _, source, _ in program.inputs:
            kind, name = source
            if kind != "timed" and name in given:
                values[source] = given[name]
            elif kind == "kept":
                values[source] = kept[name]
            elif kind == "data":
                values[source] = data.value(name)
            else:
                values[source] = self.source(kind, name, phase_name, repeat)
        data.finish()
        with self.settings.autocast():
            slots = program.forward(values)
        outcome = program.outcome(slots)
        if self.watch is not None:
            self.watch(program, slots, outcome)
        self._update(program, outcome)
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
            planned = plan(group, terms, states, self.can_share) if terms else None
            self.programs[key] = (
                Program(planned, self.modules, self.wiring.spaces, upcast) if planned is not None else None
            )
        return self.programs[key]

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
        return self._number(quantity)

    def _number(self, quantity: Quantity) -> Any:
        assert not isinstance(quantity, Formula)
        value = quantity.at(self.step_count, self.images)
        if is_static(quantity) or isinstance(quantity, Constant):
            return value
        # By way of float64: a number too large for float32 becomes infinite there, and is reported where it matters.
        return torch.full((), value, device=self.device, dtype=torch.float64).to(self.dtype)

    def _update(self, program: Program, outcome: Outcome) -> None:
        for phase in program.plan.running:
            owner = phase.name if phase.spec.optimizer else ""
            slots = [self.slots[owner, part] for part in phase.spec.train]
            rates = [outcome.rates[phase.name][part] for part in phase.spec.train]
            update(slots, outcome.gradients[phase.name], rates)
            for part in phase.spec.train:
                if part in self.system.constraints:
                    self.system.constraints[part].apply(self.modules[part])
        # All next values are known before any state changes, and one may be another's old value itself.
        for name, value in {name: value.clone() for name, value in outcome.states.items()}.items():
            self.states[name].copy_(value)

    def can_share(self, node: Node) -> bool:
        """Whether a call may share a pass with others of its part: one batched tensor in, samples kept independent,
        and weights, without which joining the batches costs more than it saves."""
        name = node.callee[0]
        part, spaces = self.wiring.parts[name], [self.wiring.spaces.get(arg) for arg in node.args]
        if len(spaces) != 1 or spaces[0] is None or not part.independent or part.stochastic:
            return False
        plain = spaces[0].batched and spaces[0].kind not in ("posterior", "record")
        return plain and next(self.modules[name].parameters(), None) is not None

    def monitored(self) -> dict[str, float]:
        """The values of ``[monitor]`` on fresh draws, in evaluation mode, batch means."""
        nodes = self.wiring.monitor
        if not nodes:
            return {}
        data = _Data(self, 0, {}, self.positions)

        def value(node: Node) -> Any:
            kind, name = node.source
            return data.value(name) if kind == "data" else self.source(kind, name, "monitor")

        self.system.eval()
        try:
            found = evaluate(list(nodes.values()), self.modules, self.wiring.spaces, value)
        finally:
            self.system.train()
        return {name: float(torch.as_tensor(value).double().mean()) for name, value in zip(nodes, found, strict=True)}


@attrs.define
class _Data:
    """Batches of one execution: the step's own, or fresh ones for later repeats and for ``per = "phase"``."""

    training: Training
    repeat: int
    fetched: dict[str, Any]
    bases: abc.Mapping[str, int]
    mine: dict[str, Any] = attrs.field(factory=dict)

    def value(self, name: str) -> Any:
        for source, batches in self.training.data.items():
            if name not in batches.samples.spec.gives:
                continue
            fresh = self._fresh(batches)
            known = self.mine if fresh else self.fetched
            if name not in known:
                at = self.training.positions[source] if fresh else self.bases[source]
                known.update(self._laid_out(batches.at(at)))
            return known[name]
        raise LatentkitError(f"no data source is open for '{name}', and it was not injected")

    def finish(self) -> None:
        for source, batches in self.training.data.items():
            self.training.positions[source] += self._fresh(batches)

    def _fresh(self, batches: Batches) -> bool:
        return self.repeat > 0 or batches.samples.spec.per == "phase"

    def _laid_out(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        if not self.training.settings.channels_last:
            return values
        return {
            name: value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value
            for name, value in values.items()
        }


def optimizer_of(components: Components, spec: OptimizerSpec, owner: str) -> Optimizer:
    """The configured optimizer.

    Raises:
        RecipeError: unknown, or an option that it does not have.
    """
    from latentkit.errors import RecipeError

    path = ("phase", owner, "optimizer") if owner else ("optimizer",)
    found = components.configure(spec, ("optimizer",), path, Optimizer)  # type: ignore[type-abstract]
    if found is None:
        raise RecipeError(components.problems)
    return found


def at_time(prior: Prior, scalars: abc.Mapping[str, Timed], step: int, images: int) -> Prior:
    """The prior with its schedules, and the scalars that its options name, as the numbers that they are now."""
    options = {field.name: getattr(prior, field.name) for field in attrs.fields(type(prior))}
    timed = {
        name: scalars[value.text] if isinstance(value, Formula) else value
        for name, value in options.items()
        if isinstance(value, Ramp | Stairs | Formula)
    }
    if not timed:
        return prior
    return attrs.evolve(prior, **{name: Constant(value.at(step, images)) for name, value in timed.items()})


def drawn(draw: Draw, batch: int, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    """One draw for a batch; drawn in float32 so that every precision sees the same numbers."""
    count = round(batch * draw.share)
    prior: Prior = draw.prior
    dims = () if draw.row else tuple(dim for dim in draw.space.dims if isinstance(dim, int))
    value = prior.draw((count, *dims), generator)
    return value.to(dtype) if value.is_floating_point() else value
