"""The published schedules, epoch by epoch: level, resolution, fading, resets, batch and rate, read from the recipes.

A row of the file is an epoch: its number, level, resolution, whether it fades in, whether optimizers start anew, global
batch, batch of one GPU, rate, and the blend at its start, a quarter, a half and three quarters of it.
"""

from __future__ import annotations

import re
from collections import abc
from typing import Any

import pytest
from torch import Tensor

from latentkit._building import source_of
from latentkit.recipe.quantities import read_quantity
from latentkit.recipe.staging import Stage, stages

Values = dict[str, Tensor]
Golden = abc.Callable[[str], Values]
RECIPES = {
    "ffhq": "stylealae-ffhq", "celeba-hq256": "stylealae-celebahq256", "bedroom": "stylealae-bedroom",
    "celeba": "stylealae-celeba128", "mnist": "stylealae-mnist",
}  # fmt: skip
IMAGES = {"ffhq": 60000, "celeba-hq256": 29000, "bedroom": 758260, "celeba": 182637, "mnist": 60000}
"""Of an epoch, as published."""


class Course:
    """A recipe's stages on the clock of images, as published: without rounding to whole batches."""

    def __init__(self, recipe: str, gpus: int) -> None:
        overrides = {"scalars.gpus": gpus} if "gpus" in str(source_of(recipe).tables["scalars"]) else {}
        source = source_of(recipe, overrides)
        self.tables: list[dict[str, Any]] = source.tables["stage"]  # type: ignore[assignment]
        self.stages: tuple[Stage, ...] = stages(source)
        self.starts = [sum(table["images"] for table in self.tables[:at]) for at in range(len(self.tables))]

    def at(self, images: float) -> int:
        return max(at for at, start in enumerate(self.starts) if start <= images)

    def value(self, stage: int, *path: str) -> Any:
        found: Any = self.stages[stage].source.tables
        for key in path:
            found = found[key]
        return found

    def blend(self, images: float) -> float:
        stage = self.at(images)
        given = self.tables[stage]["set"].get("scalars.blend", 1)
        seen = images - self.starts[stage]
        return float(read_quantity(given, formula=False).at(0, seen) if not isinstance(given, int) else given)  # type: ignore[union-attr,arg-type]


@pytest.mark.parametrize("gpus", [8, 1])
@pytest.mark.parametrize("config", sorted(RECIPES))
def test_the_recipe_follows_the_published_schedule(config: str, gpus: int, golden: Golden) -> None:
    rows = golden("alae_misc")[f"sched.{config}.gpu{gpus}"]
    course, epoch = Course(RECIPES[config], gpus), IMAGES[config]
    assert sum(table["images"] for table in course.tables) == epoch * len(rows)
    for row in rows.tolist():
        number, level, resolution, fades, anew, batch, _, rate, *blends = row
        start = number * epoch
        stage = course.at(start)
        assert course.value(stage, "data", "resolution") == resolution == 4 * 2**level
        assert isinstance(course.value(stage, "scalars", "blend"), dict) == bool(fades)
        assert (course.starts[stage] == start and "optimizer" in course.stages[stage].reset) == bool(anew)
        assert course.value(stage, "train", "batch") == batch
        assert course.value(stage, "optimizer", "lr") == pytest.approx(rate)
        found = [course.blend(start + quarter * epoch // 4) for quarter in range(4)]  # whole images
        assert found == pytest.approx(blends, abs=1e-9)


def test_the_mlp_form_has_one_stage_and_one_rate(golden: Golden) -> None:
    (stage,) = stages(source_of("alae-mlp"))
    tables: Any = stage.source.tables
    for gpus in (1, 8):
        rows = golden("alae_misc")[f"sched.mnist_fc.gpu{gpus}"]
        assert {tuple(row[1:5]) for row in rows.tolist()} == {(3.0, 32.0, 0.0, 0.0)}  # always the top level, no reset
        (rate,) = {row[7] for row in rows.tolist()}
        assert rate == pytest.approx(tables["optimizer"]["lr"])
        assert {row[6] for row in rows.tolist()} == {float(tables["train"]["batch"])}  # of one GPU
        assert {blend for row in rows.tolist() for blend in row[8:]} == {1.0}


def test_no_schedule_of_the_file_is_left_out(golden: Golden) -> None:
    found = {match[1] for key in golden("alae_misc") if (match := re.fullmatch(r"sched\.(.+)\.gpu\d", key))}
    assert found == {*RECIPES, "mnist_fc"}
