"""Which globals a pickle names, told from its opcodes alone."""

from __future__ import annotations

import pickletools
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from typing import IO

import attrs

LARGEST_PICKLE = 64 * 2**20
"""Bytes; beside tensors there are names and numbers only."""


@attrs.frozen
class Scan:
    """What one or more pickles mention."""

    names: tuple[str, ...]
    """Globals, ``module.name``, as Python 3 calls them; first those that are named in an unusual way."""
    whole: bool
    """Whether the opcodes could be followed to the end."""


def scan(file: IO[bytes], count: int = 1) -> Scan:
    """What the next ``count`` pickles of a file name. Nothing is executed or imported.

    The result tells which names need a substitute, and what to say of a pickle; it is no judgement of its own: a name
    that is put together on the way is not found here, and the reader then refuses it.
    """
    names: dict[str, None] = {}
    unusual: dict[str, None] = {}
    try:
        for _ in range(count):
            _follow(_Bounded(file), names, unusual)
    except Exception:  # the bytes of a damaged or hostile file can fail anywhere in here
        return Scan(tuple(unusual | names), whole=False)
    return Scan(tuple(unusual | names), whole=True)


def _follow(file: _Bounded, names: dict[str, None], unusual: dict[str, None]) -> None:
    recent = ["?", "?"]
    memo: dict[int, str] = {}
    for opcode, argument, _ in pickletools.genops(file):  # type: ignore[arg-type]  # it uses read and readline
        if opcode.name in ("GLOBAL", "INST"):
            found = names if opcode.name == "GLOBAL" else unusual
            found[_full_name(*str(argument).split(" ", 1))] = None
        elif opcode.name == "STACK_GLOBAL":
            unusual[_full_name(*recent)] = None
        elif opcode.name == "MEMOIZE":
            memo[len(memo)] = recent[1]
        elif opcode.name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[int(argument or 0)] = recent[1]
        elif opcode.name in ("GET", "BINGET", "LONG_BINGET"):
            recent = [recent[1], memo.get(int(argument or 0), "?")]
        elif isinstance(argument, str):
            recent = [recent[1], argument]


def _full_name(module: str, name: str = "") -> str:
    return ".".join(NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name)))


class _Bounded:
    """A file of which no more than a pickle's worth can be read."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.left = file, LARGEST_PICKLE

    def read(self, size: int) -> bytes:
        return self._counted(self.file.read(min(size, self.left)))

    def readline(self) -> bytes:
        return self._counted(self.file.readline(self.left))

    def _counted(self, data: bytes) -> bytes:
        self.left -= len(data)
        if not self.left:
            raise ValueError("too large")
        return data
