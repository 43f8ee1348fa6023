"""What every data source promises."""

from __future__ import annotations

import contextlib
import functools
import pickle
from collections import abc
from pathlib import Path
from typing import Any

import numpy as np

from latentkit.errors import DataError, LatentkitError
from latentkit.interfaces import Component, DataSource, Rows, Table
from latentkit.testing.checks import Nonconforming, NotExercised, require, said
from latentkit.testing.kinds import alternatives
from latentkit.testing.refusals import refuses_values_out_of_range, refuses_wrong_options
from latentkit.testing.subjects import Subject, smaller
from latentkit.testing.workplace import seeded

FEW = 64
"""Samples, where a source has an option for their number."""
REQUESTS = ((8, 8, 1), (16, 16, 3))
"""Height, width and channels, besides the source's own."""
OBLONG = (8, 12, 1)
"""The same of images that are not square, which a source may refuse in words."""
MISSING = "nothing-is-here"


def checks(subject: Subject) -> dict[str, abc.Callable[[], None]]:
    """The properties of one data source, ready to be looked at."""
    found: dict[str, abc.Callable[[], None]] = {
        "opens as offered": functools.partial(opens_as_offered, subject),
        "same data twice": functools.partial(same_data_twice, subject),
    }
    if any(str in alternatives(kind) for kind in subject.types().values()):
        found["tells of missing files"] = functools.partial(tells_of_missing_files, subject)
    found["refuses wrong options"] = functools.partial(refuses_wrong_options, subject)
    found["refuses values out of range"] = functools.partial(values_out_of_range, subject)
    return found


def opened(source: DataSource, height: int, width: int, channels: int) -> Table:
    """The table of a source.

    Raises:
        Nonconforming: it raises something else than a LatentkitError, or what it gives is no table of samples.
    """
    where = f"at {channels} x {height} x {width}"
    try:
        with seeded():
            table = source.open(height, width, channels)
    except LatentkitError:
        raise
    except Exception as error:
        raise Nonconforming(f"{where}: open() raises {said(error)}") from error
    require(isinstance(table, Table), f"{where}: open() gives {type(table).__name__}, not a Table")
    missing = [field for field in source.offers() if field not in table.fields]
    require(not missing, f"{where}: offers {missing[:1]}, which its table does not have")
    counts = {name: len(array) for name, array in table.fields.items()}
    require(len(set(counts.values())) == 1, f"{where}: fields have unequal numbers of samples: {counts}")
    require(len(table) > 0, f"{where}: has no samples")
    streamed = [name for name, field in table.fields.items() if isinstance(field, Rows) and name != "image"]
    require(not streamed, f"{where}: {streamed[:1]} is read when it is wanted, which only images may be")
    if table.shards is not None:
        starts = np.asarray(table.shards)
        rising = starts[0] == 0 and bool((np.diff(starts) > 0).all()) and starts[-1] < len(table)
        require(rising, f"{where}: shards {starts.tolist()} do not rise from 0 to below {len(table)}")
    return table


def opens_as_offered(subject: Subject) -> None:
    """Each field that is offered is there, as many samples in all; images are uint8 of the size asked for."""
    source = _small(subject)
    require("image" in source.offers(), f"offers {source.offers()}, without an image")
    for height, width, channels in dict.fromkeys([(*source.native_size, source.native_channels), *REQUESTS]):
        _as_asked(source, _table(source, height, width, channels), height, width, channels)
    with contextlib.suppress(LatentkitError):
        _as_asked(source, opened(source, *OBLONG), *OBLONG)


def _as_asked(source: DataSource, table: Table, height: int, width: int, channels: int) -> None:
    where = f"at {channels} x {height} x {width}"
    image = table.fields["image"]
    wanted = (len(table), channels, height, width)
    require(image.dtype == np.uint8, f"{where}: images are {image.dtype}, not uint8")
    require(image.shape == wanted, f"{where}: images are of shape {image.shape}, not {wanted}")
    if isinstance(image, Rows):
        _read_when_wanted(image, where)
    if "label" in source.offers():
        _labels(source, table.array("label"), where)
    for field in source.offers():
        _columns(source, field, all_of(table, field), where)


def _read_when_wanted(images: Rows, where: str) -> None:
    some = np.array([len(images) - 1, 0, 0])
    found = images.rows(some)
    fact = f"{where}: rows() gives {found.dtype} of shape {found.shape} for 3 samples"
    require(found.dtype == np.uint8 and found.shape == (3, *images.shape[1:]), fact)
    require(np.array_equal(found, images[:][some]), f"{where}: rows() gives other samples than were asked for")
    try:
        copy = pickle.loads(pickle.dumps(images))
    except Exception as error:
        raise Nonconforming(f"{where}: its rows cannot be sent to another process: {said(error)}") from error
    require(np.array_equal(copy.rows(some), found), f"{where}: a pickled copy of its rows gives other samples")


def _columns(source: DataSource, field: str, array: np.ndarray, where: str) -> None:
    names = source.columns(field)
    strings = isinstance(names, tuple) and all(isinstance(name, str) for name in names)
    require(strings and len(set(names)) == len(names), f"columns('{field}') gives {names!r}, not names that differ")
    if not names:
        return
    if array.ndim == 1 and array.dtype.kind in "iu":
        require(int(array.max()) < len(names), f"{where}: '{field}' goes to {array.max()}, but has {len(names)} names")
    else:
        shape = list(array.shape)
        require(shape[1:] == [len(names)], f"{where}: '{field}' is of shape {shape}, but has {len(names)} names")


def all_of(table: Table, field: str) -> np.ndarray:
    """A field, read where it is read only when it is wanted."""
    return table.fields[field][:]


def _small(subject: Subject) -> DataSource:
    source: DataSource = smaller(subject.made(), FEW, subject.example.options)
    return source


def _table(source: DataSource, height: int, width: int, channels: int) -> Table:
    """The table; that a source cannot open here at all is no fault of it."""
    try:
        return opened(source, height, width, channels)
    except LatentkitError as error:
        raise NotExercised(f"it cannot be opened: {error}") from error


def _labels(source: DataSource, label: np.ndarray, where: str) -> None:
    whole = label.ndim == 1 and label.dtype.kind in "iu"
    fact = f"{where}: labels are {label.dtype} of shape {label.shape}, not int64 [n]"
    require(whole or label.dtype.kind == "f", fact)
    classes = source.classes()
    if whole:
        require(int(label.min()) >= 0, f"{where}: labels begin at {label.min()}, not at 0")
        below = classes is None or int(label.max()) < classes
        require(below, f"{where}: labels go to {label.max()}, but classes() says that there are {classes}")


def same_data_twice(subject: Subject) -> None:
    """Opened again, it has the same samples in the same order."""
    one, other = (_again(subject, seed) for seed in (0, 1))
    for name in one.fields:
        same = name in other.fields and np.array_equal(all_of(one, name), all_of(other, name))
        require(same, f"'{name}' differs when it is opened again; give the source a seed, and sort the names of files")


def _again(subject: Subject, seed: int) -> Table:
    source = _small(subject)
    with seeded(seed):
        try:
            return source.open(*REQUESTS[0])
        except LatentkitError as error:
            raise NotExercised(f"it cannot be opened: {error}") from error
        except Exception as error:
            raise NotExercised(f"open() raises {said(error)}: see [opens as offered]") from error


def tells_of_missing_files(subject: Subject) -> None:
    """A path that leads nowhere is a DataError that names it."""
    missing = str(subject.workplace.folder / MISSING)
    kinds = subject.types()
    paths = _paths(subject)
    if not paths:
        raise NotExercised("no option of it is known to be a path")
    for name in paths:
        others = {key: missing for key in subject.required() if kinds[key] is str}
        component, problems = subject.configured({**others, **subject.example.options, name: missing})
        require(component is not None, f"{name} = '{missing}': {problems[0] if problems else 'cannot be made'}")
        _refused(component, f"{name} = '{missing}'")


def _paths(subject: Subject) -> list[str]:
    """Options that are paths: the strings that must be given, and those that name a file in an example."""
    kinds, given = subject.types(), subject.example.options
    files = [name for name, value in given.items() if isinstance(value, str) and Path(value).is_file()]
    return list(dict.fromkeys([*(name for name in subject.required() if kinds[name] is str), *files]))


def _refused(source: Any, what: str) -> None:
    try:
        source.open(*REQUESTS[0])
    except DataError as error:
        require(MISSING in str(error), f"{what}: the message does not name the path: {error}")
    except Exception as error:
        raise Nonconforming(f"{what}: open() raises {said(error)}; expected a DataError") from error
    else:
        raise Nonconforming(f"{what}: opens; expected a DataError")


def values_out_of_range(subject: Subject) -> None:
    """Zero, negative and empty options are refused in words, or give a table."""

    def exercise(component: Component, option: str) -> None:
        assert isinstance(component, DataSource)
        opened(smaller(component, FEW, {option, *subject.example.options}), *REQUESTS[0])

    refuses_values_out_of_range(subject, exercise)
