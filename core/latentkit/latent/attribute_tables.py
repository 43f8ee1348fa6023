"""Tables of attributes: a CSV file with a row per image, as CelebA's are."""

from __future__ import annotations

import csv
from collections import Counter, abc
from pathlib import Path, PurePosixPath

import attrs
import numpy as np

from latentkit.errors import DataError

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float32]]
NAMED = 5
"""Of names that are told."""
_MOST = float(np.finfo(np.float32).max)
_SHAPE = "expected a header, then a row per image: the image's file, and a number for each attribute, apart by commas"


@attrs.frozen(kw_only=True, eq=False)
class AttributeTable:
    """Attributes of images by the images' files.

    Attributes:
        files: one per row, with ``/`` between folders.
        names: of the k attributes.
        values: float32 [n, k].
        signed: the attributes that the file has as -1 and 1; here they are 0 and 1.
    """

    files: tuple[str, ...]
    names: tuple[str, ...]
    values: Floats
    signed: tuple[str, ...] = ()


@attrs.frozen(kw_only=True, eq=False)
class Matching:
    """Which rows of a table belong to which images.

    Attributes:
        rows: [m], in the order of the images.
        images: [m].
        rowless: images without a row.
        imageless: rows without an image.
    """

    rows: np.ndarray
    images: np.ndarray
    rowless: tuple[str, ...]
    imageless: tuple[str, ...]


def read_attributes(path: Path) -> AttributeTable:
    """Read a CSV file: a header, and rows of the image's file and a number per attribute.

    Raises:
        DataError: it is missing or unreadable, is no such table, or has an image twice; with the line.
    """
    rows = _rows(path)
    names = _names(path, rows[0][1] if rows else [])
    if len(rows) < 2:
        raise DataError(f"{path}: no image below the header")
    values = np.empty((len(rows) - 1, len(names)), np.float32)
    files = []
    for index, (line, cells) in enumerate(rows[1:]):
        if len(cells) != len(names) + 1:
            raise DataError(
                f"{path}, line {line}: expected {len(names) + 1} cells, as in the header, found {len(cells)}"
            )
        files.append(PurePosixPath(cells[0].strip().replace("\\", "/")).as_posix())
        values[index] = [_number(path, line, *item) for item in zip(names, cells[1:], strict=True)]
    twice = [name for name, count in Counter(files).items() if count > 1]
    if twice:
        raise DataError(f"{path}: {len(twice)} images have more than one row: {listed(twice)}")
    signed = (np.isin(values, (-1, 1)).all(0)) & (values == -1).any(0)
    values[:, signed] = (values[:, signed] + 1) / 2
    told = tuple(name for name, is_signed in zip(names, signed, strict=True) if is_signed)
    return AttributeTable(files=tuple(files), names=names, values=values, signed=told)


def match(table: AttributeTable, images: abc.Sequence[str], *, whole: bool = True) -> Matching:
    """Find the row of each image by its file.

    Args:
        table: with the rows.
        images: files of images.
        whole: these are the names that a row has; otherwise a row's name may be the end of an image's.

    Raises:
        DataError: a row belongs to several images.
    """
    places = {name: index for index, name in enumerate(table.files)}
    rows = [_row(PurePosixPath(name), places, whole) for name in images]
    taken = Counter(row for row in rows if row is not None)
    several = [table.files[row] for row, count in taken.items() if count > 1]
    if several:
        raise DataError(f"{len(several)} rows are of several images each: {listed(several)}")
    found = [(row, image) for image, row in enumerate(rows) if row is not None]
    return Matching(
        rows=np.array([row for row, _ in found], int), images=np.array([image for _, image in found], int),
        rowless=tuple(name for name, row in zip(images, rows, strict=True) if row is None),
        imageless=tuple(name for index, name in enumerate(table.files) if index not in taken),
    )  # fmt: skip


def listed(names: abc.Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED:,} more" if len(names) > NAMED else "")


def _row(name: PurePosixPath, places: abc.Mapping[str, int], whole: bool) -> int | None:
    parts = name.parts
    ends = [name] if whole else [PurePosixPath(*parts[start:]) for start in range(len(parts))]
    return next((places[end.as_posix()] for end in ends if end.as_posix() in places), None)


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """The lines that are not empty, with their numbers."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            return [(reader.line_num, cells) for cells in reader if cells]
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: {_SHAPE}; found no such text ({error})") from None


def _names(path: Path, header: abc.Sequence[str]) -> tuple[str, ...]:
    names = tuple(name.strip() for name in header[1:])
    if not names:
        raise DataError(f"{path}: {_SHAPE}; found " + (f"the header '{header[0][:60]}'" if header else "an empty file"))
    faulty = [name for name, count in Counter(names).items() if count > 1 or not name or "=" in name]
    if faulty:
        raise DataError(f"{path}: expected a name for each attribute, once and without '=', found {faulty[:NAMED]}")
    return names


def _number(path: Path, line: int, name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) <= _MOST:
        raise DataError(f"{path}, line {line}: '{name}': expected a number, found '{text[:60]}'")
    return value
