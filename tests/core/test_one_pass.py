"""Calls that share a pass: where they may, and that the result is the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from latentkit._building import wired
from latentkit.engine.plan import active_terms, plan
from latentkit.engine.program import Program
from latentkit.engine.training import Training
from latentkit.registry.manager import default_registry
from latentkit.settings import Settings

ALAE: dict[str, object] = {"parts.E.hidden": 64, "parts.G.hidden": 64, "data.resolution": 8, "draw.z.dim": 6,
                           "phase.discriminate.loss.r1.every": 2}  # fmt: skip
OGAN: dict[str, object] = {"parts.E.channels_base": 4, "parts.G.channels_base": 4, "data.resolution": 8}
PLAIN = {"parts.E.normalization": "none", "parts.G.normalization": "none"}


def training(recipe: str, overrides: dict[str, object]) -> Training:
    return Training(wired(recipe, overrides), default_registry(), settings=Settings(precision="float64"), batch=4)


def calls(made: Training, part: str, phase: str) -> list[int]:
    """Batch sizes that a part is called with in the phases of two steps."""
    found: list[int] = []
    made.modules[part].register_forward_hook(lambda _m, args, _r: found.append(len(args[0])))
    counts = []
    made.watch = lambda program, _s, _o: counts.append((program.plan.phases[0].name, list(found))) or found.clear()  # type: ignore[func-returns-value]
    for _ in range(2):
        made.step({phase: {"x": torch.rand(4, 1, 8, 8, dtype=torch.float64)}})
    return [size for name, sizes in counts for size in [*sizes, 0] if name == phase]


def test_real_and_fake_are_one_pass_but_not_through_an_input_gradient() -> None:
    assert calls(training("alae-mlp", ALAE), "E", "discriminate") == [4, 4, 0, 8, 0]


@pytest.mark.parametrize("overrides", [OGAN, OGAN | PLAIN], ids=["batch norm", "without"])
def test_batches_are_kept_apart_where_they_couple_or_only_one_needs_a_gradient(overrides: dict[str, object]) -> None:
    assert calls(training("ogan", overrides), "E", "encode") == [4, 4, 0, 4, 4, 0]


def test_one_pass_gives_the_same_gradients() -> None:
    made = training("alae-mlp", ALAE)
    (phase,) = made.groups[0]
    terms = active_terms([phase], 1)
    values: dict[Any, Any] = {("data", "x"): torch.rand(4, 1, 8, 8, dtype=torch.float64)}
    outcomes = []
    for share in (True, False):
        planned = plan((phase,), terms, {}, lambda node, share=share: share and node.callee[0] in "ED")  # type: ignore[misc]
        assert any(len(unit) > 1 for unit in planned.units) is share
        given = {node.source: made.source(*node.source, phase.name) for node in planned.sources()
                 if node.source not in values}  # fmt: skip
        outcomes.append(Program(planned, made.modules, made.wiring.spaces)({**given, **values}))
    for mine, theirs in zip(*(outcome.gradients["discriminate"] for outcome in outcomes), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-14)
