"""Grids, pairs and strips: which pixel lies where, how values become grey levels, and writing PNG files."""

from __future__ import annotations

import re
from collections import abc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentkit.errors import DataError
from latentkit.pictures import grid, pairs, save_png, strip

LINE = 104
BYTES = (0.0, 255.0)


def drawn(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture)


def some(count: int, channels: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, channels, height, width)).astype(np.float32)


def enlarged(image: np.ndarray, scale: int) -> np.ndarray:
    """[c, h, w] to [h, w, c], or [h, w] for grey, every pixel ``scale`` times."""
    pixels = np.moveaxis(image, 0, -1).repeat(scale, 0).repeat(scale, 1)
    return pixels[..., 0] if pixels.shape[-1] == 1 else pixels


# Grids


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("pad", [0, 1, 3])
def test_a_grid_holds_the_images_row_by_row(channels: int, pad: int) -> None:
    images = some(5, channels, 3, 4)
    picture = grid(images, BYTES, columns=3, pad=pad, scale=2)
    assert picture.mode == ("L" if channels == 1 else "RGB")
    assert picture.size == (3 * 8 + 4 * pad, 2 * 6 + 3 * pad)
    pixels = drawn(picture).copy()
    for index, image in enumerate(images):
        top, left = pad + index // 3 * (6 + pad), pad + index % 3 * (8 + pad)
        cell = pixels[top : top + 6, left : left + 8]
        np.testing.assert_array_equal(cell, enlarged(image, 2))
        cell[:] = LINE
    assert (pixels == LINE).all()  # lines between, and the cell that is left over


@pytest.mark.parametrize(
    ("count", "columns"), [(1, 1), (2, 2), (3, 2), (7, 3), (8, 4), (10, 5), (12, 4), (16, 4), (17, 5), (64, 8)]
)
def test_a_grid_is_near_a_square_by_default(count: int, columns: int) -> None:
    picture = grid(np.zeros((count, 1, 4, 4)), BYTES, pad=0, scale=1)
    assert picture.size == (4 * columns, 4 * -(-count // columns))


def test_a_grid_of_wide_images_has_fewer_columns() -> None:
    assert grid(np.zeros((16, 1, 4, 16)), BYTES, pad=0, scale=1).size == (2 * 16, 8 * 4)


def test_a_grid_has_no_more_columns_than_images() -> None:
    assert grid(np.zeros((3, 1, 4, 4)), BYTES, columns=8, pad=1, scale=1).size == (16, 6)


@pytest.mark.parametrize(
    ("count", "side", "width"),
    [(64, 8, 8 * 8 * 11 + 18), (64, 28, 8 * 28 * 3 + 18), (64, 64, 8 * 64 + 18), (1, 64, 64 * 11 + 4), (1, 900, 904)],
)
def test_a_grid_is_enlarged_to_a_width_that_people_can_see(count: int, side: int, width: int) -> None:
    assert grid(np.zeros((count, 1, side, side), np.float32), BYTES).size[0] == width


# Values


@pytest.mark.parametrize(
    ("limits", "values"),
    [
        ((-1.0, 1.0), [-1, -0.5, 0, 0.5, 1]),
        ((0.0, 1.0), [0, 0.25, 0.5, 0.75, 1]),
        ((-3.0, 5.0), [-3, -1, 1, 3, 5]),
        ((0.0, 255.0), [0, 63.75, 127.5, 191.25, 255]),
    ],
)
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_the_range_runs_from_black_to_white(
    limits: tuple[float, float], values: list[float], kind: type[np.floating]
) -> None:
    images = np.array(values, kind).reshape(1, 1, 1, 5)
    assert drawn(grid(images, limits, pad=0, scale=1)).tolist() == [[0, 64, 128, 191, 255]]


def test_every_byte_comes_back_from_any_range() -> None:
    levels = np.arange(256, dtype=np.float32).reshape(1, 1, 16, 16)
    for low, high in ((-1.0, 1.0), (0.0, 1.0), (0.0, 255.0)):
        images = (levels / 255 * (high - low) + low).astype(np.float32)
        np.testing.assert_array_equal(drawn(grid(images, (low, high), pad=0, scale=1)), levels[0, 0])


def test_values_outside_the_range_are_cut_off_and_no_numbers_are_grey() -> None:
    images = np.array([-1.2, 7.0, -np.inf, np.inf, np.nan, 1.0], np.float32).reshape(1, 1, 1, 6)
    assert drawn(grid(images, (-1.0, 1.0), pad=0, scale=1)).tolist() == [[0, 255, 0, 255, 128, 255]]


def test_whole_numbers_are_drawn_too() -> None:
    images = np.array([[[[0, 255]]]], np.uint8)
    assert drawn(grid(images, BYTES, pad=0, scale=1)).tolist() == [[0, 255]]


# Pairs and strips


def test_each_original_lies_directly_above_its_reconstruction() -> None:
    originals, rebuilt = some(5, 3, 2, 3, seed=1), some(5, 3, 2, 3, seed=2)
    picture = pairs(originals, rebuilt, BYTES, columns=2, pad=1, scale=2)
    gap, height, width = 5, 2 * 4 + 1, 6
    assert picture.size == (2 * width + 3 * gap, 3 * height + 4 * gap)
    pixels = drawn(picture).copy()
    for index in range(5):
        top, left = gap + index // 2 * (height + gap), gap + index % 2 * (width + gap)
        np.testing.assert_array_equal(pixels[top : top + 4, left : left + 6], enlarged(originals[index], 2))
        np.testing.assert_array_equal(pixels[top + 5 : top + 9, left : left + 6], enlarged(rebuilt[index], 2))
        pixels[top : top + 4, left : left + 6] = pixels[top + 5 : top + 9, left : left + 6] = LINE
    assert (pixels == LINE).all()


def test_pairs_are_near_a_square_by_default() -> None:
    images = np.zeros((16, 1, 8, 8))
    assert pairs(images, images, BYTES, pad=0, scale=1).size == (8 * 8, 2 * 16)


def test_a_strip_has_a_row_for_each_array_and_steps_side_by_side() -> None:
    rows = [some(4, 1, 2, 3, seed=seed) for seed in range(3)]
    picture = strip(*rows, range=BYTES, pad=1, scale=2)
    assert picture.size == (4 * 6 + 5, 3 * (4 + 2) + 2 * 3)
    pixels = drawn(picture).copy()
    for row, images in enumerate(rows):
        for step, image in enumerate(images):
            top, left = 1 + row * 9, 1 + step * 7
            np.testing.assert_array_equal(pixels[top : top + 4, left : left + 6], enlarged(image, 2))
            pixels[top : top + 4, left : left + 6] = LINE
    assert (pixels == LINE).all()


def test_a_strip_without_padding_is_only_pixels() -> None:
    images = some(3, 3, 2, 2)
    np.testing.assert_array_equal(
        drawn(strip(images, range=BYTES, pad=0, scale=1)), np.concatenate([enlarged(image, 1) for image in images], 1)
    )


# What cannot be drawn

ONE = np.zeros((1, 1, 4, 4))


@pytest.mark.parametrize(
    ("draw", "fact"),
    [
        (lambda: grid(ONE[0], BYTES), "picture: expected images [n, 1 or 3, h, w], found shape [1, 4, 4]"),
        (lambda: grid(np.zeros((1, 2, 4, 4)), BYTES), "expected images [n, 1 or 3, h, w], found shape [1, 2, 4, 4]"),
        (lambda: grid(np.zeros((1, 4, 4, 3)), BYTES), "expected images [n, 1 or 3, h, w], found shape [1, 4, 4, 3]"),
        (lambda: grid(ONE[:0], BYTES), "expected images [n, 1 or 3, h, w], found shape [0, 1, 4, 4]"),
        (lambda: grid(ONE[..., :0], BYTES), "expected images [n, 1 or 3, h, w], found shape [1, 1, 4, 0]"),
        (lambda: grid(ONE, (1.0, -1.0)), "picture: expected a range from low to high, found 1.0 to -1.0"),
        (lambda: grid(ONE, (0.0, 0.0)), "picture: expected a range from low to high, found 0.0 to 0.0"),
        (lambda: grid(ONE, (0.0, np.nan)), "picture: expected a range from low to high, found 0.0 to nan"),
        (lambda: grid(ONE, (0.0, np.inf)), "picture: expected a range from low to high, found 0.0 to inf"),
        (lambda: grid(ONE, BYTES, columns=0), "picture: columns must be at least 1, found 0"),
        (lambda: grid(ONE, BYTES, scale=0), "picture: scale must be at least 1, found 0"),
        (lambda: grid(ONE, BYTES, pad=-1), "picture: pad must be at least 0, found -1"),
        (lambda: pairs(ONE, ONE, BYTES, pad=-1), "picture: pad must be at least 0, found -1"),
        (lambda: strip(ONE, range=BYTES, pad=-1), "picture: pad must be at least 0, found -1"),
        (
            lambda: pairs(ONE, np.zeros((2, 1, 4, 4)), BYTES),
            "pairs: expected as many reconstructions as originals, of the same shape, found [1, 1, 4, 4] and [2, 1, 4",
        ),
        (lambda: strip(range=BYTES), "strip: expected one or more rows of one shape [steps, c, h, w], found none"),
        (
            lambda: strip(ONE, np.zeros((2, 1, 4, 4)), range=BYTES),
            "strip: expected one or more rows of one shape [steps, c, h, w], found [1, 1, 4, 4], [2, 1, 4, 4]",
        ),
        (lambda: strip(ONE[0], range=BYTES), "expected images [n, 1 or 3, h, w], found shape [1, 4, 4]"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw: abc.Callable[[], object], fact: str) -> None:
    with pytest.raises(DataError, match=re.escape(fact)):
        draw()


# Files


def test_a_picture_is_written_without_loss_into_folders_made_for_it(tmp_path: Path) -> None:
    images = some(4, 3, 5, 5)
    target = tmp_path / "new" / "folders" / "picture.png"
    save_png(grid(images, BYTES), target)
    with Image.open(target) as image:
        assert image.format == "PNG"
        np.testing.assert_array_equal(image, grid(images, BYTES))
    assert list(target.parent.iterdir()) == [target]


def test_a_picture_is_a_png_whatever_its_name_and_replaces_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "picture"
    target.write_text("something older")
    save_png(grid(ONE, BYTES), str(target))
    assert target.read_bytes().startswith(b"\x89PNG")


def test_a_failure_leaves_the_older_picture_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "picture.png"
    save_png(grid(ONE, BYTES), target)
    before = target.read_bytes()
    with pytest.raises(DataError, match=rf"^picture '{re.escape(str(target))}': cannot be written: .*HSV"):
        save_png(Image.new("HSV", (4, 4)), target)  # which PNG cannot hold
    assert target.read_bytes() == before
    assert list(tmp_path.iterdir()) == [target]


def test_a_disk_that_fills_up_leaves_nothing_behind(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="file sizes can be limited on POSIX only")
    picture = grid(some(4, 3, 64, 64), BYTES)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(DataError, match=r"cannot be written: File too large$"):
            save_png(picture, tmp_path / "picture.png")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder").mkdir()
    picture = grid(ONE, BYTES)
    for target in ("file/picture.png", "file/below/picture.png", "folder", ".", "..", "x" * 300 + ".png"):
        with pytest.raises(DataError, match=rf"^picture '{re.escape(target)}': cannot be written: [A-Z]"):
            save_png(picture, target)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]
    assert not list(tmp_path.parent.glob(".*.*"))
