"""What every recipe promises."""

from __future__ import annotations

import functools
import itertools
from collections import abc
from typing import Any

import torch
from torch import Tensor

import latentkit as lk
from latentkit._building import wired
from latentkit.engine.training import Training
from latentkit.proof.synthetic import Synthetic
from latentkit.recipe.source import Source
from latentkit.testing.checks import Nonconforming, NotExercised, require, said
from latentkit.testing.narrowing import HALF, narrow
from latentkit.testing.roles import methods_work, roles_are_evaluated
from latentkit.testing.trials import Trial, tried
from latentkit.testing.workplace import Workplace, seeded

Weights = dict[str, list[Tensor]]


class Bench:
    """A recipe under test.

    Attributes:
        workplace: of its plugin.
        name: the recipe's.
    """

    def __init__(self, workplace: Workplace, name: str) -> None:
        self.workplace, self.name = workplace, name

    @functools.cached_property
    def sound(self) -> lk.Report:
        """What a check of the recipe says as it is, with the overrides of its example."""
        return lk.check(self.name, self.overrides, registry=self.workplace.registry)

    @property
    def overrides(self) -> dict[str, object]:
        """What its example overrides; nothing, mostly."""
        return dict(self.workplace.example(self.name).options)

    def whole(self) -> Source:
        """The recipe in its own sizes.

        Raises:
            NotExercised: it is not sound.
        """
        if not self.sound.ok:
            raise NotExercised("it has problems: see [check]")
        return lk.read(self.name, self.overrides, registry=self.workplace.registry)

    def source(self) -> Source:
        """The recipe, made small.

        Raises:
            NotExercised: it is not sound, or cannot be made small.
        """
        self.whole()
        return self._small

    @functools.cached_property
    def _small(self) -> Source:
        return narrow(self.workplace, self.name)

    @functools.cached_property
    def trial(self) -> Trial:
        """One run to its end, and the same continued from its middle."""
        return tried(self.source(), self.workplace)

    def run(self) -> Trial:
        """The same, for those who look at what it wrote.

        Raises:
            NotExercised: training fails.
        """
        if self.trial.fault:
            raise NotExercised(f"{self.trial.fault}: see [trains]")
        return self.trial


def checks(workplace: Workplace, name: str) -> dict[str, abc.Callable[[], None]]:
    """The properties of one recipe, ready to be looked at."""
    bench = Bench(workplace, name)
    found = {
        "check": passes_its_check, "explains": explains, "roles run": roles_run,
        "phases train their own parts": phases_train_their_own_parts, "trains": trains,
        "continues exactly": continues_exactly, "writes card and pictures": writes_what_a_run_has,
    }  # fmt: skip
    return {name: functools.partial(look, bench) for name, look in found.items()}


def passes_its_check(bench: Bench) -> None:
    """``latentkit check`` has nothing against it, as it is; nor, made small, after a whole step with real numbers."""
    problems = "\n".join(map(str, bench.sound.problems))
    require(bench.sound.ok, problems)
    bench.source()


def explains(bench: Bench) -> None:
    """``latentkit explain`` names each part and phase; and it draws a flowchart."""
    source, registry = bench.whole(), bench.workplace.registry
    wiring = wired(source, None, registry)
    for mermaid in (False, True):
        try:
            text = lk.explain(source, mermaid=mermaid, registry=registry)
        except Exception as error:
            raise Nonconforming(f"explain raises {said(error)}") from error
        names = [] if mermaid else [*wiring.parts, *(phase.name for phase in wiring.phases)]
        lost = [name for name in names if name not in text]
        require(not lost, f"explain does not name {', '.join(lost)}")


def roles_run(bench: Bench) -> None:
    """Each role of ``[inference]`` gives finite values of its space, and the methods of a model work."""
    model = lk.compose(bench.source(), registry=bench.workplace.registry)
    roles_are_evaluated(model)
    methods_work(model)


def phases_train_their_own_parts(bench: Bench) -> None:
    """In each execution only weights of the parts that it trains change."""
    source, registry = bench.source(), bench.workplace.registry
    wiring = wired(source, None, registry)
    training = Training(wiring, registry)
    synthetic = Synthetic(wiring, training.batch, torch.device("cpu"), torch.float32)
    data = {name: synthetic.of_space(space) for name, space in wiring.data_spaces.items()}
    seen: list[tuple[set[str], Weights]] = []

    def watch(program: Any, *_: Any) -> None:
        seen.append(({part for phase in program.plan.running for part in phase.spec.train}, _weights(training)))

    training.watch = watch
    with seeded():
        for _ in range(2 * HALF):
            try:
                training.step({phase.name: data for phase in wiring.phases})
            except Exception as error:
                raise NotExercised(f"a step raises {said(error)}: see [trains]") from error
    seen.append((set(), _weights(training)))
    for (trained, before), (_, after) in itertools.pairwise(seen):
        changed = {part for part, weights in before.items() if not all(map(torch.equal, weights, after[part]))}
        leaked = ", ".join(sorted(changed - trained))
        require(not leaked, f"weights of {leaked} change while {', '.join(sorted(trained)) or 'nothing'} is trained")


def _weights(training: Training) -> Weights:
    return {name: [p.detach().clone() for p in part.parameters()] for name, part in training.modules.items()}


def trains(bench: Bench) -> None:
    """A short run ends, with finite losses."""
    require(not bench.trial.fault, bench.trial.fault)


def continues_exactly(bench: Bench) -> None:
    """A run that is continued from its middle ends as the one in one go, bit for bit."""
    unequal = bench.run().unequal
    require(not unequal, f"a continued run differs in {', '.join(unequal)}")


def writes_what_a_run_has(bench: Bench) -> None:
    """Card, recipe, figures, weights, and pictures of what the roles can show."""
    missing = bench.run().missing
    require(not missing, f"a run has not written {', '.join(missing)}")
