"""A folder of pictures: what is found, how it is decoded, and the cache of decoded arrays."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
from collections import abc
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentkit.data import decoding
from latentkit.data.folder import Folder
from latentkit.errors import DataError, LatentkitWarning

Open = abc.Callable[..., np.ndarray]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """An empty folder."""
    path = tmp_path / "pictures"
    path.mkdir()
    return path


@pytest.fixture
def opened(tmp_path: Path, pictures: Path) -> Open:
    """Opens ``pictures`` with a cache beside it."""

    def images(resolution: int | tuple[int, int] = 4, channels: int = 3, **options: object) -> np.ndarray:
        options = {"path": str(pictures), "cache": str(tmp_path / "cache"), **options}
        height, width = (resolution, resolution) if isinstance(resolution, int) else resolution
        return Folder(**options).open(height, width, channels).fields["image"]  # type: ignore[arg-type]

    return images


def paint(path: Path, pixels: np.ndarray | int, **options: object) -> None:
    """A picture of these pixels [h, w] or [h, w, c], or all of one grey."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((4, 4), pixels, np.uint8) if isinstance(pixels, int) else pixels
    Image.fromarray(pixels).save(path, **options)  # type: ignore[arg-type]


def refused(opened: Open, **options: object) -> str:
    with pytest.raises(DataError) as caught:
        opened(**options)
    return str(caught.value)


# What is found


def test_pictures_of_all_kinds_are_found_below_in_the_order_of_names(pictures: Path, opened: Open) -> None:
    names = ["B.PNG", "a/deep/er/2.jpeg", "a/deep/1.jpg", "a/z.webp", "a.png", "folder.png/in it.png"]
    for name in names:
        paint(pictures / name, 20 * (1 + sorted(names).index(name)))
    (pictures / "notes.txt").write_text("not a picture")
    (pictures / "table.npy").write_bytes(b"nor this")
    for name in (".hidden.png", "._a.png", ".thumbnails/a.png"):
        paint(pictures / name, 255)
    images = opened()
    assert images.shape == (6, 3, 4, 4)
    assert images.dtype == np.uint8
    np.testing.assert_allclose(images.mean((1, 2, 3)), [20, 40, 60, 80, 100, 120], atol=2)


def test_sub_folders_are_classes_where_labels_are_wanted(pictures: Path, opened: Open, tmp_path: Path) -> None:
    for name in ("dog/1.png", "cat/b.png", "cat/kitten/a.png", "eel/0.png"):
        paint(pictures / name, 9)
    source = Folder(path=str(pictures), labels=True, cache=str(tmp_path / "cache"))
    fields = source.open(4, 4, 1).fields
    assert fields["label"].tolist() == [0, 0, 1, 2]
    assert fields["label"].dtype == np.int64
    assert source.offers() == ("image", "label")
    assert Folder(path=str(pictures)).offers() == ("image",)


def test_pictures_outside_of_any_class_are_named(pictures: Path, opened: Open) -> None:
    paint(pictures / "cat/1.png", 0)
    for index in range(10):
        paint(pictures / f"{index}.png", 0)
    assert refused(opened, labels=True) == (
        f"folder: path = '{pictures}': labels = true expects each picture in the sub-folder of its class, "
        "found outside of any: 0.png, 1.png, 2.png, 3.png, 4.png, 5.png, 6.png, 7.png and 2 more"
    )


def test_a_folder_that_is_none_or_empty_is_refused(pictures: Path, opened: Open) -> None:
    where = f"folder: path = '{pictures}"
    (pictures / "notes.txt").write_text("not a picture")
    assert refused(opened) == f"{where}': expected png, jpg, jpeg or webp files in it or below, found none"
    missing, file = f"{pictures}/nowhere", f"{pictures}/notes.txt"
    assert refused(opened, path=missing) == f"{where}/nowhere': expected a folder with pictures, found nothing there"
    assert refused(opened, path=file) == f"{where}/notes.txt': expected a folder with pictures, found a file"


def test_a_folder_can_be_named_from_the_home_folder(
    pictures: Path, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(pictures.parent))
    monkeypatch.setenv("USERPROFILE", str(pictures.parent))
    paint(pictures / "a.png", 50)
    assert opened(path="~/pictures", cache="~/kept").shape == (1, 3, 4, 4)
    assert (pictures.parent / "kept").is_dir()


# Decoding


def test_pictures_are_turned_upright(pictures: Path, opened: Open) -> None:
    upright = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)
    # What the camera stored, by EXIF orientation (TIFF 6.0): row 0 and column 0 are these sides of the picture.
    stored = {
        1: upright,  # top, left
        2: upright[:, ::-1],  # top, right
        3: upright[::-1, ::-1],  # bottom, right
        4: upright[::-1],  # bottom, left
        5: upright.transpose(1, 0, 2),  # left, top
        6: np.rot90(upright),  # right, top
        7: np.rot90(upright, 2).transpose(1, 0, 2),  # right, bottom
        8: np.rot90(upright, -1),  # left, bottom
    }
    for orientation, pixels in stored.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        paint(pictures / f"{orientation}.png", pixels, exif=exif)
    np.testing.assert_array_equal(opened(), np.tile(np.moveaxis(upright, -1, 0), (8, 1, 1, 1)))


def test_the_central_square_is_kept_and_resized(pictures: Path, opened: Open) -> None:
    wide = np.random.default_rng(0).integers(0, 256, (8, 13, 3), np.uint8)
    paint(pictures / "tall.png", wide.transpose(1, 0, 2))
    paint(pictures / "wide.png", wide)
    expected = np.moveaxis(wide[:, 2:10].reshape(4, 2, 4, 2, 3).mean((1, 3)), -1, 0)
    tall, wide = opened()
    np.testing.assert_allclose(wide, expected, atol=1)
    np.testing.assert_allclose(tall, expected.transpose(0, 2, 1), atol=1)
    assert opened(20, small="enlarge").shape == (2, 3, 20, 20)


def test_oblong_pictures_are_cropped_to_the_proportions_and_turned_first(pictures: Path, opened: Open) -> None:
    upright = np.random.default_rng(0).integers(0, 256, (8, 16, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    paint(pictures / "a.png", upright)
    paint(pictures / "b.png", np.rot90(upright), exif=exif)
    one, same = opened((4, 6))
    expected = np.moveaxis(upright[:, 2:14].reshape(4, 2, 6, 2, 3).mean((1, 3)), -1, 0)
    np.testing.assert_allclose(one, expected, atol=1)
    np.testing.assert_array_equal(one, same)
    assert opened((8, 16)).shape == (2, 3, 8, 16)
    assert "2 are smaller than 9 x 6 (height x width): a.png (8 x 16), b.png (8 x 16)" in refused(
        opened, resolution=(9, 6)
    )


def test_a_large_jpeg_that_lies_on_its_side_is_decoded_with_room_to_resize(pictures: Path, opened: Open) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = np.zeros((64, 512), np.uint8)
    upright[:, 256:] = 255
    upright[:16] = 128
    paint(pictures / "a.jpg", np.rot90(upright), exif=exif, quality=95)
    np.testing.assert_allclose(opened((4, 32), 1)[0, 0, :, ::31], [[128, 128], *[[0, 255]] * 3], atol=6)


def test_a_large_jpeg_keeps_its_colours_and_their_places(pictures: Path, opened: Open) -> None:
    corners = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], np.uint8)
    paint(pictures / "a.jpg", corners.repeat(320, 0).repeat(320, 1), quality=95, subsampling=0)
    np.testing.assert_allclose(opened(2)[0], np.moveaxis(corners, -1, 0), atol=4)
    np.testing.assert_allclose(opened(2, 1)[0, 0], [[76, 150], [29, 255]], atol=4)


def test_transparency_is_laid_on_black(pictures: Path, opened: Open) -> None:
    rgba = np.tile(np.array([200, 100, 50, 128], np.uint8), (4, 4, 1))
    paint(pictures / "a rgba.png", rgba)
    paint(pictures / "b rgba.webp", rgba, lossless=True)
    paint(pictures / "c grey.png", np.tile(np.array([200, 128], np.uint8), (4, 4, 1)))
    key = Image.new("RGB", (4, 4), (9, 200, 9))
    key.putpixel((0, 0), (90, 90, 90))
    key.save(pictures / "d key.png", transparency=(9, 200, 9))
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.putpixel((0, 0), 0)
    palette.save(pictures / "e palette.png", transparency=bytes([255, 0]))
    images = opened()
    for image in images[:2]:
        np.testing.assert_allclose(image[:, 0, 0], [100, 50, 25], atol=1)
    np.testing.assert_allclose(images[2], 100, atol=1)
    for image, opaque in zip(images[3:], ([90, 90, 90], [10, 20, 30]), strict=True):
        assert image[:, 0, 0].tolist() == opaque
        assert not image[:, 1:].any()


def test_every_kind_of_pixel_becomes_grey_or_colour(pictures: Path, opened: Open) -> None:
    paint(pictures / "a grey.png", 90)
    paint(pictures / "b grey 16 bits.png", np.full((4, 4), 90 * 256 + 255, np.uint16))
    Image.new("1", (4, 4), 1).save(pictures / "c bits.png")
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    palette.save(pictures / "d palette.png")
    Image.new("CMYK", (4, 4), (0, 255, 255, 0)).save(pictures / "e print.jpg")
    Image.new("L", (4, 4), 90).save(pictures / "f grey.jpg")
    colours = [[90, 90, 90], [90, 90, 90], [255, 255, 255], [255, 0, 0], [255, 0, 0], [90, 90, 90]]
    np.testing.assert_allclose(opened().mean((2, 3)), colours, atol=3)
    np.testing.assert_allclose(opened(4, 1).mean((2, 3))[:, 0], [90, 90, 255, 76, 76, 90], atol=3)


@pytest.mark.parametrize("workers", [0, 1])
def test_all_pictures_that_cannot_be_read_are_named(pictures: Path, opened: Open, workers: int) -> None:
    paint(pictures / "good.png", 7)
    whole = (pictures / "good.png").read_bytes()
    broken = [f"b/{index}.png" for index in range(9)]
    (pictures / "b").mkdir()
    for name in broken:
        (pictures / name).write_bytes(whole[:40] if name.endswith("3.png") else b"no picture")
    (pictures / "empty.webp").touch()
    (pictures / "link.jpg").symlink_to(pictures / "nowhere.jpg")
    message = refused(opened, workers=workers)
    assert message == (
        f"folder: path = '{pictures}': of 12 pictures 11 cannot be read: "
        f"{', '.join([*broken, 'empty.webp', 'link.jpg'])}\n"
        '  repair or remove what cannot be read, or leave it out with unreadable = "skip"'
    )
    assert list((pictures.parent / "cache").iterdir()) == []


@pytest.mark.parametrize("workers", [0, 1])
def test_pictures_that_would_have_to_be_enlarged_are_refused_with_their_sizes(
    pictures: Path, opened: Open, workers: int
) -> None:
    paint(pictures / "0.png", np.zeros((4, 4), np.uint8))
    paint(pictures / "flat.png", np.zeros((3, 9), np.uint8))
    sideways = Image.Exif()
    sideways[0x0112] = 6
    paint(pictures / "phone.jpg", np.zeros((9, 2, 3), np.uint8), exif=sideways)
    assert refused(opened, workers=workers) == (
        f"folder: path = '{pictures}': of 3 pictures 2 are smaller than 4 x 4 (height x width): "
        "flat.png (3 x 9), phone.jpg (2 x 9)\n"
        '  choose a smaller resolution, or say small = "enlarge" or small = "skip"'
    )
    for index in range(8):
        paint(pictures / f"small-{index}.png", np.zeros((2, 2), np.uint8))
    (pictures / "torn.png").write_bytes(b"no picture")
    message = refused(opened, workers=workers)
    assert "of 12 pictures 1 cannot be read: torn.png; 10 are smaller than 4 x 4" in message
    assert "small-5.png (2 x 2) and 2 more\n  repair or remove what cannot be read" in message
    (pictures / "torn.png").unlink()
    assert opened(2).shape == (11, 3, 2, 2)


def test_the_size_of_a_jpeg_is_that_before_it_is_decoded_smaller(pictures: Path, opened: Open) -> None:
    paint(pictures / "a.jpg", np.full((96, 97), 90, np.uint8))
    for resolution in (11, 48, 49, 96):
        assert opened(resolution).shape == (1, 3, resolution, resolution)
    assert "a.jpg (96 x 97)" in refused(opened, resolution=97)


def test_small_pictures_are_enlarged_where_that_is_asked_for(pictures: Path, opened: Open) -> None:
    paint(pictures / "a.png", np.full((2, 3), 90, np.uint8))
    assert (opened(small="enlarge") == 90).all()
    assert "a.png (2 x 3)" in refused(opened)  # and not taken from the cache


def skipped(opened: Open, **options: object) -> tuple[np.ndarray, str]:
    with pytest.warns(LatentkitWarning) as caught:
        images = opened(**options)
    (warning,) = caught
    return images, str(warning.message)


@pytest.mark.parametrize("workers", [0, 1])
def test_pictures_are_skipped_where_that_is_asked_for_and_named_each_time(
    pictures: Path, opened: Open, tmp_path: Path, workers: int
) -> None:
    paint(pictures / "a.png", 10)
    (pictures / "b.png").write_bytes((pictures / "a.png").read_bytes()[:40])
    paint(pictures / "c.png", np.zeros((3, 9), np.uint8))
    paint(pictures / "d.png", 40)
    both = {"small": "skip", "unreadable": "skip", "workers": workers}
    images, message = skipped(opened, **both)
    assert images[:, 0, 0, 0].tolist() == [10, 40]
    assert message == (
        f"folder: path = '{pictures}': 2 of 4 pictures are skipped: 1 cannot be read: b.png; "
        "1 is smaller than 4 x 4 (height x width): c.png (3 x 9)"
    )
    assert isinstance(images, np.memmap)
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "cache").iterdir()}
    again, same = skipped(opened, **both)  # from the cache
    np.testing.assert_array_equal(again, images)
    assert same == message
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "cache").iterdir()} == before
    assert "1 cannot be read: b.png" in refused(opened, small="skip")
    assert "1 is smaller" in refused(opened, unreadable="skip")
    assert skipped(opened, small="enlarge", unreadable="skip", workers=workers)[0][:, 0, 0, 0].tolist() == [10, 0, 40]


def test_what_was_skipped_is_found_again_where_the_cache_is_damaged(
    pictures: Path, opened: Open, tmp_path: Path
) -> None:
    for index in range(3):
        paint(pictures / f"{index}.png", 10 * index)
    (pictures / "1.png").write_bytes(b"no picture")
    images, message = skipped(opened, unreadable="skip")
    (beside,) = (tmp_path / "cache").glob("*.json")
    whole = beside.read_text()
    assert whole == '[[1, ""]]'
    for damage in ("", "[]", '[[1, ""], [2, ""]]', '[[3, ""]]', '[[-1, ""]]', '{"1": ""}'):
        beside.write_text(damage)
        again, same = skipped(opened, unreadable="skip")
        np.testing.assert_array_equal(again, images)
        assert (same, beside.read_text()) == (message, whole)
    beside.unlink()
    assert skipped(opened, unreadable="skip")[1] == message


def test_labels_stay_with_their_pictures_when_others_are_skipped(pictures: Path, tmp_path: Path) -> None:
    for name, grey in {"cat/a.png": 10, "cat/b.png": 20, "dog/c.png": 30, "eel/d.png": 40, "eel/e.png": 50}.items():
        paint(pictures / name, grey)
    for name in ("cat/a.png", "dog/c.png", "eel/d.png"):
        (pictures / name).write_bytes(b"no picture")
    options = {"path": str(pictures), "labels": True, "unreadable": "skip", "cache": str(tmp_path / "cache")}
    for _ in range(2):
        with pytest.warns(LatentkitWarning, match=r"3 of 5 pictures are skipped: 3 cannot be read: cat/a\.png, dog/"):
            fields = Folder(**options).open(4, 4, 1).fields  # type: ignore[arg-type]
        assert fields["image"][:, 0, 0, 0].tolist() == [20, 50]
        assert fields["label"].tolist() == [0, 2]


def test_pictures_are_skipped_without_a_cache_too(pictures: Path, opened: Open, tmp_path: Path) -> None:
    for name, side in {"a": 4, "b": 2, "c": 4}.items():
        paint(pictures / f"{name}.png", np.full((side, side), ord(name), np.uint8))
    (tmp_path / "file").touch()
    with pytest.warns(LatentkitWarning) as caught:
        images = opened(small="skip", cache=str(tmp_path / "file/cache"))
    assert ["cannot be kept" in str(caught[0].message), "b.png (2 x 2)" in str(caught[1].message)] == [True, True]
    assert images[:, 0, 0, 0].tolist() == [ord("a"), ord("c")]
    assert not images.flags.writeable


def test_a_folder_of_which_all_would_be_skipped_is_refused(pictures: Path, opened: Open, tmp_path: Path) -> None:
    paint(pictures / "a.png", np.zeros((2, 2), np.uint8))
    (pictures / "b.png").touch()
    assert refused(opened, small="skip", unreadable="skip") == (
        f"folder: path = '{pictures}': no picture is left of 2: 1 cannot be read: b.png; "
        "1 is smaller than 4 x 4 (height x width): a.png (2 x 2)\n  name another folder, or a smaller resolution"
    )
    assert list((tmp_path / "cache").iterdir()) == []


def test_worker_processes_decode_the_same_in_the_same_order(pictures: Path, opened: Open, tmp_path: Path) -> None:
    for index in range(150):  # three batches
        paint(pictures / f"{index:03}.png", np.full((4, 4), index, np.uint8))
    alone = opened(workers=0)
    assert alone[:, 0, 0, 0].tolist() == list(range(150))
    np.testing.assert_array_equal(opened(workers=2, cache=str(tmp_path / "another")), alone)


def test_many_pictures_are_decoded_by_processes_without_being_told(
    pictures: Path, opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []

    def pool(workers: int, **options: object) -> ProcessPoolExecutor:
        started.append(workers)
        return ProcessPoolExecutor(1, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(decoding, "ProcessPoolExecutor", pool)
    monkeypatch.setattr(decoding, "_FEW", 3)
    for index in range(3):
        paint(pictures / f"{index}.png", index)
    assert opened()[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert started == [1]
    (pictures / "0.png").unlink()
    assert opened()[:, 0, 0, 0].tolist() == [1, 2]
    assert started == [1]


ENDED = (
    "folder: the processes that decode pictures did not start or ended early: a script without "
    '`if __name__ == "__main__":`, or too little memory\n  set workers = 0 to decode in this process'
)


def test_processes_that_end_early_are_reported(
    pictures: Path, opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint(pictures / "a.png", 1)
    pool = functools.partial(ProcessPoolExecutor, initializer=os._exit, initargs=(1,))
    monkeypatch.setattr(decoding, "ProcessPoolExecutor", pool)
    assert refused(opened, workers=1) == ENDED
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_script_without_a_main_guard_is_told_so(pictures: Path, tmp_path: Path) -> None:
    paint(pictures / "a.png", 1)
    script = tmp_path / "script.py"
    script.write_text(
        "from latentkit.data.folder import Folder\n"
        f"Folder(path={str(pictures)!r}, cache={str(tmp_path / 'cache')!r}, workers=1).open(4, 4, 1)\n"
    )
    path = os.pathsep.join(entry for entry in sys.path if entry)
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert f"DataError: {ENDED}" in done.stderr


def test_fewer_than_no_workers_are_refused() -> None:
    fact = "folder: workers must be 0 (decode in this process) or more, found -1"
    with pytest.raises(DataError, match=f"^{re.escape(fact)}$"):
        Folder(path="anywhere", workers=-1)


# The cache


def repaint(path: Path, grey: int, *, same_time: bool) -> None:
    """Another picture in a file of the same size."""
    before = path.stat()
    paint(path, grey)
    assert path.stat().st_size == before.st_size
    shift = 0 if same_time else 1
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + shift))


def test_decoded_pictures_are_kept_and_memory_mapped(pictures: Path, opened: Open, tmp_path: Path) -> None:
    paint(pictures / "a.png", 50)
    first = opened()
    assert isinstance(first, np.memmap)
    assert not first.flags.writeable
    (kept,) = (tmp_path / "cache").iterdir()
    assert kept.suffix == ".npy"
    np.testing.assert_array_equal(np.load(kept), first)
    repaint(pictures / "a.png", 60, same_time=True)  # cannot be told from the file that was decoded
    assert (opened() == 50).all()


def test_the_cache_depends_on_times_names_sizes_and_the_request(pictures: Path, opened: Open, tmp_path: Path) -> None:
    def kept() -> int:
        return len(list((tmp_path / "cache").iterdir()))

    paint(pictures / "a.png", 50)
    opened()
    repaint(pictures / "a.png", 60, same_time=False)
    assert (opened() == 60).all()
    paint(pictures / "b.png", 70)
    assert opened()[:, 0, 0, 0].tolist() == [60, 70]
    (pictures / "b.png").rename(pictures / "0.png")
    assert opened()[:, 0, 0, 0].tolist() == [70, 60]
    assert kept() == 4
    stamp = (pictures / "a.png").stat().st_mtime_ns
    paint(pictures / "a.png", np.random.default_rng(0).integers(0, 256, (4, 4), np.uint8))
    os.utime(pictures / "a.png", ns=(stamp, stamp))
    assert opened()[1].std() > 10
    assert opened(3).shape == (2, 3, 3, 3)
    assert opened(3, 1).shape == (2, 1, 3, 3)
    opened(3, 1)
    assert kept() == 7


def test_folders_that_differ_only_in_their_place_are_kept_apart(tmp_path: Path, opened: Open) -> None:
    for name, grey in (("one", 10), ("two", 20)):
        paint(tmp_path / name / "a.png", grey)
        os.utime(tmp_path / name / "a.png", ns=(0, 0))
    assert (opened(path=str(tmp_path / "one")) == 10).all()
    assert (opened(path=str(tmp_path / "two")) == 20).all()


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.path,)


def test_a_cache_that_cannot_be_read_is_made_again(pictures: Path, opened: Open, tmp_path: Path) -> None:
    paint(pictures / "a.png", 50)
    opened()
    (kept,) = (tmp_path / "cache").iterdir()
    whole = kept.read_bytes()
    damages: list[bytes] = [
        b"",
        b"hello, world",
        whole[:-1],
        whole[:30],
        b"PK\x03\x04 is no archive either",
        whole.replace(b"}", b"(", 1),
        whole.replace(b"'|u1'", b"'<i1'", 1),
        whole.replace(b"(1, 3, 4, 4)", b"(3, 1, 4, 4)", 1),
    ]
    for damage in damages:
        assert damage != whole
        kept.write_bytes(damage)
        assert (opened() == 50).all()
        assert kept.read_bytes() == whole
    np.save(kept, np.array([Trap(tmp_path / "sprung")], object))
    assert (opened() == 50).all()
    assert not (tmp_path / "sprung").exists()
    assert list((tmp_path / "cache").iterdir()) == [kept]


def test_a_cache_folder_that_cannot_be_made_costs_only_a_warning(pictures: Path, opened: Open, tmp_path: Path) -> None:
    paint(pictures / "a.png", 50)
    (tmp_path / "file").touch()
    fact = (
        f"decoded pictures cannot be kept in '{tmp_path / 'file' / 'cache'}': Not a directory; "
        "every run will decode them again\n  name a folder that can be written with `cache`"
    )
    with pytest.warns(LatentkitWarning, match=f"^{re.escape(fact)}$"):
        images = opened(cache=str(tmp_path / "file" / "cache"))
    assert (images == 50).all()
    assert not images.flags.writeable


@pytest.mark.parametrize("workers", [0, 1])
def test_a_full_disk_costs_only_a_warning(pictures: Path, opened: Open, tmp_path: Path, workers: int) -> None:
    resource = pytest.importorskip("resource", reason="file sizes can be limited on POSIX only")
    for index in range(70):
        paint(pictures / f"{index:02}.png", np.full((8, 8), index, np.uint8))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.warns(LatentkitWarning, match="File too large"):
            images = opened(8, workers=workers)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert images.shape == (70, 3, 8, 8)
    assert images[:, 0, 0, 0].tolist() == list(range(70))
    assert list((tmp_path / "cache").iterdir()) == []


def test_threads_that_open_a_folder_at_once_do_not_disturb_each_other(
    pictures: Path, opened: Open, tmp_path: Path
) -> None:
    for index in range(30):
        paint(pictures / f"{index:02}.png", np.full((64, 64), index, np.uint8))
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: opened(32), range(8)))
    for images in results:
        np.testing.assert_array_equal(images[:, 0, 0, 0], range(30))
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_the_cache_lies_where_the_system_keeps_caches(
    pictures: Path, opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint(pictures / "a.png", 50)

    def kept(below: str) -> list[str]:
        return [file.suffix for file in (tmp_path / below).iterdir()]

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    opened(cache=None)
    assert kept("xdg/latentkit") == [".npy"]
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    opened(cache=None)
    assert kept("home/.cache/latentkit") == [".npy"]


def test_a_user_without_a_home_has_a_cache_among_temporary_files(
    pictures: Path, opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    paint(pictures / "a.png", 50)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", nowhere)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "temporary"))
    assert (opened(cache=None) == 50).all()
    assert len(list((tmp_path / "temporary/latentkit").iterdir())) == 1
