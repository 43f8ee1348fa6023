"""Sprites whose factors go together by a known correlation, and the names of a source's columns."""

from __future__ import annotations

import hashlib
import math
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentkit.api import compose
from latentkit.data.copulas import correlated
from latentkit.data.folder import Folder
from latentkit.data.sprite_shapes import FACTORS
from latentkit.data.sprites import Pair, Sprites, factors
from latentkit.errors import DataError, RecipeError

COUNT = 20_000
PAIRS = (("x", "scale", 0.8), ("scale", "y", -0.3))
DIGEST = "48623831b4eaa4ceb2e3bb80f440644a647b5fa3fd72ddcfe17bed0cdaf5daeb"
"""SHA-256 of 20,000 independent rows with seed 3, as they were before there were correlated ones."""


def test_a_pair_has_the_correlation_that_was_asked_for_and_others_have_none() -> None:
    found = np.corrcoef(factors(COUNT, 3, correlate=PAIRS).T)
    wanted = np.eye(5)
    for one, other, value in PAIRS:
        at = FACTORS.index(one), FACTORS.index(other)
        wanted[at] = wanted[at[::-1]] = value
    np.testing.assert_allclose(found, wanted, atol=3 / math.sqrt(COUNT))


def test_each_factor_is_as_uniform_as_alone() -> None:
    drawn = factors(COUNT, 3, correlate=PAIRS)
    for column, low, high in ((1, 0.25, 0.5), (3, -0.5, 0.5), (4, -0.5, 0.5)):
        ranks = np.sort((drawn[:, column] - low) / (high - low))
        assert 0 <= ranks[0] < ranks[-1] < 1
        even = (np.arange(COUNT) + 0.5) / COUNT
        assert np.abs(ranks - even).max() < 1.63 / math.sqrt(COUNT)  # Kolmogorov and Smirnov, 1 %


def test_independent_sprites_are_the_same_as_ever_and_so_are_factors_outside_of_pairs() -> None:
    alone = factors(COUNT, 3)
    assert hashlib.sha256(alone.tobytes()).hexdigest() == DIGEST
    together = factors(COUNT, 3, correlate=(("x", "scale", 0.8),))
    for name, same in (("shape", True), ("orientation", True), ("y", True), ("x", False)):
        column = FACTORS.index(name)
        assert np.array_equal(alone[:, column], together[:, column]) == same


def test_more_correlated_sprites_only_add_to_the_fewer() -> None:
    many = factors(100, 5, correlate=PAIRS)
    for count in (1, 7, 99):
        np.testing.assert_array_equal(factors(count, 5, correlate=PAIRS), many[:count])
    images = Sprites(count=20, correlate=PAIRS).open(16, 16, 1).fields["image"]
    assert not np.array_equal(images, Sprites(count=20).open(16, 16, 1).fields["image"])


def test_the_outermost_numbers_stay_below_one_and_finite() -> None:
    ends = np.array([0, 2**-24, 1 - 2**-24], np.float32)
    grid = np.stack(np.meshgrid(ends, ends), -1).reshape(-1, 2)
    found = correlated(grid, [(0, 1, 0.999)])
    assert found.dtype == np.float32
    assert ((found >= 0) & (found < 1)).all()


@pytest.mark.parametrize(
    ("pairs", "fact"),
    [
        ([("x", "size", 0.5)], "sprites: correlate must be of two among shape, scale, orientation, x, y, found 'size'"),
        ([("x", "scal", 0.5)], "found 'scal'\n  did you mean 'scale'?"),
        ([("x", "x", 0.5)], "sprites: correlate: 'x' and 'x': expected two, found one"),
        ([("x", "y", 0.5), ("y", "x", 0.1)], "'y' and 'x': the pair is given twice"),
        ([("x", "y", 1.0)], "expected a correlation between -1 and 1, both excluded, found 1"),
        ([("x", "y", -1.5)], "found -1.5"),
        ([("x", "scale", 0.9), ("scale", "y", 0.9)], "there are no scale, x, y with all these correlations at once"),
    ],
)
def test_correlations_that_cannot_be_are_refused(pairs: list[Pair], fact: str) -> None:
    with pytest.raises(DataError, match=re.escape(fact)):
        Sprites(correlate=tuple(pairs))


@pytest.mark.parametrize("value", [["x", "scale", 0.8], [["x", 0.8]], [["x", "scale", "much"]], 0.8])
def test_what_is_no_list_of_pairs_is_refused_with_its_key(value: object) -> None:
    with pytest.raises(RecipeError, match="correlate") as caught:
        compose("vae", {"data.correlate": value})
    assert "expected a" in str(caught.value)


def test_sources_name_the_columns_of_their_fields(tmp_path: Path) -> None:
    source = Sprites(shapes=("heart", "square"))
    assert source.columns("label") == ("heart", "square")
    assert source.columns("factors") == FACTORS
    assert source.columns("image") == ()
    for index, folder in enumerate(("smiling", "earnest")):
        (tmp_path / folder).mkdir()
        Image.new("L", (8, 8), 80 * index).save(tmp_path / folder / "a.png")
    pictures = Folder(path=str(tmp_path), labels=True, cache=str(tmp_path / "cache"))
    assert pictures.columns("label") == ("earnest", "smiling")
    assert pictures.open(8, 8, 1).fields["label"].tolist() == [0, 1]
    assert Folder(path=str(tmp_path)).columns("label") == ()
    with pytest.raises(DataError, match="expected a folder with pictures, found nothing there"):
        Folder(path=str(tmp_path / "none"), labels=True).columns("label")
