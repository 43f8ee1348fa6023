"""Figures of several seeds and settings: what is within seed noise, and what a shorter training is."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest

import latentkit as lk
from latentkit._building import wired

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import figures
from measuring.seeds import differences, table


def test_differences_are_judged_by_welchs_interval() -> None:
    runs = {
        "float32": [{"m": value} for value in (1.0, 1.1, 0.9, 1.05, 0.95)],
        "near": [{"m": value} for value in (1.02, 1.12, 0.92, 1.07, 0.97)],
        "far": [{"m": value} for value in (1.5, 1.6, 1.4, 1.55, 1.45)],
        "once": [{"m": 3.0}],
    }
    reference, near, far, once = differences("r", runs)
    assert (reference.mean, reference.seeds, reference.difference) == (pytest.approx(1.0), 5, 0.0)
    assert reference.deviation == pytest.approx(0.0790569)
    # Equal deviations s and five seeds: eight degrees of freedom, 2.306 s sqrt(2 / 5).
    assert (near.low, near.high) == (pytest.approx(0.02 - 0.1153, abs=1e-4), pytest.approx(0.02 + 0.1153, abs=1e-4))
    assert [near.within, far.within, once.within] == [True, False, True]
    assert math.isinf(once.high)
    shown = table([reference, near, far, once], {("r", "far"): 2.0})
    assert "| r | m | far | 1.5 ± 0.079 | 5 | +0.5 (+0.385 to +0.615) | **no** | 2.0 |" in shown
    assert "| r | m | once | 3 | 1 | +2 | one seed only | nan |" in shown
    assert "1 of 2 differences are beyond their interval of 95 %; by chance alone 0.1 would be." in shown


def test_figures_without_any_spread_differ_by_what_they_differ() -> None:
    _, same, other = differences(
        "r", {"float32": [{"m": 1.0}] * 2, "same": [{"m": 1.0}] * 2, "other": [{"m": 2.0}] * 2}
    )
    assert [same.within, other.within] == [True, False]


def test_a_shorter_training_has_shorter_stages_and_schedules() -> None:
    tables = figures.shortened(lk.read("stylealae-digits").tables, 0.1)
    assert tables["train"]["steps"] == 620
    assert [stage.get("images") for stage in tables["stage"]] == [2000, 3000, 3000, 5000, 5000, 5000, None]
    assert tables["stage"][1]["set"]["scalars.blend"]["over"] == 3000
    assert tables["train"]["batch"] == 32
    assert figures.shortened(lk.read("ogan").tables, 0.1)["optimizer"]["lr"]["over"] == 400
    assert wired(tables).recipe.train.steps == 620


def test_a_run_that_is_done_is_not_done_again(tmp_path: Path) -> None:
    task = figures.Task(recipe="ogan", setting="bfloat16 + channels-last", seed=3, budget=0.5, digits=tmp_path,
                        runs=tmp_path)  # fmt: skip
    assert task.out == tmp_path / "ogan-0.5/bfloat16-channels-last/seed-3"
    task.out.mkdir(parents=True)
    kept = {"figures": {"m": 1.0}, "seconds": 1.0}
    (task.out / figures.DONE).write_text(json.dumps(kept))
    assert figures.done(task) == kept
