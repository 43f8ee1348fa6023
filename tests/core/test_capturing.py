"""Captured executions, with a stand-in for the GPU's graphs: what is recorded is done again at each replay."""

from __future__ import annotations

import copy
from collections import abc

import attrs
import pytest
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from latentkit.engine.capturing import WARM, Body, Capturer
from latentkit.engine.outcome import Outcome
from latentkit.engine.training import Training
from latentkit.errors import LatentkitError, LatentkitWarning
from latentkit.optimizers import Adam, LreqAdam, RMSprop
from latentkit.settings import Settings

Start = abc.Callable[..., Training]
STEPS = 6


class Recorder:
    """Records as a GPU does: nothing is done meanwhile, and a replay reads and writes the same memory again."""

    def __init__(self) -> None:
        self.recorded = self.replayed = 0

    def __call__(self, body: Body) -> Body:
        self.recorded += 1
        known: list[Outcome] = []

        def replay() -> Outcome:
            self.replayed += 1
            found = body()
            if not known:
                known.append(attrs.evolve(found, **pytree.tree_map(torch.clone, results(found))))
            pairs = zip(pytree.tree_leaves(results(known[0])), pytree.tree_leaves(results(found)), strict=True)
            for mine, theirs in pairs:
                mine.copy_(theirs)
            return known[0]

        return replay


def results(outcome: Outcome) -> dict[str, object]:
    return {"terms": outcome.terms, "kept": outcome.kept}


def captured(training: Training) -> Recorder:
    recorder = Recorder()
    executor = training.executor
    executor.capturer = Capturer(executor.buckets, executor.perform, recorder)
    return recorder


def weights(training: Training) -> dict[str, Tensor]:
    parts = {name: part.state_dict() for name, part in training.modules.items()}
    return {f"{name}.{key}": value for name, part in parts.items() for key, value in part.items()} | training.states


@pytest.mark.parametrize(
    "system", ["alae-mlp", "beta-vae-capacity", "gan-r1-lazy", "introvae", "ogan", "roth", "stylealae", "vampprior"]
)
def test_a_captured_training_is_the_training(system: str, start: Start) -> None:
    plain, again = start(system, precision="float64"), start(system, precision="float64")
    recorder = captured(again)
    for _ in range(STEPS):
        mine, theirs = plain.step(), again.step()
        assert mine.keys() == theirs.keys()
        assert all(torch.allclose(mine[key], theirs[key], rtol=1e-6, atol=1e-9) for key in mine)
    assert recorder.recorded
    assert recorder.replayed >= recorder.recorded * (STEPS - WARM) // 2
    after, there = weights(plain), weights(again)
    assert all(torch.allclose(after[key], there[key], rtol=1e-6, atol=1e-9) for key in after)
    for key, slot in plain.slots.items():
        assert slot.steps == again.slots[key].steps


def test_what_a_step_returned_stays_when_the_next_one_is_replayed(start: Start) -> None:
    training = start("vae")
    captured(training)
    for _ in range(WARM):
        training.step()
    first = training.step()
    noted = copy.deepcopy(first)
    training.step()
    assert first == noted


def test_values_of_other_sizes_run_as_they_are(start: Start) -> None:
    plain, again = start("vae"), start("vae")
    recorder = captured(again)
    for training in (plain, again):
        for _ in range(WARM + 1):
            training.step()
    few = {"elbo": {"x": torch.rand(3, 1, 8, 8), "eps": torch.randn(3, plain.wiring.draws["eps"].shape(3)[1])}}
    mine, theirs = plain.step(few), again.step(few)
    assert recorder.replayed == 1
    assert all(torch.allclose(mine[key], theirs[key]) for key in mine)


def test_parameters_that_no_longer_have_one_count_are_captured_anew(start: Start) -> None:
    plain, again = start("vae"), start("vae")
    recorder = captured(again)
    for training in (plain, again):
        for _ in range(WARM + 1):
            training.step()
        training.slots["", "E"].steps[0] = 40
        for _ in range(WARM + 2):
            training.step()
    assert recorder.recorded == 2
    after, there = weights(plain), weights(again)
    assert all(torch.allclose(after[key], there[key], rtol=1e-5, atol=1e-7) for key in after)


def test_an_optimizer_that_counts_in_python_runs_as_it_is_and_is_told(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = start("vae")
    captured(training)
    monkeypatch.setattr(Adam, "capturable", False)
    for _ in range(WARM):
        training.step()
    with pytest.warns(LatentkitWarning, match="phase 'elbo' is not captured, and runs as it is: optimizer Adam counts"):
        training.step()
    training.step()  # told once


@pytest.mark.parametrize("optimizer", [Adam(), LreqAdam(), LreqAdam(beta2=0.0), RMSprop()])
def test_a_count_on_the_device_updates_as_a_number_does(optimizer: Adam | LreqAdam | RMSprop) -> None:
    torch.manual_seed(0)
    start, slots = (
        torch.randn(5, dtype=torch.float64),
        {name: torch.rand(5, dtype=torch.float64) for name in optimizer.slots},
    )
    for step in (1, 2, 100_000):
        found = []
        for count in (step, torch.tensor(float(step))):
            parameter, state = start.clone(), {name: [value.clone()] for name, value in slots.items()}
            optimizer.update([parameter], [torch.arange(5, dtype=torch.float64)], state, count, 0.01)  # type: ignore[arg-type]
            found.append(parameter)
        torch.testing.assert_close(*found, rtol=1e-6, atol=1e-9)


def test_launches_are_captured_on_a_gpu_only() -> None:
    with pytest.raises(LatentkitError, match="--capture: launches are captured on a GPU only, and the device is cpu"):
        Settings(capture=True).torch_device()
    assert Settings(capture=True, threads=1).told() == "cpu, 1 thread, float32, captured"
