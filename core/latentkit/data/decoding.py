"""Pictures decoded in turn, by other processes where there are many, and what is wrong with some of them."""

from __future__ import annotations

import multiprocessing
import os
from collections import abc
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import BinaryIO

import attrs
from PIL import Image

from latentkit.data.images import Pixels, fit, upright_size
from latentkit.errors import DataError

_BATCH = 64
_FEW = 512
_MOST_WORKERS = 8


@attrs.frozen
class Fault:
    """A picture that cannot be read, or that is smaller than asked for."""

    name: str
    size: str = ""
    """Height and width of one that is small, ``"20 x 32"``; empty where it cannot be read."""


@attrs.frozen(kw_only=True)
class Wanted:
    """What pictures are decoded to."""

    height: int
    width: int
    channels: int
    enlarge: bool
    """Whether smaller ones are; otherwise they are faults."""


def decoded(root: Path, names: list[str], wanted: Wanted, workers: int | None) -> abc.Iterator[Pixels | Fault]:
    """The pictures below ``root`` in the order of ``names``, each uint8 [c, h, w].

    Raises:
        DataError: the processes that decode did not start, or ended early.
    """
    batches = [names[start : start + _BATCH] for start in range(0, len(names), _BATCH)]
    if workers is None:
        # Starting processes costs more than decoding a few pictures.
        workers = 0 if len(names) < _FEW else min(_MOST_WORKERS, os.cpu_count() or 1)
    if workers == 0:
        for batch in batches:
            yield from _decode(root, batch, wanted)
        return
    # Spawned, since a fork of a process in which torch runs threads can hang.
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(min(workers, len(batches)), mp_context=context) as pool:
            for done in pool.map(_decode, [root] * len(batches), batches, [wanted] * len(batches)):
                yield from done
    except (BrokenProcessPool, OSError) as error:
        raise DataError(
            "folder: the processes that decode pictures did not start or ended early: a script without "
            '`if __name__ == "__main__":`, or too little memory\n  set workers = 0 to decode in this process'
        ) from error


def _decode(root: Path, names: list[str], wanted: Wanted) -> list[Pixels | Fault]:
    return decode(((name, root / name) for name in names), wanted)


def decode(pictures: abc.Iterable[tuple[str, Path | BinaryIO]], wanted: Wanted) -> list[Pixels | Fault]:
    """Pictures, by name and file, one after the other; each uint8 [c, h, w]."""
    result: list[Pixels | Fault] = []
    room = (2 * wanted.width, 2 * wanted.height)
    for name, file in pictures:
        try:
            with Image.open(file) as image:
                height, width = upright_size(image)  # before `draft`, which changes it
                if not wanted.enlarge and (height < wanted.height or width < wanted.width):
                    result.append(Fault(name, f"{height} x {width}"))
                    continue
                # JPEG decodes at 1/2, 1/4 or 1/8 size almost for free; twice the wanted size leaves room to resize.
                image.draft(None, room if image.size == (width, height) else room[::-1])
                result.append(fit(image, wanted.height, wanted.width, wanted.channels))
        except Exception:  # Pillow's decoders raise many kinds for damaged files
            result.append(Fault(name))
    return result
