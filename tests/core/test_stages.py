"""Stages: a recipe whose numbers change while it trains."""

from __future__ import annotations

import json
from collections import abc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import latentkit as lk
from latentkit._building import source_of
from latentkit.engine.samples import Samples, at_resolution
from latentkit.interfaces import Table
from latentkit.recipe.schema import DataSpec
from latentkit.recipe.staging import stages
from latentkit.registry.manager import default_registry
from latentkit.runs.course import Course
from latentkit.runs.files import read_tensors
from latentkit.settings import Settings

Tables = dict[str, Any]
GROWING: Tables = {
    "extends": "stylealae-digits",
    "data": {"count": 60},
    "draw": {"z": {"dim": 6}},
    "parts": {"G": {"channels_base": 2, "max_channels": 4}, "E": {"channels_base": 2, "max_channels": 4}},
    "train": {"batch": 8, "steps": 10, "log_every": 1, "checkpoint_every": 100},
    "stage": [
        {"steps": 2, "set": {"data.resolution": 4}},
        {
            "images": 20, "reset": ["optimizer"],
            "set": {"data.resolution": 8, "scalars": {"blend": {"from": 0.0, "to": 1.0, "over": 3}}},
        },
        {"steps": 2, "set": {"scalars.blend": 1, "optimizer.lr": 5e-4}},
        {"set": {"data": {"resolution": 16}, "train": {"batch": 6}}},
    ],
}  # fmt: skip


def tables(**more: Any) -> Tables:
    return {**GROWING, **more}


def plain(stage: abc.Sequence[Tables], **train: Any) -> Tables:
    return {"extends": "alae-mlp", "train": {"batch": 10, **train}, "stage": list(stage)}


def test_what_a_stage_sets_holds_until_a_later_one_sets_it_again() -> None:
    found = stages(source_of(tables()))
    assert [stage.source.tables["data"]["resolution"] for stage in found] == [4, 8, 8, 16]  # type: ignore[index]
    assert [stage.source.tables["train"]["batch"] for stage in found] == [8, 8, 8, 6]  # type: ignore[index]
    assert [stage.source.tables["optimizer"]["lr"] for stage in found] == [0.002, 0.002, 5e-4, 5e-4]  # type: ignore[index]
    assert [stage.reset for stage in found] == [(), ("optimizer",), (), ()]


def test_stages_follow_each_other_in_steps_and_in_whole_batches_of_images() -> None:
    found = stages(source_of(tables()))
    assert [(stage.start, stage.steps, stage.start_images) for stage in found] == [
        (0, 2, 0), (2, 3, 16), (5, 2, 40), (7, None, 56),
    ]  # fmt: skip
    assert [stage.end for stage in found] == [2, 5, 7, float("inf")]


@pytest.mark.parametrize(("unit", "start"), [("steps", 4 + 1), ("images", 40 + 1)])
def test_schedules_of_a_stage_count_from_its_start(unit: str, start: int) -> None:
    ramp = {"from": 1.0, "to": 0.0, "over": 5, "start": 1, "unit": unit}
    steps = {"steps": [[0, 0.1], [1, 0.2]], "unit": unit}
    found = stages(source_of(plain([{"steps": 4}, {"steps": 6, "set": {"optimizer.lr": ramp}}], steps=10)))
    assert found[1].source.tables["optimizer"]["lr"]["start"] == start  # type: ignore[index]
    found = stages(source_of(plain([{"steps": 4}, {"steps": 6, "set": {"optimizer.lr": steps}}], steps=10)))
    assert found[1].source.tables["optimizer"]["lr"]["steps"] == [[start - 1, 0.1], [start, 0.2]]  # type: ignore[index]


def test_the_length_of_a_run_is_that_of_its_stages_unless_it_is_stated() -> None:
    made = plain([{"steps": 4}, {"images": 55}])
    made["remove"] = ["train.steps"]
    assert [stage.source.tables["train"]["steps"] for stage in stages(source_of(made))] == [10, 10]  # type: ignore[index]


@pytest.mark.parametrize(
    ("stage", "fact"),
    [
        ({"steps": 0}, "expected a whole number of at least 1, found 0"),
        ({"images": 2.5}, "expected a whole number of at least 1, found 2.5"),
        ({"steps": 3, "images": 3}, "has both images and steps"),
        ({"steps": 3, "sets": {}}, "unknown key"),
        ({"steps": 3, "set": 4}, "expected a table of dotted paths, found 4"),
        ({"steps": 3, "set": {"parts.G.use": "mlp.generator"}}, "a stage sets numbers and schedules, 'parts.G.use' is"),
        ({"steps": 3, "set": {"title.x": 1}}, "'title.x' leads through a value that is no table"),
        ({"steps": 3, "reset": ["weights"]}, "expected a list of 'optimizer', found"),
        ({}, "needs its length, either images or steps"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_stage_is_said_with_its_place(stage: Tables, fact: str) -> None:
    report = lk.check(plain([stage, {"steps": 2}], steps=10))
    assert not report.ok
    assert any(fact in problem.fact and "stage" in problem.where for problem in report.problems), report.problems


def test_what_is_no_table_of_stages_is_refused() -> None:
    report = lk.check({"extends": "alae-mlp", "stage": {"steps": 3}})
    assert [problem.fact for problem in report.problems] == ["expected tables [[stage]], found { steps = 3 }"]


def test_parts_whose_weights_would_change_are_named() -> None:
    report = lk.check(plain([{"steps": 2}, {"steps": 2, "set": {"data.resolution": 14}}], steps=4))
    (first, *_) = report.problems
    assert "in stage 2 its weight" in first.fact
    assert "stages share their weights" in first.fact


def test_a_fault_of_one_stage_names_it_and_the_legal_sizes() -> None:
    odd = {"steps": 2, "set": {"data.resolution": 12}}
    report = lk.check(tables(stage=[{"steps": 2, "set": {"data.resolution": 4}}, odd]))
    assert not report.ok
    assert any("images of 4, 8, 16, 32; found 12" in problem.fact for problem in report.problems), report.problems


def test_weights_of_later_levels_are_no_finding_where_a_later_stage_trains_them() -> None:
    full = [{"steps": 2, "set": {"data.resolution": side, "scalars.blend": 0.5}} for side in (4, 8, 16, 32)]
    report = lk.check(tables(stage=full))
    assert report.ok
    assert not [text for text in report.warnings if "no term's gradient can arrive" in text]


def test_explain_lists_the_stages_and_what_they_change() -> None:
    lines = [line.split() for line in lk.explain(tables()).split("Stages\n", 1)[1].splitlines()]
    assert ["1", "from", "step", "0", "data.resolution", "=", "4"] in lines
    assert [
        "2",
        "from",
        "step",
        "2",
        "data.resolution",
        "=",
        "8,",
        "scalars.blend",
        "=",
        "0.0",
        "to",
        "1.0;",
        "optimizer",
        "anew",
    ] in lines
    assert "Stages" not in lk.explain("alae-mlp")


def run_of(path: Path, steps: int, **more: Any) -> Path:
    return lk.train(tables(**more), path, steps=steps).path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_of(tmp_path_factory.mktemp("whole") / "run", 10)


@pytest.mark.parametrize("cut", [2, 3, 6, 7])
def test_a_run_continues_exactly_in_any_stage_and_between_stages(cut: int, whole: Path, tmp_path: Path) -> None:
    run_of(tmp_path / "run", cut)
    lk.train(None, tmp_path / "run", steps=10, resume=True)
    mine, theirs = (read_tensors(path / "training.safetensors")[0] for path in (tmp_path / "run", whole))
    assert [key for key in theirs if not torch.equal(mine[key], theirs[key])] == []
    assert (tmp_path / "run/metrics.jsonl").read_text() == (whole / "metrics.jsonl").read_text()


def test_images_are_counted_with_the_batch_of_each_stage(whole: Path) -> None:
    lines = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert [line["images"] for line in lines] == [8, 16, 24, 32, 40, 48, 56, 62, 68, 74]


def test_a_model_has_the_size_of_the_stage_that_it_is_in(whole: Path, tmp_path: Path) -> None:
    assert lk.load(whole).sample(2).shape == (2, 1, 16, 16)
    assert lk.load(whole / "model.safetensors").sample(2).shape == (2, 1, 16, 16)
    early = run_of(tmp_path / "run", 2)
    for weights in ("average", "raw"):
        assert lk.load(early, weights=weights).sample(2).shape == (2, 1, 4, 4)  # type: ignore[arg-type]


def course() -> Course:
    return Course.of(source_of(tables()), default_registry())


@pytest.mark.parametrize(("stage", "kept"), [(1, False), (2, True)])
def test_optimizers_start_anew_where_a_stage_says_so(stage: int, kept: bool) -> None:
    training = course().training(stage - 1, Settings())
    training.step()
    before = {key: slot.tensors() for key, slot in training.slots.items()}
    after = {key: slot.tensors() for key, slot in course().moved(training, stage).slots.items()}
    equal = [torch.equal(after[key][name], value) for key, mine in before.items() for name, value in mine.items()]
    assert all(equal) is kept


def test_weights_averages_and_states_go_on_into_the_next_stage() -> None:
    training = course().training(0, Settings())
    training.step()
    moved = course().moved(training, 1)
    for name, value in training.system.parts.state_dict().items():
        assert torch.equal(moved.system.parts.state_dict()[name], value)
    assert torch.equal(moved.states["w_avg"], training.states["w_avg"])
    assert float(moved.states["w_avg"].abs().sum()) > 0
    mine, theirs = (item.averages["slow"].tensors() for item in (moved, training))
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
    assert (moved.step_count, moved.images, moved.stage) == (1, 8, 1)


def test_another_batch_begins_with_the_next_epoch_and_the_same_one_goes_on() -> None:
    training = course().training(2, Settings())
    per_epoch = len(training.data["data"].samples.training) // 8
    training.positions["data"] = per_epoch + 1
    moved = course().moved(training, 3)
    assert moved.positions["data"] == 2 * (len(moved.data["data"].samples.training) // 6)
    training = course().training(1, Settings())
    training.positions["data"] = per_epoch + 1
    assert course().moved(training, 2).positions["data"] == per_epoch + 1


def test_smaller_images_are_means_of_blocks() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 8, 8), np.uint8)
    everything = np.arange(5)
    samples = Samples("data", DataSpec(use="sprites"), Table({"image": images}), everything, everything[:0])
    found = at_resolution(samples, samples.spec, 4, 4).table.fields["image"]
    expected = np.floor(images.reshape(5, 3, 4, 2, 4, 2).mean((3, 5)) + 0.5)
    assert np.array_equal(found, expected)
    assert at_resolution(samples, samples.spec, 8, 8).table.fields["image"] is images
