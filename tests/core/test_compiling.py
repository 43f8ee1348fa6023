"""A compiled execution computes what the execution computes, and what cannot be compiled runs as it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections import abc
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import latentkit as lk
from latentkit._building import source_of
from latentkit.engine import executing
from latentkit.engine.compiling import Backend, Compiler, as_traced, inductor
from latentkit.engine.outcome import Outcome
from latentkit.engine.training import Training
from latentkit.errors import LatentkitWarning
from latentkit.registry.manager import Registry, default_registry
from latentkit.runs.course import Course
from latentkit.settings import Settings

Start = abc.Callable[..., Training]
SYSTEMS = sorted(path.stem for path in (Path(__file__).parent / "systems").glob("*.toml"))
FROM_FILES = ("biggan-128", "gaia-128", "stylealae-bedroom", "stylealae-celeba128", "stylealae-celebahq256",
              "stylealae-ffhq", "stylealae-mnist")  # fmt: skip
"""The same recipes as others, on pictures that are not here."""
AE = {"parts.E.channels_base": 4, "parts.G.channels_base": 4, "train.batch": 8, "train.log_every": 1,
      "data.count": 64, "data.resolution": 8}  # fmt: skip


def compiled(training: Training, backend: Backend, joined: bool = False) -> Training:
    update_of = training.executor.joined if joined else lambda _: None
    training.executor.compiler = Compiler(training.settings.autocast, training.world, backend, update_of)
    return training


def outcomes(training: Training, steps: int) -> list[Outcome]:
    """Of all executions."""
    found: list[Outcome] = []
    update = training.executor.update

    def noted(program: Any, outcome: Outcome, updates: Any) -> None:
        found.append(outcome)
        update(program, outcome, updates)

    training.executor.update = noted  # type: ignore[method-assign]
    for _ in range(steps):
        training.step()
    return found


def tensors(outcome: Outcome) -> dict[str, Tensor]:
    found = {"/".join(key): value for key, value in outcome.terms.items()}
    for phase, gradients in outcome.gradients.items():
        found |= {f"{phase}/{at}": gradient for at, gradient in enumerate(gradients) if gradient is not None}
    return found


def weights(training: Training) -> dict[str, Tensor]:
    parts = {name: part.state_dict() for name, part in training.modules.items()}
    return {f"{name}.{key}": value for name, part in parts.items() for key, value in part.items()} | training.states


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_traced_graph_of_a_system_computes_it_to_the_bit(system: str, start: Start) -> None:
    plain, traced = start(system), compiled(start(system), as_traced)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pairs = list(zip(outcomes(plain, 3), outcomes(traced, 3), strict=True))
    for one, other in pairs:
        mine, theirs = tensors(one), tensors(other)
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[key], theirs[key]) for key in mine)
    assert traced.executor.compiler is not None
    assert all(traced.executor.compiler.known.values())
    after, there = weights(plain), weights(traced)
    assert all(torch.equal(after[key], there[key]) for key in after)


@pytest.mark.parametrize(
    "system", ["alae-mlp", "beta-vae-capacity", "gan-r1-lazy", "introvae", "ogan", "roth", "stylealae", "vampprior"]
)
def test_a_graph_that_updates_too_trains_as_one_that_does_not(system: str, start: Start) -> None:
    plain, traced = start(system, precision="float64"), compiled(start(system, precision="float64"), as_traced, True)
    for _ in range(4):
        mine, theirs = plain.step(), traced.step()
        assert mine.keys() == theirs.keys()
        assert all(torch.allclose(mine[key], theirs[key], rtol=1e-12, atol=1e-14) for key in mine)
    compiler = traced.executor.compiler
    assert compiler is not None
    assert all(found is not None and found.traced.update is not None for found in compiler.known.values())
    after, there = weights(plain), weights(traced)
    assert all(torch.allclose(after[key], there[key], rtol=1e-11, atol=1e-13) for key in after)
    for key, slot in plain.slots.items():
        assert slot.steps == traced.slots[key].steps
        assert all(torch.allclose(value, traced.slots[key].tensors()[name], rtol=1e-11, atol=1e-13)
                   for name, value in slot.tensors().items())  # fmt: skip


def test_code_for_this_machine_trains_as_the_program_does_and_is_kept_for_the_next_run(tmp_path: Path) -> None:
    ours = {key: value for key, value in os.environ.items() if not key.startswith("TORCHINDUCTOR")}
    done = subprocess.run(
        [sys.executable, Path(__file__).parent / "compiled.py"], capture_output=True, text=True, check=False,
        env={**ours, "XDG_CACHE_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    plain, coded, again = json.loads(done.stdout)
    assert [plain["compiled"], coded["compiled"], again["compiled"]] == [False, True, True]
    for mine, theirs in zip(plain["steps"], coded["steps"], strict=True):
        assert mine.keys() == theirs.keys()
        assert "draw/it" in mine
        assert len(mine) == 5  # one parameter, momentum, square and count
        for key in mine:
            assert theirs[key] == pytest.approx(mine[key], rel=1e-10)
    assert again["steps"] == coded["steps"]
    assert [coded["found"], again["found"]] == [0, 1]
    assert list((tmp_path / "latentkit/compiled/fxgraph").rglob("*"))


def test_a_part_that_looks_at_numbers_is_told_once_and_runs_as_it_is(start: Start) -> None:
    plain, traced = start("vae"), compiled(start("vae"), as_traced)
    for training in (plain, traced):
        encode = training.modules["E"]
        encode.register_forward_hook(
            lambda module, given, result: result if float(result[0].detach().sum()) < 1e9 else None
        )
    with pytest.warns(LatentkitWarning) as told:
        found = outcomes(traced, 2)
    (message,) = [str(warning.message) for warning in told]
    assert message.startswith("phase 'elbo' is not compiled, and runs as it is: ")
    assert "data-dependent" in message.lower() or "DataDependent" in message
    for one, other in zip(outcomes(plain, 2), found, strict=True):
        mine, theirs = tensors(one), tensors(other)
        assert all(torch.equal(mine[key], theirs[key]) for key in mine)


def test_a_part_that_keeps_a_tensor_beside_its_buffers_is_not_compiled(start: Start) -> None:
    training = compiled(start("vae"), as_traced)
    encode = training.modules["E"]

    def keep(module: torch.nn.Module, given: tuple[Tensor, ...], result: Any) -> None:
        module.seen = result[0].detach()

    encode.register_forward_hook(keep)
    with pytest.warns(LatentkitWarning, match="part 'E' sets seen, a tensor that is no buffer, while it computes"):
        training.step()
    assert type(encode.seen) is Tensor


def test_values_of_other_sizes_run_as_they_are(start: Start) -> None:
    plain, traced = start("vae"), compiled(start("vae"), as_traced)
    for training in (plain, traced):
        training.step()
    few = {"elbo": {"x": torch.rand(3, 1, 8, 8), "eps": torch.randn(3, plain.wiring.draws["eps"].shape(3)[1])}}
    mine, theirs = plain.step(few), traced.step(few)
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that are compiled are only traced."""
    monkeypatch.setattr(executing, "Compiler", lambda *given: Compiler(*given[:2], as_traced, given[3]))


@pytest.mark.usefixtures("quickly")
def test_a_compiled_run_is_recorded_and_continued_as_one(tmp_path: Path) -> None:
    straight = lk.train("ae", tmp_path / "a", steps=4, overrides=AE, compile=True)
    lk.train("ae", tmp_path / "b", steps=2, overrides=AE, compile=True)
    assert json.loads((tmp_path / "b/state.json").read_text())["settings"]["compile"] is True
    continued = lk.train(None, tmp_path / "b", steps=4, resume=True)
    assert json.loads((tmp_path / "b/state.json").read_text())["settings"]["compile"] is True
    losses = [[line["reconstruct.data"] for line in run.metrics] for run in (straight, continued)]
    assert len(losses[0]) == 4
    assert losses[0] == losses[1]


@pytest.mark.usefixtures("quickly")
def test_another_setting_than_the_runs_own_is_said_aloud(tmp_path: Path) -> None:
    lk.train("ae", tmp_path / "a", steps=1, overrides=AE, compile=True, threads=1)
    said: list[str] = []
    lk.train(
        None, tmp_path / "a", steps=2, resume=True, compile=False, threads=1, precision="bfloat16", say=said.append
    )
    assert "compile off, where the run had on" in said
    assert "precision bfloat16, where the run had float32" in said
    assert not [line for line in said if line.startswith("threads")]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(lk.recipes()) - set(FROM_FILES)))
def test_the_code_of_a_shipped_recipe_has_its_gradients(
    name: str, narrow: abc.Callable[..., dict[str, object]]
) -> None:
    registry = default_registry()
    course = Course.of(source_of(name, narrow(name), registry), registry)
    registry.activate(course.components)

    def gradients(coded: bool = False, **settings: Any) -> list[dict[str, Tensor]]:
        training = _last_stage(course, registry, Settings(**settings))
        if coded:
            compiled(training, inductor)
        found = [tensors(outcome) for outcome in outcomes(training, 1)]
        compiler = training.executor.compiler
        assert compiler is None or all(compiler.known.values())
        return found

    exact = gradients(precision="float64")
    double = _furthest(gradients(True, precision="float64"), exact)
    plain, coded = (_furthest(gradients(on), exact) for on in (False, True))
    print(f"\n{name}: float64 {double:.1e}; float32 {coded:.1e}, uncompiled {plain:.1e}")
    assert double <= 1e-10
    # In float32 what is compiled may round otherwise, but not more.
    assert coded <= max(1e-5, 3 * plain)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["alae-mlp", "ogan", "stylealae-digits", "vae", "wgan"])
def test_the_code_of_a_shipped_recipe_trains_as_it_does(
    name: str, narrow: abc.Callable[..., dict[str, object]]
) -> None:
    registry = default_registry()
    course = Course.of(source_of(name, narrow(name), registry), registry)
    registry.activate(course.components)
    plain, coded = (_last_stage(course, registry, Settings(precision="float64", compile=on)) for on in (False, True))
    for _ in range(3):
        plain.step()
        coded.step()
    mine, theirs = weights(plain), weights(coded)
    nil = _without_gradient(plain)
    far = {key: float((mine[key].double() - theirs[key].double()).abs().max()) for key in mine if mine[key].numel()}
    worst = max(far.keys() - nil, key=far.__getitem__)
    print(f"\n{name}: {far[worst]:.1e} ({worst}); without gradient: {sorted(nil)}")
    assert far[worst] <= 1e-9
    assert all(key.endswith("bias") for key in nil)
    assert all(slot.steps == coded.slots[key].steps for key, slot in plain.slots.items())


def _without_gradient(training: Training) -> set[str]:
    """Parameters whose gradients are rounding of zero, as of a bias before a normalisation; Adam makes steps of it."""
    found = set()
    for (_, part), slot in training.slots.items():
        sizes = [float(square.max()) ** 0.5 for square in slot.slots["square"]]
        found |= {f"{part}.{name}" for name, size in zip(slot.names, sizes, strict=True)
                  if 0 < size <= 1e-12 * max(sizes)}  # fmt: skip
    return found


def _furthest(found: list[dict[str, Tensor]], exact: list[dict[str, Tensor]]) -> float:
    """The largest difference of a term or gradient, over the largest gradient of its execution."""
    apart = []
    for mine, theirs in zip(found, exact, strict=True):
        assert mine.keys() == theirs.keys()
        scale = max(float(value.abs().max()) for key, value in theirs.items() if key.partition("/")[2].isdecimal())
        apart += [float((mine[key].double() - theirs[key]).abs().max()) / max(scale, float(theirs[key].abs().max()))
                  for key in mine]  # fmt: skip
    return max(apart)


def _last_stage(course: Course, registry: Registry, settings: Settings) -> Training:
    index = len(course.wirings) - 1
    return Training(course.wirings[index], registry, course.samples(index), settings)
