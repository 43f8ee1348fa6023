"""Plain text in columns, at most ``WIDTH`` wide."""

from __future__ import annotations

import textwrap
from collections import abc

WIDTH = 100


def section(title: str, lines: abc.Iterable[str]) -> list[str]:
    """A heading and its lines; nothing at all where there are no lines."""
    body = list(lines)
    return ["", title, "─" * len(title), *body] if body else []


def columns(rows: abc.Sequence[abc.Sequence[str]], indent: int = 2, widest: int = 60) -> list[str]:
    """Rows with aligned columns; the last one is wrapped, and a cell beyond ``widest`` takes a line of its own."""
    if not rows:
        return []
    count = len(rows[0])
    widths = [max((len(row[i]) for row in rows if len(row[i]) <= widest), default=0) for i in range(count - 1)]
    start = indent + sum(width + 2 for width in widths)
    lines = []
    for row in rows:
        head = " " * indent
        for i, cell in enumerate(row[:-1]):
            if len(cell) > widths[i]:
                *before, cell = wrapped(cell, len(head), " " * (len(head) + 4))
                lines += [(head + line.strip() if not number else line) for number, line in enumerate(before)]
                lines.append((head if not before else "") + (cell.strip() if not before else cell))
                head = " " * (indent + sum(width + 2 for width in widths[: i + 1]))
            else:
                head += cell.ljust(widths[i]) + "  "
        lines += wrapped(row[-1], start, " " * start, head)
    return [line.rstrip() for line in lines]


def wrapped(text: str, start: int, later: str, first: str | None = None) -> list[str]:
    """Text broken at spaces: the first line begins with ``first``, the others with ``later``."""
    head = " " * start if first is None else first
    lines = textwrap.wrap(
        text, WIDTH, initial_indent=head, subsequent_indent=later, break_long_words=False, break_on_hyphens=False
    )
    return lines or [head]


def listed(items: abc.Iterable[str]) -> str:
    """``a, b and c``."""
    *most, last = [*items] or [""]
    return f"{', '.join(most)} and {last}" if most else last
