"""Data in many npz files: the same samples as in one, read when they are wanted."""

from __future__ import annotations

import itertools
import pickle
import re
from collections import abc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from latentkit.data.npz import Npz
from latentkit.data.npz_files import read_member
from latentkit.data.npz_rows import NpzRows
from latentkit.engine.batches import Batches
from latentkit.engine.samples import open_samples
from latentkit.errors import DataError
from latentkit.interfaces import Rows
from latentkit.recipe.schema import DataSpec

SIZES = (5, 9, 1, 12)
COUNT = sum(SIZES)
PIXELS = np.random.default_rng(0).integers(0, 256, (COUNT, 6, 6, 3), np.uint8)
LABELS = np.arange(COUNT) % 4
Save = abc.Callable[..., None]


def written(folder: Path, save: Save, pixels: np.ndarray = PIXELS) -> Path:
    folder.mkdir(exist_ok=True)
    ends = np.cumsum([0, *SIZES])
    for number, (start, end) in enumerate(itertools.pairwise(ends)):
        save(folder / f"part-{number}.npz", images=pixels[start:end], classes=LABELS[start:end])
    return folder


def source(path: object, **options: Any) -> Npz:
    return Npz(**{"path": str(path), "label": "classes", **options})


def refused(found: Npz) -> str:
    with pytest.raises(DataError) as caught:
        found.open(6, 6, 3).fields["image"][:]
    return str(caught.value)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("kind", ["uint8", "float32", "n c h w", "fortran"])
def test_many_files_have_the_samples_of_one(tmp_path: Path, save: Save, kind: str) -> None:
    pixels = PIXELS / np.float32(255) if kind == "float32" else PIXELS
    pixels = np.moveaxis(pixels, -1, 1) if kind == "n c h w" else pixels
    pixels = np.asfortranarray(pixels) if kind == "fortran" else pixels
    folder = written(tmp_path / "parts", save, pixels)
    save(tmp_path / "one.npz", images=pixels, classes=LABELS)
    wanted = source(tmp_path / "one.npz").open(6, 4, 1)  # cropped, grey
    for path in (folder, folder / "part-*.npz"):
        kept, streamed = (source(path, stream=stream).open(6, 4, 1) for stream in ("never", "always"))
        images = streamed.fields["image"]
        assert isinstance(kept.fields["image"], np.ndarray)
        assert isinstance(images, NpzRows)
        chosen = np.array([26, 0, 5, 5, 13, 14])
        assert np.array_equal(images[chosen], wanted.fields["image"][chosen])
        assert np.array_equal(pickle.loads(pickle.dumps(images))[3:20], wanted.fields["image"][3:20])
        for field in ("image", "label"):
            assert np.array_equal(kept.fields[field], wanted.fields[field])
            assert np.array_equal(streamed.fields[field][:], wanted.fields[field])


def test_one_file_is_streamed_where_that_is_asked_for(tmp_path: Path) -> None:
    np.savez(tmp_path / "one.npz", images=PIXELS, classes=LABELS)
    table = source(tmp_path / "one.npz", stream="always").open(6, 6, 3)
    assert isinstance(table.fields["image"], Rows)
    assert table.shards is None
    assert np.array_equal(table.fields["image"][:], np.moveaxis(PIXELS, -1, 1))


def test_compressed_files_are_shards_and_others_are_not(tmp_path: Path) -> None:
    packed, plain = written(tmp_path / "packed", np.savez_compressed), written(tmp_path / "plain", np.savez)
    for stream in ("never", "always"):
        shards = source(packed, stream=stream).open(6, 6, 3).shards
        assert shards is not None
        assert shards.tolist() == [0, 5, 14, 15]
        assert source(plain, stream=stream).open(6, 6, 3).shards is None


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_batches_are_the_same_streamed_and_in_memory(tmp_path: Path, save: Save) -> None:
    folder = written(tmp_path / "parts", save)
    spec = DataSpec(use="npz", flip=True, gives={"x": "image", "y": "label"}, resolution=6, channels=3, split=0.8)
    one, other = (
        Batches(open_samples("d", spec, source(folder, stream=stream)), 4, 0, torch.device("cpu"), torch.float32)
        for stream in ("never", "always")
    )
    for position in (0, 1, 2, 9, 3, 0):
        mine, theirs = one.at(position), other.at(position)
        assert torch.equal(mine["x"], theirs["x"])
        assert torch.equal(mine["y"], theirs["y"])
    other.close()


def test_a_compressed_file_is_unpacked_once_for_a_batch_and_let_go(tmp_path: Path) -> None:
    images = source(written(tmp_path / "parts", np.savez_compressed), stream="always").open(6, 6, 3).fields["image"]
    assert isinstance(images, NpzRows)
    images[np.array([0, 26, 1, 25])]
    assert list(images.recent.kept) == [0, 3]
    images.release()
    assert list(images.recent.kept) == []


def test_files_that_differ_are_refused(tmp_path: Path) -> None:
    folder = written(tmp_path / "parts", np.savez)
    odd = folder / "part-2.npz"
    np.savez(odd, images=PIXELS[:1, :5], classes=LABELS[:1])
    first = folder / "part-0.npz"
    assert refused(source(folder)) == (
        f"npz: '{odd}', array 'images': expected uint8 images [3, 6, 6] (channels, height, width) as in '{first}', "
        "found uint8 [3, 5, 6]"
    )
    np.savez(odd, images=PIXELS[:1] / np.float32(255), classes=LABELS[:1])
    assert refused(source(folder)).endswith("found float32 [3, 6, 6]")
    np.savez(odd, pictures=PIXELS[:1], classes=LABELS[:1])
    assert refused(source(folder)) == f"npz: '{odd}' has no array 'images'; it has 'pictures', 'classes'"
    np.savez(odd, images=PIXELS[:1], classes=LABELS[:3])
    assert refused(source(folder)) == f"npz: '{odd}', array 'classes': 3 labels for 1 images"
    np.savez(odd, images=PIXELS[:1].astype(np.int16), classes=LABELS[:1])
    assert refused(source(folder)).endswith("expected uint8, or float in [0, 1], found int16")


class Trap:
    """Springs when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_headers_are_read_without_unpickling(tmp_path: Path) -> None:
    folder = written(tmp_path / "parts", np.savez)
    np.savez(folder / "part-1.npz", images=np.array([Trap(tmp_path / "sprung")], object), classes=LABELS[:1])
    assert "found Python objects, which are never loaded" in refused(source(folder, stream="always"))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_file_that_is_gone_or_cut_off_on_the_way_is_named(tmp_path: Path, save: Save) -> None:
    folder = written(tmp_path / "parts", save)
    images = source(folder, stream="always").open(6, 6, 3).fields["image"]
    last = folder / "part-3.npz"
    content = last.read_bytes()
    last.write_bytes(content[:400])
    with pytest.raises(DataError, match=re.escape(f"'{last}'")):
        images[np.array([26])]
    last.unlink()
    with pytest.raises(DataError, match=re.escape(f"'{last}'")):
        images[np.array([26])]
    assert np.array_equal(images[np.array([2])], np.moveaxis(PIXELS[2:3], -1, 1))


def test_a_float_out_of_range_is_found_when_it_is_read(tmp_path: Path) -> None:
    pixels = PIXELS / np.float32(255)
    pixels[20] = 2
    images = source(written(tmp_path / "parts", np.savez, pixels), stream="always").open(6, 6, 3).fields["image"]
    assert len(images[np.arange(20)]) == 20
    with pytest.raises(DataError, match=r"expected float values in \[0, 1\], found 2 to 2"):
        images[np.array([20])]


def test_an_archive_says_where_its_array_is(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", labels=LABELS, images=PIXELS)
    member = read_member(str(tmp_path / "a.npz"), "images", "a.npz")
    assert (member.shape, member.dtype, member.layout) == (PIXELS.shape, "|u1", (3, 6, 6))
    assert member.offset is not None
    content = (tmp_path / "a.npz").read_bytes()[member.offset :]
    assert content.startswith(PIXELS.tobytes())
