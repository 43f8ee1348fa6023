"""CSV files of attributes, and which of their rows belong to which images."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from latentkit.errors import DataError
from latentkit.latent.attribute_tables import AttributeTable, match, read_attributes

HEADER = "image,Smiling,Age\n"


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "labels.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_table_is_read_by_rows_and_columns(tmp_path: Path) -> None:
    path = written(tmp_path, '\ufeffimage, Smiling ,"Age, in years"\r\n\r\n./a.png,1,2.5\r\nb\\c.png,0,-1e3\r\n')
    found = read_attributes(path)
    assert found.files == ("a.png", "b/c.png")
    assert found.names == ("Smiling", "Age, in years")
    assert found.values.dtype == np.float32
    assert found.values.tolist() == [[1, 2.5], [0, -1000]]
    assert found.signed == ()


def test_minus_one_and_one_are_read_as_zero_and_one_where_a_column_has_nothing_else(tmp_path: Path) -> None:
    path = written(tmp_path, "image,Male,Bald,Tilt,Young\na,-1,-1,-1,1\nb,1,-1,0.5,1\nc,1,-1,1,1\n")
    found = read_attributes(path)
    assert found.values.T.tolist() == [[0, 1, 1], [0, 0, 0], [-1, 0.5, 1], [1, 1, 1]]
    assert found.signed == ("Male", "Bald")


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (
            "",
            "a row per image: the image's file, and a number for each attribute, apart by commas; found an empty file",
        ),
        ("202599\n5_o_Clock_Shadow Bald\n", "apart by commas; found the header '202599'"),
        ("image Smiling Age\na 1 2\n", "found the header 'image Smiling Age'"),
        (HEADER, "no image below the header"),
        (HEADER + "a,1,2\nb,1\n", "line 3: expected 3 cells, as in the header, found 2"),
        (HEADER + "a,1,2\n\nb,1,old\n", "line 4: 'Age': expected a number, found 'old'"),
        (HEADER + "a,,2\n", "line 2: 'Smiling': expected a number, found ''"),
        (HEADER + "a,nan,2\n", "line 2: 'Smiling': expected a number, found 'nan'"),
        (HEADER + "a,1,1e39\n", "line 2: 'Age': expected a number, found '1e39'"),
        (HEADER + "a,1,2\nb,1,2\n./a,0,1\n", "1 images have more than one row: a"),
        ("image,Age,Age\na,1,2\n", "expected a name for each attribute, once and without '=', found ['Age']"),
        ("image,Age=1,\na,1,2\n", "found ['Age=1', '']"),
        (b"image,Age\n\xff\xfe,1\n", "found no such text ('utf-8'"),
        ('image,Age\n"a,1\n', "found no such text (unexpected end of data)"),
    ],
)
def test_what_is_no_table_of_attributes_is_refused_with_its_line(
    tmp_path: Path, content: str | bytes, fact: str
) -> None:
    path = written(tmp_path, content)
    with pytest.raises(DataError, match=re.escape(fact)) as caught:
        read_attributes(path)
    assert str(caught.value).startswith(str(path))


def test_a_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv: cannot be read: No such file or directory"):
        read_attributes(tmp_path / "none.csv")
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        read_attributes(tmp_path)


def table(*files: str) -> AttributeTable:
    return AttributeTable(files=files, names=("a",), values=np.zeros((len(files), 1), np.float32))


def test_images_find_their_rows_in_the_order_of_the_images() -> None:
    found = match(table("c.png", "a/b.png", "d.png"), ["a/b.png", "x.png", "c.png"])
    assert found.rows.tolist() == [1, 0]
    assert found.images.tolist() == [0, 2]
    assert (found.rowless, found.imageless) == (("x.png",), ("d.png",))


def test_the_end_of_a_name_may_be_a_row_where_folders_are_not_known() -> None:
    rows = table("a/b.png", "b.png", "c.png")
    found = match(rows, ["faces/a/b.png", "/data/faces/b.png", "faces/c.png"], whole=False)
    assert found.rows.tolist() == [0, 1, 2]
    assert match(rows, ["faces/c.png"]).rows.tolist() == []
    assert match(rows, ["cc.png"], whole=False).rowless == ("cc.png",)
    with pytest.raises(DataError, match=r"1 rows are of several images each: c\.png"):
        match(rows, ["a/c.png", "b/c.png"], whole=False)
