"""Where each key of a TOML text stands, so that messages can name the line. tomllib has checked the text before."""

from __future__ import annotations

import bisect
import itertools
import re
import tomllib
from collections import abc

from latentkit.recipe.writing import written_key

Path = tuple[str, ...]
_PLAIN = frozenset({"title", "paper", "together", "order", "extends", "remove"})
"""What stands at the top of a recipe and is no table."""
_KEY = re.compile(r"""[ \t]*("(?:[^"\\]|\\.)*"|'[^']*'|[A-Za-z0-9_-]+)[ \t]*(\.)?""")


def key_lines(text: str) -> dict[Path, int]:
    """Map the path of every table and key to its line, counted from 1."""
    scanner = _Scanner(text)
    scanner.document()
    return scanner.lines


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text, self.at, self.lines = text, 0, dict[Path, int]()
        self.breaks = list(itertools.accumulate((len(line) + 1 for line in text.split("\n")), initial=0))
        self.counts = dict[Path, int]()

    def document(self) -> None:
        table: Path = ()
        while self._blank(newlines=True):
            if self.text.startswith("[[", self.at):
                self.at += 2
                name = self._key()
                index = self.counts.get(name, 0)
                self.counts[name] = index + 1
                table = (*name, str(index))
                for depth in range(1, len(table) + 1):
                    self._note(table[:depth])
                self.at += 2
            elif self.text[self.at] == "[":
                self.at += 1
                table = self._key()
                for depth in range(1, len(table) + 1):
                    self._note(table[:depth])
                self.at += 1
            else:
                self._pair(table)

    def _pair(self, table: Path) -> None:
        path = (*table, *self._key())
        for depth in range(len(table) + 1, len(path) + 1):
            self._note(path[:depth])
        self.at = self.text.index("=", self.at) + 1
        self._value(path)

    def _value(self, path: Path) -> None:
        self._blank()
        char = self.text[self.at]
        if char == "{":
            self._inline(path)
        elif char == "[":
            self._array(path)
        elif char in "\"'":
            self._string(char)
        else:
            while self.at < len(self.text) and self.text[self.at] not in ",]}\n#":
                self.at += 1

    def _inline(self, path: Path) -> None:
        self.at += 1
        while self._blank(newlines=True) and self.text[self.at] != "}":
            if self.text[self.at] == ",":
                self.at += 1
            else:
                self._pair(path)
        self.at += 1

    def _array(self, path: Path) -> None:
        self.at += 1
        index = 0
        while self._blank(newlines=True) and self.text[self.at] != "]":
            if self.text[self.at] == ",":
                self.at += 1
            else:
                self._note((*path, str(index)))
                self._value((*path, str(index)))
                index += 1
        self.at += 1

    def _string(self, quote: str) -> None:
        mark = quote * 3 if self.text.startswith(quote * 3, self.at) else quote
        self.at += len(mark)
        while not self.text.startswith(mark, self.at):
            self.at += 2 if self.text[self.at] == "\\" and quote == '"' else 1
        self.at += len(mark)
        while len(mark) == 3 and self.text.startswith(quote, self.at):
            self.at += 1

    def _key(self) -> Path:
        names = []
        while True:
            match = _KEY.match(self.text, self.at)
            if match is None:
                raise ValueError(f"no key at offset {self.at}")
            self.at = match.end()
            names.append(_plain(match[1]))
            if match[2] is None:
                return tuple(names)

    def _blank(self, newlines: bool = True) -> bool:
        while self.at < len(self.text):
            char = self.text[self.at]
            if char == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            elif char in " \t\r" or (char == "\n" and newlines):
                self.at += 1
            else:
                return True
        return False

    def _note(self, path: Path) -> None:
        self.lines.setdefault(path, bisect.bisect_right(self.breaks, self.at))


def _plain(key: str) -> str:
    """A key without its quotes."""
    if key[0] == "'":
        return key[1:-1]
    return str(tomllib.loads(f"key = {key}")["key"]) if key[0] == '"' else key


def shown(path: abc.Sequence[str]) -> str:
    """A path as a reader of TOML writes it: ``[phase.generate] loss.latent``."""
    if not path or path[0] in _PLAIN:
        return ".".join(path)
    split = 2 if path[0] in {"phase", "average"} else 1
    table, rest = (".".join(map(written_key, keys)) for keys in (path[:split], path[split:]))
    return f"[{table}] {rest}".strip()
