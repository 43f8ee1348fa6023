"""The suite of benchmarks on a tiny system, and its comparison of two files with made-up numbers."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path

import attrs
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import accelerator
from measuring import comparing, loops, page, rows, runs, single, timed
from measuring.apart import Failed, apart
from measuring.contenders import built, contender
from measuring.limit import operations
from measuring.noise import Estimate, median_of
from measuring.resident import added
from measuring.rounds import block_steps
from measuring.rows import Results, Row
from measuring.systems import AGAIN, HAND, SYSTEMS, System
from measuring.variants import OF_A_RUN, changed

SIZES = {"data.resolution": 8, "data.count": 40, "train.batch": 8, "draw.z.dim": 4, "parts.E.hidden": 16,
         "parts.G.hidden": 16}  # fmt: skip
TINY = System(name="tiny", recipe="alae-mlp", loop=loops.alae, overrides=SIZES, changes=changed("z"))
LAZY = "R1 every 4 steps †"
PLAN = timed.Plan(rounds=2, seconds=0.001, rate_seconds=0.001, side=64)
MACHINE = {"cpu": "a CPU", "threads": 1, "device": "cpu", "torch": "2.0", "commit": "a" * 40}


def figure(setting: str, value: float, spread: float, measure: str = "time", system: str = "s") -> Row:
    found = Estimate(value=value, low=value / spread, high=value * spread)
    return rows.row(system, setting, measure, found, 1)


def results(*found: Row, **machine: object) -> Results:
    return Results(machine={**MACHINE, **machine}, asked={}, rows=found)


def test_a_tiny_system_is_measured_written_read_and_shown(tmp_path: Path) -> None:
    found = timed.timed(TINY, [AGAIN, "float32", LAZY], PLAN)
    by_key = {(row.setting, row.measure): row for row in found}
    assert set(by_key) == {(name, measure) for name in (HAND, AGAIN, "float32", LAZY) for measure in ("time", "limit")}
    assert by_key[HAND, "time"].value == by_key[HAND, "time"].low == by_key[HAND, "time"].high == 1
    mine = by_key["float32", "time"]
    theirs = by_key[HAND, "time"].details["ms of rounds"]
    ratios = [a / b for a, b in zip(mine.details["ms of rounds"], theirs, strict=True)]
    assert mine.value == pytest.approx(sum(ratios) / 2)
    assert by_key[LAZY, "time"].details["steps of a block"] % 4 == 0
    assert [by_key[name, "time"].details["changes"] for name in (HAND, "float32", LAZY)] == [False, False, True]
    limit = by_key["float32", "limit"]
    rates = limit.details["operations a second"]
    shares = [ms * rate / limit.details["operations"] / 1e3
              for ms, rate in zip(mine.details["ms of rounds"], rates, strict=True)]  # fmt: skip
    assert limit.value == pytest.approx(sum(shares) / 2)
    assert limit.value > 1
    kept = results(*found)
    rows.write(kept, tmp_path / "a.json")
    assert rows.read(tmp_path / "a.json") == kept
    shown = page.table(kept)
    assert f"| tiny | float32 | {mine.details['ms']:.1f} | {mine.value:.3f} |" in shown
    assert "Noise of tiny: the loop beside itself" in shown
    assert "† The recipe with options that change its mathematics" in shown


def test_operations_are_those_of_the_products() -> None:
    loop, mine = contender(TINY, HAND), contender(TINY, "float32")
    for item in (loop, mine):
        item.step()
    # The loop's backward pass also leaves a gradient at the images, which takes one product of the first layer.
    assert operations(loop) == operations(mine) + 2 * 8 * 64 * 16
    lazy = contender(TINY, LAZY)
    assert operations(lazy) < operations(mine)  # three steps of four without the input gradient


def test_a_start_has_parts_and_adds_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SYSTEMS, "tiny", TINY)
    for name in (HAND, "float32"):
        found = single.started(time.monotonic(), "tiny", name, "cpu", None)
        assert set(found["parts"]) <= set(single.PARTS)
        assert all(seconds >= 0 for seconds in found["parts"].values())
        assert len(found["ms"]) == single.STEPS
        assert found["notes"] == []
    assert found["parts"]["prove"] > 0


def test_added_memory_is_that_at_the_most() -> None:
    assert 30 < added(lambda: torch.ones(2**23).sum()) < 60  # 32 MiB, given back at the end
    assert added(lambda: None) < 4


def test_a_checkpoint_is_timed_in_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    before = [owner.__dict__[name] for owner, name in runs.TIMED.values()]
    found = runs.costs("alae-mlp", 4, 2, overrides=SIZES)
    assert (len(found.step), len(found.checkpoint)) == (4, 2)
    assert found.megabytes > 0
    assert before == [owner.__dict__[name] for owner, name in runs.TIMED.values()]


def test_what_fails_in_a_process_of_its_own_is_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Failed, match="single:nothing: ended with status 1"):
        apart("single:nothing", {})
    assert "has no attribute 'nothing'" in capfd.readouterr().err


def test_a_loop_makes_its_tensors_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules["baselines.ogan"].__dict__, "torch", torch)  # put back afterwards
    loop = built(loops.ogan({"data.count": 70}), "meta")
    assert loop.next_batch().device.type == "meta"  # type: ignore[attr-defined]
    module = sys.modules["baselines.ogan"].__dict__["torch"]
    assert module.randn(2).device.type == "meta"
    assert module.float32 is torch.float32


def test_every_system_has_its_settings_and_marks_what_changes_it() -> None:
    for system in SYSTEMS.values():
        assert set(OF_A_RUN) <= set(system.names)
        assert {name for name in system.variants if "†" in name} == set(system.changes)
        assert all(variant.changes for variant in system.changes.values())


def test_blocks_are_whole_periods() -> None:
    assert block_steps(10.0, 0.5, 1) == 50
    assert block_steps(10.0, 0.5, 16) == 48
    assert block_steps(1000.0, 0.5, 16) == 16


def test_intervals_hold_the_median() -> None:
    found = median_of([1.0, 1.1, 0.9, 1.0, 1.2, 1.0, 0.8, 1.0])
    assert 0.8 <= found.low <= found.value == 1.0 <= found.high <= 1.2
    few = median_of([1.0, 4.0])
    assert (few.low, few.value, few.high) == (0.5, 2.5, 8.0)
    once = median_of([3.0])
    assert (once.low, once.value, once.high) == (0.0, 3.0, math.inf)


def test_what_moved_by_more_than_the_noise_is_told() -> None:
    before = results(figure(AGAIN, 1.0, 1.01), figure("float32", 1.0, 1.01), figure("medium", 0.5, 1.01))
    after = results(figure(AGAIN, 1.0, 1.01), figure("float32", 1.015, 1.01), figure("medium", 0.4, 1.01))
    pairs, single_ = comparing.compared(before, after)
    assert [(pair.before.setting, pair.beyond) for pair in pairs] == [
        (AGAIN, False), ("float32", False), ("medium", True)
    ]  # fmt: skip
    assert single_ == []
    assert pairs[2].noise == pytest.approx(2 * math.log(1.01))  # four errors of one percent
    told = comparing.page(before, after)
    assert "1 of 3 figures moved" in told
    assert "| s | medium | time | 0.500 | 0.400 | 0.800 | ± 2.0% |" in told


def test_a_loop_that_differs_from_itself_hides_small_moves() -> None:
    before, after = (
        results(figure(AGAIN, 1.2, 1.01), figure("float32", value, 1.01)) for value in (1.0, 1.15)
    )  # fmt: skip
    assert [pair.beyond for pair in comparing.compared(before, after)[0]] == [False, False]
    other = [
        attrs.evolve(each, rows=(*each.rows, figure("float32", value, 1.01, "memory")))
        for each, value in ((before, 1.0), (after, 1.15))
    ]
    assert [pair.beyond for pair in comparing.compared(*other)[0]] == [False, False, True]  # memory is none of time


def test_figures_of_one_file_only_and_other_machines_are_told() -> None:
    before = results(figure("float32", 1.0, 1.01), figure("medium", 1.0, 1.01))
    after = results(figure("float32", 1.0, 1.01), torch="2.1")
    told = comparing.page(before, after)
    assert "torch: 2.0 -> 2.1" in told
    assert "0 of 1 figures moved" in told
    assert "1 figures are in one of the files only" in told


def test_a_figure_that_was_measured_once_is_not_judged() -> None:
    before, after = (results(rows.row("s", "float32", "start", median_of([value]), 1)) for value in (1.0, 9.0))
    assert not comparing.compared(before, after)[0][0].beyond
    assert "start: noise unknown (measured once)" in comparing.page(before, after)


def test_files_of_another_format_are_refused(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text('{"format": 0}')
    with pytest.raises(SystemExit, match="expected results of format 1, found 0"):
        rows.read(tmp_path / "old.json")


def test_the_script_for_accelerators_measures_what_works_and_says_why_the_rest_does_not(tmp_path: Path) -> None:
    system, *others = accelerator.systems(tiny=True)
    assert [other.name for other in others] == ["ogan-64", "stylealae-128"]
    asked = accelerator.parsed(["--device", "cpu", "--tiny", "--variants", "float32", "float32, captured"])
    hand, mine, captured = accelerator.measured(system, asked, end=math.inf)
    assert (hand["setting"], hand["to hand-written"]) == (HAND, 1.0)
    assert mine["images a second"] == pytest.approx(8e3 / (sum(mine["ms of rounds"]) / 2))
    assert captured["reason"].startswith("LatentkitError: --capture: launches are captured on a GPU only")
    assert "| alae-mlp | float32, captured | – | LatentkitError: --capture" in accelerator.table([hand, mine, captured])


def test_the_official_form_of_a_loop_goes_from_parameter_to_parameter() -> None:
    loop = accelerator.official(TINY.maker(HAND)())
    (group, *_) = loop.encoder_optimizer.adam.param_groups  # type: ignore[attr-defined]
    assert (group["fused"], group["foreach"]) == (False, False)
    before = loop.E.fc_1.weight.detach().clone()  # type: ignore[attr-defined]
    loop.step()
    assert not torch.equal(before, loop.E.fc_1.weight)  # type: ignore[attr-defined]
