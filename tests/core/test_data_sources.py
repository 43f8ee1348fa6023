"""Data from IDX files, NumPy archives and scikit-learn, sprites made by code, and arrays fitted to a request."""

from __future__ import annotations

import gzip
import os
import re
import struct
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentkit.data.digits import Digits
from latentkit.data.idx import Idx
from latentkit.data.images import fit, resize_arrays
from latentkit.data.npz import Npz
from latentkit.data.sprite_shapes import AREAS, SHAPES, render
from latentkit.data.sprites import Sprites, factors
from latentkit.errors import DataError
from latentkit.interfaces import DataSource


def refused(source: DataSource, resolution: int = 4, channels: int = 1) -> str:
    with pytest.raises(DataError) as caught:
        source.open(resolution, resolution, channels)
    return str(caught.value)


def idx(array: np.ndarray) -> bytes:
    header = struct.pack(f">I{array.ndim}I", 0x0800 + array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def written(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)


# Arrays to the resolution and channels that are asked for


def test_larger_sprites_vary_less_in_position_and_stay_inside() -> None:
    found = factors(500, scale=(0.6, 0.8))
    assert 0.6 <= found[:, 1].min() < 0.62
    assert 0.78 < found[:, 1].max() <= 0.8
    assert 0.18 < np.abs(found[:, 3:]).max() <= 0.2
    image = render(found, 32, 32)
    assert max(image[:, :, [0, -1]].max(), image[:, :, :, [0, -1]].max()) <= 128  # an edge that is just touched
    with pytest.raises(DataError, match=r"scale must be \[smallest, largest\] between 0 and 1, found \[0\.5, 1\.5\]"):
        Sprites(scale=(0.5, 1.5))


def test_an_array_that_fits_is_returned_itself() -> None:
    images = np.arange(48, dtype=np.uint8).reshape(1, 3, 4, 4)
    assert resize_arrays(images, 4, 4, 3) is images


@pytest.mark.parametrize(
    ("height", "width", "box"), [(4, 7, np.s_[:, 1:5]), (9, 4, np.s_[2:6, :]), (5, 4, np.s_[:4, :])]
)
def test_the_central_square_of_an_array_is_kept(height: int, width: int, box: tuple[slice, slice]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 3, height, width), np.uint8)
    np.testing.assert_array_equal(resize_arrays(images, 4, 4, 3), images[:, :, *box])


@pytest.mark.parametrize(
    ("found", "wanted", "box"),
    [
        ((8, 8), (4, 8), np.s_[2:6, :]),
        ((8, 8), (2, 1), np.s_[:, 2:6]),
        ((19, 64), (2, 8), np.s_[1:17, :]),
        ((64, 18), (8, 2), np.s_[:, 1:17]),
        ((4, 6), (4, 6), np.s_[:, :]),
        ((4, 9), (4, 6), np.s_[:, 1:7]),
        ((1, 9), (7, 1), np.s_[:, 4:5]),
    ],
)
def test_the_central_part_of_the_wanted_proportions_is_kept(
    found: tuple[int, int], wanted: tuple[int, int], box: tuple[slice, slice]
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 3, *found), np.uint8)
    resized = resize_arrays(images, *wanted, 3)
    assert resized.shape == (2, 3, *wanted)
    for image, made in zip(images, resized, strict=True):
        part = Image.fromarray(np.moveaxis(image[:, *box], 0, -1).copy())
        np.testing.assert_array_equal(made, fit(part, *wanted, 3))
        whole = Image.fromarray(np.moveaxis(image, 0, -1).copy())
        np.testing.assert_array_equal(made, fit(whole, *wanted, 3))


def test_oblong_images_of_whole_pixels_to_one_are_their_means() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 1, 8, 14), np.uint8)
    mean = images[:, :, :, 1:13].reshape(2, 1, 4, 2, 6, 2).mean((3, 5))
    np.testing.assert_allclose(resize_arrays(images, 4, 6, 1), mean, rtol=0, atol=1)


@pytest.mark.parametrize("channels", [1, 3])
def test_whole_pixels_to_one_are_their_mean(channels: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, channels, 12, 18), np.uint8)
    mean = images[:, :, :, 3:15].reshape(2, channels, 4, 3, 4, 3).mean((3, 5))
    np.testing.assert_allclose(resize_arrays(images, 4, 4, channels), mean, rtol=0, atol=1)


@pytest.mark.parametrize(("found", "resolution"), [(28, 32), (28, 7), (28, 20), (28, 5), (1, 4), (30, 1)])
def test_an_even_array_stays_even_at_any_resolution(found: int, resolution: int) -> None:
    images = np.full((2, 1, found, found + 3), 77, np.uint8)
    resized = resize_arrays(images, resolution, resolution, 3)
    assert resized.shape == (2, 3, resolution, resolution)
    assert resized.dtype == np.uint8
    assert (resized == 77).all()


def test_enlarging_does_not_move_a_centred_picture() -> None:
    image = np.zeros((1, 1, 8, 8), np.uint8)
    image[..., 2:6, 2:6] = 200
    large = resize_arrays(image, 20, 20, 1)
    np.testing.assert_array_equal(large, large[..., ::-1, :])
    np.testing.assert_array_equal(large, large[..., ::-1])
    assert large[0, 0, 10, 10] >= 200
    assert large[0, 0, 0, 0] == 0


def test_grey_is_repeated_and_colour_weighed_by_its_luminance() -> None:
    grey = np.array([[[[0, 128], [200, 255]]]], np.uint8)
    np.testing.assert_array_equal(resize_arrays(grey, 2, 2, 3), grey.repeat(3, axis=1))
    colours = np.array([[[255, 0], [0, 255]], [[0, 255], [0, 255]], [[0, 0], [255, 255]]], np.uint8)[None]
    np.testing.assert_array_equal(resize_arrays(colours, 2, 2, 1), [[[[76, 150], [29, 255]]]])  # ITU-R 601


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("resolution", [5, 8, 11])
def test_arrays_are_treated_as_picture_files_are(channels: int, resolution: int) -> None:
    image = np.random.default_rng(1).integers(0, 256, (8, 13, 3), np.uint8)
    expected = fit(Image.fromarray(image), resolution, resolution, channels)
    np.testing.assert_array_equal(
        resize_arrays(np.moveaxis(image, -1, 0)[None], resolution, resolution, channels)[0], expected
    )


@pytest.mark.parametrize(
    ("resolution", "channels", "fact"),
    [
        (4, 2, "channels must be 1 (grey) or 3 (colour), found 2"),
        (0, 1, "resolution must be at least 1 pixel a side, found 0 x 0"),
    ],
)
def test_a_request_that_nobody_can_serve_is_refused(resolution: int, channels: int, fact: str) -> None:
    assert refused(Sprites(count=1), resolution, channels) == f"data: {fact}"
    with pytest.raises(DataError, match=re.escape(fact)):
        resize_arrays(np.zeros((1, 1, 4, 4), np.uint8), resolution, resolution, channels)


# IDX files

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 4, 4), np.uint8)
LABELS = np.array([3, 0, 9, 1, 1, 2], np.uint8)


@pytest.mark.parametrize("name", ["images", "images.gz"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_idx_is_unpacked_by_its_content_and_not_its_name(tmp_path: Path, name: str, pack: type[bytes]) -> None:
    images = written(tmp_path / name, pack(idx(PIXELS)))
    labels = written(tmp_path / "labels", pack(idx(LABELS)))
    table = Idx(images=images, labels=labels).open(4, 4, 1)
    np.testing.assert_array_equal(table.fields["image"], PIXELS[:, None])
    np.testing.assert_array_equal(table.fields["label"], LABELS)
    assert table.fields["label"].dtype == np.int64


def test_idx_images_in_colour_have_their_channels_moved_first(tmp_path: Path) -> None:
    colour = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), np.uint8)
    images = Idx(images=written(tmp_path / "images", idx(colour))).open(4, 4, 3).fields["image"]
    np.testing.assert_array_equal(images, np.moveaxis(colour, -1, 1))


def test_idx_offers_labels_where_a_label_file_is_given(tmp_path: Path) -> None:
    images = written(tmp_path / "images", idx(PIXELS))
    alone, labelled = Idx(images=images), Idx(images=images, labels="nowhere")
    assert (alone.offers(), alone.classes()) == (("image",), None)
    assert (labelled.offers(), labelled.classes()) == (("image", "label"), 10)
    assert set(alone.open(4, 4, 1).fields) == {"image"}


def test_idx_finds_files_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    written(tmp_path / "images", idx(PIXELS))
    assert len(Idx(images="~/images").open(4, 4, 1)) == 6


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (b"", "expected an image file (magic number 0x00000803 or 0x00000804), found 0 bytes"),
        (b"\x00\x00\x08", "0x00000804), found 3 bytes"),
        (b"P5 4 4 255", "expected an image file (magic number 0x00000803 or 0x00000804), found 0x50352034"),
        (idx(LABELS), "found 0x00000801, a label file: were the two paths swapped?"),
        (idx(PIXELS)[:9], "the header is cut short: expected 16 bytes, found 9\n  download or unpack it again"),
        (idx(PIXELS)[:-1], "the file is cut short: expected 112 bytes for shape [6, 4, 4], found 111\n  download"),
        (idx(PIXELS) + b"\0", "the file is longer than its header says: expected 112 bytes for shape [6, 4, 4], found"),
        (idx(PIXELS[:0]), "the file is empty: its header says shape [0, 4, 4]"),
        (idx(PIXELS[:, :0]), "with c 1 or 3, found shape [6, 0, 4]"),
        (struct.pack(">I3I", 0x0803, *3 * [2**32 - 1]), "cut short: expected 79228162458924105385300197391 bytes"),
        (gzip.compress(idx(PIXELS), mtime=0)[:-9], "damaged gzip file: "),
        (gzip.compress(idx(PIXELS), mtime=0) + b"more", "damaged gzip file: "),
        (b"\x1f\x8b" + b"\xff" * 40, "damaged gzip file: "),
        (gzip.compress(idx(PIXELS), mtime=0)[:12] + b"\xff" * 60, "damaged gzip file: "),
    ],
)
def test_an_idx_file_that_contradicts_itself_is_refused(tmp_path: Path, content: bytes, fact: str) -> None:
    path = written(tmp_path / "images", content)
    message = refused(Idx(images=path))
    assert message.startswith(f"idx: images = '{path}': ")
    assert fact in message


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (idx(LABELS[:5]), "5 labels for the 6 images of 'IMAGES'\n  give the two files of the same split"),
        (idx(PIXELS), "expected a label file (magic number 0x00000801), found 0x00000803, an image file: were the two"),
        (idx(LABELS * 2), "expected labels 0 to 9, found 18"),
    ],
)
def test_idx_labels_that_do_not_fit_are_refused(tmp_path: Path, content: bytes, fact: str) -> None:
    images, labels = written(tmp_path / "images", idx(PIXELS)), written(tmp_path / "labels", content)
    message = refused(Idx(images=images, labels=labels))
    assert message.startswith(f"idx: labels = '{labels}': ")
    assert fact in message.replace(images, "IMAGES")


def test_an_idx_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "nothing"
    assert refused(Idx(images=str(missing))) == (
        f"idx: images = '{missing}': there is no such file, expected an IDX file, plain or gzip"
    )
    assert "no such file" in refused(Idx(images="~nobody-of-that-name/images"))
    assert refused(Idx(images=str(tmp_path))) == f"idx: images = '{tmp_path}': cannot be read: Is a directory"


def test_the_handwritten_digits_are_read_as_they_are_published() -> None:
    folder = os.environ.get("LATENTKIT_MNIST")
    if not folder:
        pytest.skip("LATENTKIT_MNIST names no folder with t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz")
    source = Idx(images=f"{folder}/t10k-images-idx3-ubyte.gz", labels=f"{folder}/t10k-labels-idx1-ubyte.gz")
    fields = source.open(28, 28, 1).fields
    assert fields["image"].shape == (10_000, 1, 28, 28)
    assert fields["image"].mean() == pytest.approx(33.791, abs=1e-3)
    assert fields["label"][:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert np.bincount(fields["label"]).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert (fields["image"][:, 0, 0] == 0).all()
    assert source.open(32, 32, 3).fields["image"].shape == (10_000, 3, 32, 32)


# NumPy archives


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.path,)


def npz(path: Path, **arrays: object) -> str:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return str(path)


@pytest.mark.parametrize(
    ("layout", "channels"), [("n h w", 1), ("n h w 1", 1), ("n 1 h w", 1), ("n h w 3", 3), ("n 3 h w", 3)]
)
@pytest.mark.parametrize("kind", [np.uint8, np.float32, np.float64, np.float16])
def test_npz_takes_every_layout_and_type(tmp_path: Path, layout: str, channels: int, kind: type[np.generic]) -> None:
    expected = np.random.default_rng(0).integers(0, 256, (5, channels, 4, 4), np.uint8)
    images = expected[:, 0] if layout == "n h w" else expected
    images = np.moveaxis(images, 1, -1) if layout in ("n h w 1", "n h w 3") else images
    images = images if kind is np.uint8 else (images / 255).astype(kind)
    path = npz(tmp_path / "a.npz", images=images)
    np.testing.assert_array_equal(Npz(path=path).open(4, 4, channels).fields["image"], expected)


def test_npz_floats_are_rounded_and_forgiven_a_hair(tmp_path: Path) -> None:
    values = np.array([-5e-7, 0.0, 0.4 / 255, 0.6 / 255, 254.6 / 255, 1.0, 1 + 5e-7, 0.5])
    images = np.tile(values[:4], (2, 4, 1))
    images[1] = values[4:]
    found = Npz(path=npz(tmp_path / "a.npz", images=images)).open(4, 4, 1).fields["image"]
    assert found[:, 0, 0].tolist() == [[0, 0, 0, 1], [255, 255, 255, 128]]


def test_npz_converts_more_images_than_one_piece_holds(tmp_path: Path) -> None:
    images = np.arange(2500, dtype=np.float32)[:, None, None] / 2500 * np.ones((1, 2, 2), np.float32)
    found = Npz(path=npz(tmp_path / "a.npz", images=images)).open(2, 2, 1).fields["image"]
    np.testing.assert_array_equal(found[:, 0], np.rint(images * 255))


def test_npz_labels_come_under_their_own_key(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", x_train=PIXELS, y_train=LABELS.astype(np.int32))
    source = Npz(path=path, image="x_train", label="y_train")
    assert (source.offers(), Npz(path=path).offers()) == (("image", "label"), ("image",))
    fields = source.open(4, 4, 1).fields
    np.testing.assert_array_equal(fields["label"], LABELS)
    assert fields["label"].dtype == np.int64
    np.testing.assert_array_equal(fields["image"], PIXELS[:, None])


def test_compressed_npz_is_read(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", images=PIXELS)
    np.testing.assert_array_equal(Npz(path=str(tmp_path / "a.npz")).open(4, 4, 1).fields["image"], PIXELS[:, None])


def test_npz_objects_are_refused_and_never_run(tmp_path: Path) -> None:
    trap = np.array([Trap(tmp_path / "sprung")], object)
    path = npz(tmp_path / "a.npz", images=trap)
    assert refused(Npz(path=path)) == (
        f"npz: '{path}', array 'images': expected numbers, found Python objects, which are never loaded\n"
        "  store one array of uint8 or float numbers"
    )
    single = tmp_path / "objects.npy"
    np.save(single, trap)
    assert "found a single array (.npy)" in refused(Npz(path=str(single)))
    assert not (tmp_path / "sprung").exists()


def test_an_unknown_npz_key_lists_those_that_are_there(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", image=PIXELS, labels=LABELS)
    assert refused(Npz(path=path)) == (
        f"npz: '{path}' has no array 'images'; it has 'image', 'labels'\n  did you mean 'image'?"
    )
    assert refused(Npz(path=path, image="image", label="z")).endswith("has no array 'z'; it has 'image', 'labels'")
    empty = npz(tmp_path / "empty.npz")
    assert refused(Npz(path=empty)).endswith("has no array 'images'; it has none")


@pytest.mark.parametrize(
    ("images", "fact"),
    [
        (np.zeros((4, 4), np.uint8), "with c 1 or 3, found shape [4, 4]"),
        (np.zeros((2, 4, 4, 2), np.uint8), "with c 1 or 3, found shape [2, 4, 4, 2]"),
        (np.zeros((0, 4, 4), np.uint8), "with c 1 or 3, found shape [0, 4, 4]"),
        (np.zeros((2, 3, 4, 3), np.uint8), "where axis 1 and axis 3 can both be the channels\n  store grey images"),
        (np.zeros((2, 4, 4), np.int64), "expected uint8, or float in [0, 1], found int64"),
        (np.zeros((2, 4, 4), bool), "expected uint8, or float in [0, 1], found bool"),
        (np.full((2, 4, 4), 1.01), "expected float values in [0, 1], found 1.01 to 1.01\n  scale them to [0, 1], or"),
        (np.linspace(-1, 1, 32).reshape(2, 4, 4), "expected float values in [0, 1], found -1 to 1"),
        (np.full((2, 4, 4), np.nan), "expected float values in [0, 1], found nan to nan"),
        (np.full((2, 4, 4), np.inf, np.float32), "expected float values in [0, 1], found inf to inf"),
    ],
)
def test_npz_images_of_an_unsuitable_kind_are_refused(tmp_path: Path, images: np.ndarray, fact: str) -> None:
    path = npz(tmp_path / "a.npz", images=images)
    message = refused(Npz(path=path))
    assert message.startswith(f"npz: '{path}', array 'images': ")
    assert fact in message


@pytest.mark.parametrize(
    ("labels", "fact"),
    [
        (LABELS[:, None], "expected labels as integers [n], found uint8 of shape [6, 1]"),
        (LABELS.astype(float), "expected labels as integers [n], found float64 of shape [6]"),
        (LABELS[:4], "4 labels for 6 images"),
        (LABELS.astype(np.int8) - 1, "expected labels from 0 on, found -1"),
    ],
)
def test_npz_labels_of_an_unsuitable_kind_are_refused(tmp_path: Path, labels: np.ndarray, fact: str) -> None:
    path = npz(tmp_path / "a.npz", images=PIXELS, label=labels)
    assert refused(Npz(path=path, label="label")) == f"npz: '{path}', array 'label': {fact}"


def test_an_npz_file_that_is_none_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "nothing.npz"
    assert refused(Npz(path=str(missing))) == (
        f"npz: path = '{missing}': there is no such file, expected a .npz archive"
    )
    assert (
        refused(Npz(path=str(tmp_path))) == f"npz: path = '{tmp_path}': expected a folder with .npz files, found none"
    )
    pattern = str(tmp_path / "part-*.npz")
    assert refused(Npz(path=pattern)) == f"npz: path = '{pattern}': expected files of this pattern, found none"
    np.save(tmp_path / "single.npy", PIXELS)
    assert refused(Npz(path=str(tmp_path / "single.npy"))).endswith(
        "expected a .npz archive, found a single array (.npy)\n  write it with np.savez(path, images=array)"
    )


@pytest.mark.parametrize("content", [b"", b"hello, world", b"PK\x03\x04 and no more"])
def test_what_is_no_archive_is_refused_without_advice_to_unpickle(tmp_path: Path, content: bytes) -> None:
    path = written(tmp_path / "a.npz", content)
    assert refused(Npz(path=path)) == (
        f"npz: path = '{path}': expected a .npz archive, found another kind of file or a damaged one\n"
        "  write it with np.savez(path, images=array)"
    )


def test_a_damaged_npz_array_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    npz(path, images=np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8))
    whole = path.read_bytes()
    for damaged in (whole[:900] + b"\x00\x01" + whole[902:], whole.replace(b"'shape': (", b"'shape': [", 1)):
        path.write_bytes(damaged)
        assert refused(Npz(path=str(path))).startswith(f"npz: '{path}', array 'images': cannot be read: ")


# The digits of scikit-learn


def test_digits_come_with_labels_and_the_full_range() -> None:
    source = Digits()
    fields = source.open(8, 8, 1).fields
    assert (source.offers(), source.classes()) == (("image", "label"), 10)
    assert fields["image"].shape == (1797, 1, 8, 8)
    assert fields["image"].dtype == np.uint8
    assert (fields["image"].min(), fields["image"].max()) == (0, 255)
    assert fields["image"][0, 0, 0].tolist() == [0, 0, 80, 207, 143, 16, 0, 0]  # 0 0 5 13 9 1 0 0 of 16
    assert fields["label"][:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert fields["label"].dtype == np.int64
    assert source.open(16, 16, 3).fields["image"].shape == (1797, 3, 16, 16)


def test_digits_without_scikit_learn_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    assert refused(Digits()) == (
        "digits: expected scikit-learn, which carries these images; it is not installed\n"
        "  pip install 'latentkit[eval]'"
    )


# Sprites


def moments(images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Area in squares of the image's half side, and centre of mass x, y in [-1, 1]."""
    share = images[:, 0].astype(np.float64) / 255
    side = share.shape[-1]
    centres = (2 * np.arange(side) + 1) / side - 1
    mass = share.sum((1, 2))
    return mass * (2 / side) ** 2, (share.sum(1) * centres).sum(1) / mass, (share.sum(2) * centres).sum(1) / mass


def one(shape: str, scale: float = 0.5, angle: float = 0.0, x: float = 0.0, y: float = 0.0) -> np.ndarray:
    return np.array([[SHAPES.index(shape), scale, angle, x, y]], np.float32)


def test_sprites_are_the_same_for_the_same_seed() -> None:
    first, again, other = (Sprites(count=20, seed=seed).open(32, 32, 1).fields for seed in (3, 3, 4))
    for field in ("image", "label", "factors"):
        np.testing.assert_array_equal(first[field], again[field])
    assert (first["factors"] != other["factors"]).any(1).all()


def test_sprites_of_a_seed_never_change() -> None:
    row = [2, 0.40924042, 3.2115653, -0.23021334, -0.19217062]  # numpy's PCG64 of seed 0
    np.testing.assert_allclose(factors(1)[0], row, rtol=1e-6)


def test_more_sprites_extend_the_fewer() -> None:
    few, many = Sprites(count=7).open(24, 24, 1).fields, Sprites(count=300).open(24, 24, 1).fields
    for field in few:
        np.testing.assert_array_equal(few[field], many[field][:7])


def test_sprites_offer_factors_and_the_shape_as_label() -> None:
    source = Sprites(count=200, shapes=("heart", "ellipse"))
    assert (source.offers(), source.classes()) == (("image", "label", "factors"), 2)
    fields = source.open(16, 16, 1).fields
    assert {name: (a.dtype, a.shape) for name, a in fields.items()} == {
        "image": (np.uint8, (200, 1, 16, 16)),
        "label": (np.int64, (200,)),
        "factors": (np.float32, (200, 5)),
    }
    shape = fields["factors"][:, 0].astype(int)
    assert set(shape) == {0, 2}
    np.testing.assert_array_equal(fields["label"], np.where(shape == 2, 0, 1))


def test_sprite_factors_are_independent_and_cover_their_ranges() -> None:
    drawn = factors(20_000)
    low, high = drawn.min(0), drawn.max(0)
    np.testing.assert_allclose(low, [0, 0.25, 0, -0.5, -0.5], atol=2e-3)
    np.testing.assert_allclose(high, [2, 0.5, 2 * np.pi, 0.5, 0.5], atol=2e-3)
    assert (high[2:] <= [2 * np.pi, 0.5, 0.5]).all()
    assert np.abs(np.corrcoef(drawn.T) - np.eye(5)).max() < 0.03
    np.testing.assert_allclose(np.bincount(drawn[:, 0].astype(int)) / 20_000, 1 / 3, atol=0.01)


@pytest.mark.parametrize(("resolution", "pixel_share"), [(16, 0.1), (28, 0.1), (64, 0.07), (150, 0.06)])
def test_the_centre_of_mass_of_a_sprite_is_its_x_and_y(resolution: int, pixel_share: float) -> None:
    drawn = factors(400, seed=1)
    _, x, y = moments(render(drawn, resolution, resolution))
    allowed = pixel_share * 2 / resolution
    np.testing.assert_allclose(x, drawn[:, 3], rtol=0, atol=allowed)
    np.testing.assert_allclose(y, drawn[:, 4], rtol=0, atol=allowed)


@pytest.mark.parametrize(("resolution", "allowed"), [(16, 0.12), (64, 0.01), (150, 0.004)])
def test_the_area_of_a_sprite_is_its_shapes_times_scale_squared(resolution: int, allowed: float) -> None:
    drawn = factors(400, seed=2)
    area, _, _ = moments(render(drawn, resolution, resolution))
    np.testing.assert_allclose(area, np.array(AREAS)[drawn[:, 0].astype(int)] * drawn[:, 1] ** 2, rtol=allowed)


def test_orientation_turns_a_sprite_clockwise() -> None:
    for shape in SHAPES:
        for angle in (0.0, 0.4, 2.0):
            before, after = (render(one(shape, angle=a), 65, 65)[0, 0].astype(int) for a in (angle, angle + np.pi / 2))
            assert np.abs(np.rot90(before, -1) - after).max() <= 1, (shape, angle)


def test_the_long_axis_of_an_ellipse_lies_along_its_orientation() -> None:
    centres = (2 * np.arange(64) + 1) / 64 - 1
    for angle in (0.0, 0.3, 1.0, 2.5):
        image = render(one("ellipse", angle=angle), 64, 64)[0, 0] / 255
        xx, yy, xy = (
            (image * centres**2).sum(),
            (image.T * centres**2).sum(),
            (image * np.outer(centres, centres)).sum(),
        )
        assert np.arctan2(2 * xy, xx - yy) / 2 % np.pi == pytest.approx(angle, abs=2e-3)


def test_an_upright_heart_has_its_tip_below_and_its_notch_above() -> None:
    column = render(one("heart"), 64, 64)[0, 0, :, 31:33].astype(int)  # centre at 32, tip 16 further down
    lit = np.flatnonzero(column.min(1) > 128)
    assert lit.max() in (46, 47)
    assert 23 <= lit.min() <= 24  # the notch: (1 - 0.65666) / 0.65666 of 16 pixels above the centre
    upright = render(one("heart"), 64, 64)[0, 0]
    np.testing.assert_array_equal(upright, upright[:, ::-1])


@pytest.mark.parametrize("resolution", [16, 64])
def test_sprites_are_white_inside_black_outside_and_grey_only_on_the_edge(resolution: int) -> None:
    drawn = factors(300, seed=5)
    images = render(drawn, resolution, resolution)[:, 0]
    grey = (images > 0) & (images < 255)
    assert grey.any((1, 2)).all()
    assert (images == 255).any((1, 2)).all()
    assert (images == 0).any((1, 2)).all()
    levels = np.unique(images[grey])
    assert len(levels) > 200
    padded = np.pad(grey, ((0, 0), (1, 1), (1, 1)))
    # An edge is about one pixel wide: no square of 4 by 4 grey pixels lies in any image.
    runs = np.lib.stride_tricks.sliding_window_view(padded, (4, 4), axis=(1, 2))
    assert not runs.all((-1, -2)).any()
    centres = (2 * np.arange(resolution) + 1) / resolution - 1
    across, down = centres - drawn[:, 3, None], centres - drawn[:, 4, None]
    distance = np.hypot(across[:, None, :], down[:, :, None])
    assert (images[distance > drawn[:, 1, None, None] + 2.1 / resolution] == 0).all()


def test_the_outermost_sprites_are_whole() -> None:
    corners = [(0.5, 0.5), (-0.5, 0.5), (0.5, -0.5), (-0.5, -0.5)]
    for index, shape in enumerate(SHAPES):
        drawn = np.concatenate([one(shape, 0.5, angle, x, y) for x, y in corners for angle in (0.0, 0.8, 3.0)])
        area, _, _ = moments(render(drawn, 64, 64))
        np.testing.assert_allclose(area, AREAS[index] * 0.25, rtol=0.003)


@pytest.mark.parametrize(("height", "width"), [(40, 60), (60, 40), (30, 90)])
def test_oblong_sprites_are_as_large_as_the_shorter_side_says_and_spread_over_both(height: int, width: int) -> None:
    drawn = factors(60, seed=3)
    images = render(drawn, height, width)[:, 0] / 255
    assert images.shape == (60, height, width)
    assert max(images[:, [0, -1]].max(), images[:, :, [0, -1]].max()) <= 0.51
    rows, columns = (np.arange(size) + 0.5 for size in (height, width))
    mass = images.sum((1, 2))
    x = (images.sum(1) * columns).sum(1) / mass * (2 / width) - 1
    y = (images.sum(2) * rows).sum(1) / mass * (2 / height) - 1
    np.testing.assert_allclose(x, drawn[:, 3], atol=0.3 / width)
    np.testing.assert_allclose(y, drawn[:, 4], atol=0.3 / height)
    radius = drawn[:, 1] * min(height, width) / 2
    np.testing.assert_allclose(mass / radius**2, np.array(AREAS)[drawn[:, 0].astype(int)], rtol=0.06)


def test_sprites_are_drawn_at_any_resolution_and_in_three_channels() -> None:
    for resolution in (1, 2, 7, 100, 513):
        assert Sprites(count=3).open(resolution, resolution, 1).fields["image"].shape == (3, 1, resolution, resolution)
    grey, colour = (Sprites(count=5).open(16, 16, channels).fields["image"] for channels in (1, 3))
    np.testing.assert_array_equal(colour, grey.repeat(3, axis=1))


def test_a_small_sprite_is_a_large_one_seen_from_afar() -> None:
    drawn = factors(50, seed=6)
    large = render(drawn, 128, 128)[:, 0].reshape(50, 32, 4, 32, 4).mean((2, 4))
    difference = np.abs(large - render(drawn, 32, 32)[:, 0])
    assert difference.mean() < 0.5
    assert difference.max() < 80  # at corners, which the distance to the edge rounds


def test_ten_thousand_sprites_take_little_time() -> None:
    start = time.process_time()
    Sprites(count=10_000).open(64, 64, 1)
    assert time.process_time() - start < 4


@pytest.mark.parametrize(
    ("options", "fact"),
    [
        ({"count": 0}, "count must be at least 1, found 0"),
        ({"seed": -1}, "seed must be 0 or more, found -1"),
        ({"shapes": ("square", "hart")}, "shapes must be among ellipse, square, heart, found 'hart'\n  did you mean"),
        ({"shapes": ("circle",)}, "shapes must be among ellipse, square, heart, found 'circle'"),
        ({"shapes": ()}, "shapes must name at least one shape, each once, found []"),
        ({"shapes": ("heart", "heart")}, "at least one shape, each once, found ['heart', 'heart']"),
    ],
)
def test_sprite_options_out_of_range_are_refused(options: dict[str, object], fact: str) -> None:
    with pytest.raises(DataError, match=re.escape(fact)):
        Sprites(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("drawn", "resolution", "fact"),
    [
        (np.zeros((2, 4), np.float32), 8, "sprites: expected factors [n, 5], found shape [2, 4]"),
        (np.array([[3, 0.5, 0, 0, 0]], np.float32), 8, "sprites: expected shape indices 0 to 2 in the first factor"),
        (one("heart", scale=0.0), 8, "sprites: expected finite factors, and scales above 0 in the second one"),
        (one("heart", x=np.nan), 8, "sprites: expected finite factors, and scales above 0 in the second one"),
        (one("heart"), 0, "data: resolution must be at least 1 pixel a side, found 0 x 0"),
    ],
)
def test_factors_that_cannot_be_drawn_are_refused(drawn: np.ndarray, resolution: int, fact: str) -> None:
    with pytest.raises(DataError, match=f"^{re.escape(fact)}$"):
        render(drawn, resolution, resolution)
