"""Animations: frames there and back, in files that Pillow reads again, whole or not at all."""

from __future__ import annotations

import re
from collections import abc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from latentkit.animation import frames, save_animation, there_and_back
from latentkit.errors import DataError
from latentkit.pictures import grid

BYTES = (0.0, 255.0)


def some(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.float32)


def read(path: Path, mode: str) -> list[np.ndarray]:
    with Image.open(path) as image:
        return [np.asarray(frame.convert(mode)) for frame in ImageSequence.Iterator(image)]


def durations(path: Path) -> list[float]:
    with Image.open(path) as image:
        return [frame.info["duration"] for frame in ImageSequence.Iterator(image)]


def test_a_frame_is_a_grid_of_all_images_of_a_step() -> None:
    images = some(3, 4, 1, 5, 6)
    made = frames(images, BYTES, scale=2)
    assert len(made) == 4
    for step, frame in enumerate(made):
        np.testing.assert_array_equal(frame, grid(images[:, step], BYTES, scale=2))


def test_one_image_alone_has_no_line_around_it() -> None:
    images = some(1, 2, 3, 5, 6)
    first, last = frames(images, BYTES, scale=1)
    np.testing.assert_array_equal(first, np.moveaxis(images[0, 0], 0, -1))
    np.testing.assert_array_equal(last, np.moveaxis(images[0, 1], 0, -1))


def test_a_frame_is_enlarged_to_a_width_that_people_can_see_and_files_can_hold() -> None:
    assert [frame.size for frame in frames(some(1, 2, 1, 28, 28), BYTES)] == [(364, 364)] * 2
    assert frames(some(4, 2, 1, 28, 28), BYTES)[0].size == (342, 342)
    assert frames(some(1, 2, 1, 400, 500), BYTES)[0].size == (500, 400)


def test_there_and_back_repeats_without_a_jump() -> None:
    assert there_and_back("abcd") == list("abcdcb")
    assert there_and_back("ab") == list("ab")
    assert there_and_back("a") == list("a")


@pytest.mark.parametrize("name", ["way.gif", "way.png", "WAY.GIF", "WAY.PNG"])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_animation_has_the_frames_that_it_was_made_of(name: str, channels: int, tmp_path: Path) -> None:
    made = there_and_back(frames(some(2, 5, channels, 6, 7), BYTES, scale=1))
    path = tmp_path / "new" / name
    save_animation(made, path, duration=1.0)
    with Image.open(path) as image:
        assert image.format == ("GIF" if name.lower().endswith("gif") else "PNG")
        assert (image.n_frames, image.info["loop"]) == (8, 0)
    for found, wanted in zip(read(path, made[0].mode), made, strict=True):
        np.testing.assert_array_equal(found, wanted)  # 2 x 42 colours a frame: a GIF holds 256
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("name", ["way.gif", "way.png"])
def test_frames_share_the_duration_in_whole_hundredths(name: str, tmp_path: Path) -> None:
    made = frames(some(1, 7, 1, 4, 4), BYTES, scale=1)
    save_animation(made, tmp_path / name, duration=1.0)
    assert sorted(set(durations(tmp_path / name))) == [140, 150]
    assert sum(durations(tmp_path / name)) == 1000
    save_animation(made, tmp_path / name)
    assert sum(durations(tmp_path / name)) == 3000


@pytest.mark.parametrize("name", ["way.gif", "way.png"])
def test_frames_that_stand_still_last_as_long_as_all_of_them(name: str, tmp_path: Path) -> None:
    first, second = frames(some(1, 2, 1, 4, 4), BYTES, scale=1)
    save_animation([first, first, second, second, second], tmp_path / name, duration=0.5)
    assert durations(tmp_path / name) == [200, 300]
    save_animation([first] * 3, tmp_path / name, duration=0.6)
    (only,) = read(tmp_path / name, "L")
    np.testing.assert_array_equal(only, first)
    save_animation([second], tmp_path / name)
    (only,) = read(tmp_path / name, "L")
    np.testing.assert_array_equal(only, second)


ONE = Image.new("L", (4, 4))


@pytest.mark.parametrize(
    ("draw", "fact"),
    [
        (
            lambda: frames(np.zeros((2, 1, 4, 4)), BYTES),
            "frames: expected images [n, steps, 1 or 3, h, w], found shape",
        ),
        (lambda: frames(np.zeros((1, 0, 1, 4, 4)), BYTES), "frames: expected images [n, steps, 1 or 3, h, w], found"),
        (lambda: frames(np.zeros((1, 1, 2, 4, 4)), BYTES), "picture: expected images [n, 1 or 3, h, w], found shape"),
        (lambda: save_animation([ONE], "a.mp4"), "animation 'a.mp4': expected a name that ends in .gif or .png"),
        (lambda: save_animation([ONE], "gif"), "animation 'gif': expected a name that ends in .gif or .png"),
        (
            lambda: save_animation([], "a.gif"),
            "animation 'a.gif': expected one or more pictures of one size, found none",
        ),
        (
            lambda: save_animation([ONE, Image.new("L", (4, 5))], "a.gif"),
            "animation 'a.gif': expected one or more pictures of one size, found 4 x 4, 4 x 5",
        ),
        (
            lambda: save_animation([ONE] * 10, "a.gif", 0.19),
            "animation: expected a duration of 0.2 to 60 seconds for 10 frames, found 0.19",
        ),
        (lambda: save_animation([ONE], "a.gif", 61.0), "of 0.02 to 60 seconds for 1 frames, found 61"),
        (lambda: save_animation([ONE], "a.gif", float("nan")), "seconds for 1 frames, found nan"),
        (lambda: save_animation([ONE], "a.gif", -1.0), "seconds for 1 frames, found -1"),
        (lambda: save_animation([ONE], "file/a.gif"), "picture 'file/a.gif': cannot be written: "),
    ],
)
def test_what_cannot_be_shown_or_written_is_refused(
    draw: abc.Callable[[], object], fact: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=re.escape(fact)):
        draw()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("name", ["way.gif", "way.png"])
def test_a_disk_that_fills_up_leaves_the_older_animation_as_it_was(name: str, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="file sizes can be limited on POSIX only")
    path = tmp_path / name
    save_animation([ONE], path)
    before = path.read_bytes()
    made = frames(some(1, 4, 1, 64, 64), BYTES, scale=1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6000, hard))
    try:
        with pytest.raises(DataError, match=r"cannot be written: File too large$"):
            save_animation(made, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
