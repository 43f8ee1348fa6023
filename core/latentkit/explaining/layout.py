"""Plain text in columns, at most ``WIDTH`` wide."""

from __future__ import annotations

import textwrap
from collections import abc

WIDTH = 100


def section(title: str, lines: abc.Iterable[str]) -> list[str]:
    """A heading and its lines; nothing at all where there are no lines."""
    body = list(lines)
    return ["", title, "─" * len(title), *body] if body else []


def columns(rows: abc.Sequence[abc.Sequence[str]], indent: int = 2, widest: int = 56) -> list[str]:
    """Rows with aligned columns; the last is wrapped, and a first cell beyond ``widest`` stands above its row.

    So does a shorter one, where it would leave no room for the longest word of the last column.
    """
    if not rows:
        return []
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    if widths:
        word = max((len(word) for row in rows for word in row[-1].split()), default=0)
        widest = min(widest, WIDTH - word - indent - 2 - sum(width + 2 for width in widths[1:]))
        widths[0] = max((len(row[0]) for row in rows if len(row[0]) <= widest), default=4)
    lines = []
    for row in rows:
        if widths and len(row[0]) > widths[0]:
            lines += wrapped(row[0], " " * indent, " " * (indent + 4))
            row = ("", *row[1:])
        head = " " * indent + "".join(cell.ljust(width) + "  " for cell, width in zip(row[:-1], widths, strict=True))
        lines += wrapped(row[-1], head, " " * len(head))
    return [line.rstrip() for line in lines]


def wrapped(text: str, first: str, later: str) -> list[str]:
    """Text broken at spaces: the first line begins with ``first``, the others with ``later``."""
    lines = textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=later, break_long_words=False, break_on_hyphens=False
    )
    return lines or [first]


def listed(items: abc.Iterable[str]) -> str:
    """``a, b and c``."""
    *most, last = [*items] or [""]
    return f"{', '.join(most)} and {last}" if most else last
