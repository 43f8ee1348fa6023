"""Pictures in tar and Parquet files: what is found in them, how it is read, and what is said of faults."""

from __future__ import annotations

import io
import json
import pickle
import re
import sys
import tarfile
from collections import abc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from latentkit.data.parquet import Parquet
from latentkit.data.paths import files_of, spelt_out
from latentkit.data.tar_index import entries
from latentkit.data.webdataset import WebDataset
from latentkit.engine.batches import Batches
from latentkit.engine.samples import open_samples
from latentkit.errors import DataError, LatentkitError, LatentkitWarning
from latentkit.interfaces import DataSource, Rows
from latentkit.recipe.schema import DataSpec

COUNT = 17
PIXELS = np.random.default_rng(0).integers(0, 256, (COUNT, 8, 8, 3), np.uint8)
PLANES = np.moveaxis(PIXELS, -1, 1)
LABELS = np.arange(COUNT) % 3


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def tar(path: Path, members: abc.Mapping[str, bytes], **options: Any) -> Path:
    with tarfile.open(path, "w", **options) as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = (
                len(content),
                1.5,
            )  # a time like this takes a header of its own, as WebDataset writes
            file.addfile(info, io.BytesIO(content))
    return path


def members(start: int = 0, end: int = COUNT) -> dict[str, bytes]:
    found = {}
    for index in range(start, end):
        found[f"a/{index:03}.cls"] = b"%d\n" % LABELS[index]
        found[f"a/{index:03}.png"] = png(PIXELS[index])
        found[f"a/{index:03}.json"] = b"{}"
    return found


def webdataset(path: object, **options: Any) -> WebDataset:
    return WebDataset(**{"path": str(path), "label": "cls", "workers": 0, **options})


def refused(source: DataSource, size: int = 8) -> str:
    with pytest.raises(DataError) as caught:
        source.open(size, size, 3).fields["image"][:]
    return str(caught.value)


@pytest.fixture
def tars(tmp_path: Path) -> Path:
    """A folder of three tar files."""
    for number, (start, end) in enumerate([(0, 6), (6, 7), (7, COUNT)]):
        tar(tmp_path / f"part-{number}.tar", members(start, end))
    (tmp_path / "notes.txt").write_text("no tar file")
    return tmp_path


# Tar files


@pytest.mark.parametrize("stream", ["always", "never"])
def test_samples_of_tar_files_are_pictures_and_labels_of_one_name(tars: Path, stream: str) -> None:
    for path in (tars, tars / "part-*.tar", tars / "part-{0..2}.tar", tars / "part-{0,1,2}.tar"):
        table = webdataset(path, stream=stream).open(8, 8, 3)
        images = table.fields["image"]
        assert isinstance(images, Rows) == (stream == "always")
        assert np.array_equal(images[:], PLANES)
        assert np.array_equal(images[np.array([16, 0, 0, 6])], PLANES[[16, 0, 0, 6]])
        assert np.array_equal(table.array("label"), LABELS)
        assert table.shards is None


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_are_found_in_every_format_as_the_standard_library_finds_them(tmp_path: Path, format: int) -> None:
    names = ["a.png", "folder/b.cls", f"{'d' * 80}/{'e' * 90}.png"]
    names += ["f" * 150 + ".png", "ü/ß.png"] if format != tarfile.USTAR_FORMAT else []
    path = tar(tmp_path / "a.tar", {name: name.encode() * 100 for name in names}, format=format)
    with tarfile.open(path, "a", format=format) as file:
        file.addfile(tarfile.TarInfo("empty"))
        folder = tarfile.TarInfo("folder/below")
        folder.type = tarfile.DIRTYPE
        file.addfile(folder)
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "a.png"
        file.addfile(link)
        last = tarfile.TarInfo("last")
        last.size = 3
        file.addfile(last, io.BytesIO(b"end"))
    with tarfile.open(path) as file:
        wanted = [(entry.name, entry.offset_data, entry.size) for entry in file.getmembers() if entry.isreg()]
    assert [(entry.name, entry.offset, entry.size) for entry in entries(str(path), "x")] == wanted
    assert len(wanted) == len(names) + 2


def test_batches_from_tar_files_are_the_same_streamed_and_in_memory(tars: Path) -> None:
    spec = DataSpec(use="webdataset", gives={"x": "image", "y": "label"}, resolution=8, flip=True, split=0.9)
    found = []
    for stream, workers in (("never", 0), ("always", 0), ("always", 1)):
        source = webdataset(tars, stream=stream, workers=workers)
        batches = Batches(open_samples("d", spec, source), 4, 0, torch.device("cpu"), torch.float32)
        found.append([batches.at(position) for position in (0, 1, 5, 2)])
        batches.close()
    for one, *others in zip(*found, strict=True):
        for other in others:
            assert all(torch.equal(one[name], other[name]) for name in "xy")


def test_tar_files_at_fault_are_named(tars: Path, tmp_path: Path) -> None:
    where = f"webdataset: path = '{tmp_path / 'x.tar'}'"
    file = tmp_path / "x.tar"
    assert refused(webdataset(file)) == f"{where}: there is no file '{file}'"
    whole = (tars / "part-2.tar").read_bytes()
    for content, fact in [
        (b"", "is empty, or no tar file"),
        (b"hello" * 200, "is no tar file"),
        (b"\x1f\x8b" + b"0" * 600, "is compressed, and cannot be read in any order; unpack it to a plain .tar"),
        (whole[:1000], "is cut off: it has no end mark"),
        (whole[:3700], "is cut off: 'a/007.png' goes beyond its end"),
        (whole[:512] + b"x" * 512 + whole[1024:], "is damaged at byte "),
    ]:
        file.write_bytes(content)
        assert f"{where}: '{file}' {fact}" in refused(webdataset(file))
    file.unlink()
    assert refused(webdataset(tmp_path / "part-{0..4}.tar")).endswith(
        f"expected the files of this pattern, but '{tmp_path / 'part-3.tar'}' and 1 more is not there"
    )


def test_samples_at_fault_are_named(tmp_path: Path) -> None:
    file = tmp_path / "a.tar"
    where = f"webdataset: path = '{file}'"
    some = members(0, 3)
    del some["a/001.cls"]
    assert refused(webdataset(tar(file, some))) == f"{where}: '{file}' has no .cls beside the pictures of a/001"
    tar(file, members(0, 3) | {"a/001.cls": b"a cat"})
    assert refused(webdataset(file)) == (
        f"{where}: '{file}', 'a/001.cls': expected a class as a number from 0 on, found 'a cat'"
    )
    tar(file, members(0, 3) | {"a/002.jpg": b""})
    assert refused(webdataset(file)) == (
        f"{where}: '{file}' has several pictures of the sample 'a/002'; choose with image"
    )
    assert len(webdataset(file, image="png").open(8, 8, 3)) == 3
    assert refused(webdataset(file, image="seg.png")) == f"{where}: expected pictures (.seg.png), found none"
    tar(file, {"a.cls": b"0"})
    assert refused(webdataset(file)) == f"{where}: expected pictures (.jpg, .jpeg, .png, .webp), found none"


def test_a_picture_at_fault_in_a_tar_file_is_named_or_skipped(tmp_path: Path) -> None:
    file = tar(tmp_path / "a.tar", members(0, 5) | {"a/001.png": b"none", "a/003.png": png(PIXELS[3, :4])})
    for stream in ("always", "never"):
        told = refused(webdataset(file, stream=stream))
        assert "1 cannot be read: a.tar:a/001; 1 is smaller than 8 x 8 (height x width): a.tar:a/003 (4 x 8)" in told
    skipping = webdataset(file, small="skip", unreadable="skip", stream="never")
    with pytest.warns(LatentkitWarning, match="2 of 5 pictures are skipped"):
        table = skipping.open(8, 8, 3)
    assert np.array_equal(table.fields["image"][:], PLANES[[0, 2, 4]])
    assert table.array("label").tolist() == LABELS[[0, 2, 4]].tolist()
    assert "skipped only where they have no labels" in refused(webdataset(file, small="skip", stream="always"))
    source = webdataset(file, label=None, unreadable="skip", small="enlarge", stream="always")
    images = open_samples("d", DataSpec(use="webdataset", resolution=8), source).table.fields["image"]
    with pytest.warns(LatentkitWarning, match="a.tar:a/001: skipped, and the next one taken"):
        found = images[np.array([1])]
    assert np.array_equal(found, PLANES[[2]])
    with pytest.raises(DataError, match="webdataset: workers must be 0"):
        webdataset(file, workers=-1)


def test_patterns_are_spelt_out(tmp_path: Path) -> None:
    assert spelt_out("{a,b}-{08..10}", "x") == [f"{one}-{two}" for one in "ab" for two in ("08", "09", "10")]
    with pytest.raises(DataError, match="at most 100,000 files of a pattern"):
        spelt_out("a-{0..9999999}", "x")
    (tmp_path / "odd{1}[a].tar").touch()
    assert files_of(str(tmp_path / "odd{1}[a].tar"), ".tar", "x") == [str(tmp_path / "odd{1}[a].tar")]


# Parquet files


@pytest.fixture
def arrow() -> Any:
    return pytest.importorskip("pyarrow")


def table_of(arrow: Any, start: int, end: int, nested: bool = True) -> Any:
    files = [png(PIXELS[index]) for index in range(start, end)]
    images = [{"bytes": file, "path": f"{index}.png"} for index, file in enumerate(files)] if nested else files
    return arrow.table({"image": images, "label": LABELS[start:end]})


def written(arrow: Any, folder: Path, nested: bool = True, **options: Any) -> Path:
    import pyarrow.parquet

    for number, (start, end) in enumerate([(0, 6), (6, 7), (7, COUNT)]):
        table = table_of(arrow, start, end, nested)
        pyarrow.parquet.write_table(table, folder / f"{number}.parquet", row_group_size=4, **options)
    return folder


def parquet(path: object, **options: Any) -> Parquet:
    return Parquet(**{"path": str(path), "label": "label", "workers": 0, **options})


@pytest.mark.parametrize("nested", [True, False])
def test_pictures_of_parquet_files_come_by_row_groups(arrow: Any, tmp_path: Path, nested: bool) -> None:
    folder = written(arrow, tmp_path, nested)
    for stream in ("always", "never"):
        table = parquet(folder, stream=stream).open(8, 8, 3)
        images = table.fields["image"]
        assert isinstance(images, Rows) == (stream == "always")
        assert np.array_equal(images[:], PLANES)
        assert np.array_equal(images[np.array([16, 0, 0, 6])], PLANES[[16, 0, 0, 6]])
        assert np.array_equal(table.array("label"), LABELS)
        assert table.shards is not None
        assert table.shards.tolist() == [0, 4, 6, 7, 11, 15]
        if isinstance(images, Rows):
            assert np.array_equal(pickle.loads(pickle.dumps(images))[3:8], PLANES[3:8])


def test_batches_from_parquet_are_the_same_streamed_and_in_memory(arrow: Any, tmp_path: Path) -> None:
    folder = written(arrow, tmp_path)
    spec = DataSpec(use="parquet", gives={"x": "image", "y": "label"}, resolution=8, flip=True, split=0.9)
    found = []
    for stream, workers in (("never", 0), ("always", 0), ("always", 2)):
        source = parquet(folder, stream=stream, workers=workers)
        batches = Batches(open_samples("d", spec, source), 4, 0, torch.device("cpu"), torch.float32)
        found.append([batches.at(position) for position in (0, 1, 5, 2)])
        batches.close()
    for one, *others in zip(*found, strict=True):
        for other in others:
            assert all(torch.equal(one[name], other[name]) for name in "xy")


def test_shards_keep_their_place_when_pictures_are_skipped(arrow: Any, tmp_path: Path) -> None:
    import pyarrow.parquet

    images = [png(pixels) for pixels in PIXELS]
    for index in (0, 4, 5, 6, 7, 16):  # the second group is gone
        images[index] = b"none"
    pyarrow.parquet.write_table(arrow.table({"image": images}), tmp_path / "a.parquet", row_group_size=4)
    with pytest.warns(LatentkitWarning, match="6 of 17 pictures are skipped"):
        table = parquet(tmp_path, label=None, unreadable="skip", stream="never").open(8, 8, 3)
    assert table.shards is not None
    assert table.shards.tolist() == [0, 3, 7]
    assert np.array_equal(table.fields["image"][:], PLANES[[1, 2, 3, *range(8, 16)]])


def test_names_of_classes_are_those_of_the_hub(arrow: Any, tmp_path: Path) -> None:
    import pyarrow.parquet

    notes = {"info": {"features": {"label": {"names": ["cat", "dog", "eel"], "_type": "ClassLabel"}}}}
    table = table_of(arrow, 0, 4).replace_schema_metadata({"huggingface": json.dumps(notes)})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    assert parquet(tmp_path).columns("label") == ("cat", "dog", "eel")
    assert parquet(tmp_path).columns("image") == ()
    assert parquet(written(arrow, tmp_path)).columns("label") == ()


def test_parquet_files_at_fault_are_named(arrow: Any, tmp_path: Path) -> None:
    import pyarrow.parquet

    file = tmp_path / "a.parquet"
    where = f"parquet: path = '{file}'"

    def write(**columns: Any) -> None:
        pyarrow.parquet.write_table(arrow.table(columns), file)

    assert refused(parquet(file)) == f"{where}: there is no file '{file}'"
    file.write_bytes(b"hello")
    assert refused(parquet(file)) == f"{where}: '{file}' is no Parquet file, or a damaged one"
    images = [png(PIXELS[0])]
    write(picture=images, label=[0])
    assert refused(parquet(file)) == f"{where}: '{file}' has no column 'image'; it has 'picture', 'label'"
    write(image=images)
    assert refused(parquet(file)).endswith("has no column 'label'; it has 'image'")
    write(image=["a.png"], label=[0])
    assert refused(parquet(file)).endswith(
        "column 'image': expected pictures, as binary or as a struct with 'bytes', found string"
    )
    for labels, fact in ((["a"], "found string"), ([None], "found null"), ([-1], "labels from 0 on, found -1")):
        write(image=images, label=labels)
        assert refused(parquet(file)).endswith(fact) or "1 empty places" in refused(parquet(file))
    write(image=arrow.array([], arrow.binary()), label=arrow.array([], arrow.int64()))
    assert refused(parquet(file)) == f"{where}: has no rows"
    write(image=[images[0], None], label=[0, 1])
    assert "1 cannot be read: a.parquet, row 1" in refused(parquet(file))
    with pytest.raises(DataError, match="parquet: workers must be 0"):
        parquet(file, workers=-1)


def test_a_parquet_file_that_is_damaged_on_the_way_is_named(arrow: Any, tmp_path: Path) -> None:
    images = parquet(written(arrow, tmp_path), stream="always").open(8, 8, 3).fields["image"]
    (tmp_path / "2.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=re.escape(f"'{tmp_path / '2.parquet'}' is no Parquet file, or a damaged one")):
        images[np.array([16])]
    assert np.array_equal(images[np.array([2])], PLANES[[2]])


def test_it_is_told_what_to_install_for_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (tmp_path / "a.parquet").touch()
    with pytest.raises(LatentkitError, match=r"^Parquet files need pyarrow: pip install 'latentkit\[parquet\]'$"):
        parquet(tmp_path).open(8, 8, 3)
