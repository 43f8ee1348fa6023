"""Pictures that lie in other files: read all at once, or when they are wanted."""

from __future__ import annotations

import warnings

import numpy as np

from latentkit.data.decoding import Fault, decode
from latentkit.data.faults import Rule, said
from latentkit.data.images import Pixels
from latentkit.data.picture_rows import PictureRows
from latentkit.data.streaming import Stream, streams
from latentkit.errors import DataError, LatentkitWarning
from latentkit.interfaces import Table

MANY = 20_000
"""Pictures that take some seconds to decode."""
_AT_ONCE = 256


def picture_table(rows: PictureRows, label: np.ndarray | None, stream: Stream, shards: np.ndarray | None) -> Table:
    """A table of pictures.

    Args:
        rows: the pictures.
        label: their classes, int64 [n].
        stream: whether they are decoded when they are wanted; ``auto``: if they are more than 20,000, or would fill a
            quarter of the memory.
        shards: as of a table.

    Raises:
        DataError: pictures are at fault; some are to be skipped on the way that have labels.
    """
    if streams(stream, rows.shape, MANY):
        refuse_to_skip_labelled(rows.rule, label is not None)
        return Table({"image": rows, **({} if label is None else {"label": label})}, shards)
    images, left = _all(rows)
    kept = None if shards is None else np.unique(np.searchsorted(left, shards))
    shards = None if kept is None else kept[kept < len(left)]
    return Table({"image": images, **({} if label is None else {"label": label[left]})}, shards)


def refuse_to_skip_labelled(rule: Rule, labelled: bool) -> None:
    """Another picture would take the place of a label's.

    Raises:
        DataError: some are to be skipped on the way that have labels.
    """
    if labelled and rule.skips:
        raise DataError(
            f"{rule.where}: pictures that are decoded when they are wanted are skipped only where they have no labels, "
            'as it is not known beforehand which\n  set small and unreadable to "refuse", or stream = "never"'
        )


def _all(rows: PictureRows) -> tuple[Pixels, np.ndarray]:
    """The pictures that are not skipped, and their indices."""
    found = np.empty(rows.shape, np.uint8)
    left: list[int] = []
    faults: list[Fault] = []
    for start in range(0, len(rows), _AT_ONCE):
        some = range(start, min(start + _AT_ONCE, len(rows)))
        for index, item in zip(some, decode(rows.opened(list(some)), rows.wanted), strict=True):
            if isinstance(item, Fault):
                faults.append(item)
                continue
            found[len(left)] = item
            left.append(index)
    rows.release()
    refused = [fault for fault in faults if rows.rule.refuses(fault)]
    if refused:
        raise DataError(rows.rule.refusal(refused, rows.wanted, len(rows)))
    if faults:
        fact = f"{rows.rule.where}: {len(faults)} of {len(rows)} pictures are skipped: {said(faults, rows.wanted)}"
        if not left:
            raise DataError(f"{fact}\n  name other files, or a smaller resolution")
        warnings.warn(fact, LatentkitWarning, stacklevel=4)
    return found[: len(left)], np.array(left, np.int64)
