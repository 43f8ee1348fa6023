"""What goes to the terminal: results to standard output; errors and notes to standard error."""

from __future__ import annotations

import contextlib
import json
import shutil
import textwrap
import traceback
import warnings
from collections import abc
from pathlib import Path
from typing import TextIO

import typer

from latentkit.engine.launching import follows, launched
from latentkit.errors import LatentkitError, LatentkitWarning, RecipeError

MOST_PROBLEMS = 50
"""That are told at once. JSON has all of them."""
BUG = "This is a bug in latentkit or in a plugin: please report it with the lines above and the command."


def say(message: str) -> None:
    """Tell something that is not the result."""
    typer.echo(message, err=True)


def note(fact: str) -> None:
    """Tell something that stops nothing; of several processes the first one does."""
    if follows():
        return
    say(f"note: {_harmless(fact)}")


@contextlib.contextmanager
def warnings_as_notes() -> abc.Iterator[None]:
    """The library's own warnings are told as notes; others look as Python shows them."""
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(
            message: Warning | str, category: type[Warning], filename: str, lineno: int,
            file: TextIO | None = None, line: str | None = None,
        ) -> None:  # fmt: skip
            if issubclass(category, LatentkitWarning):
                note(str(message))
            else:
                usual(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        yield


def emit(value: object) -> None:
    """Print a value as JSON."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def heading(text: str) -> str:
    """Text that stands out on a terminal."""
    return typer.style(text, bold=True)


def near(path: Path) -> str:
    """A path as a user would type it from here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def plain(text: str) -> str:
    """Docstring text without its markup."""
    return text.replace("``", "`")


def rows(table: abc.Sequence[abc.Sequence[str]], indent: str = "  ", widths: abc.Sequence[int] = ()) -> str:
    """Aligned columns; the last one wraps at the width of the terminal. ``widths`` are the least ones."""
    if not table:
        return ""
    columns = [max(len(row[index]) for row in table) for index in range(len(table[0]) - 1)]
    columns = [max(pair) for pair in zip(columns, [*widths, *[0] * len(columns)], strict=False)]
    lead = len(indent) + sum(columns) + 2 * len(columns)
    room = max(terminal_width() - lead, 30)
    lines = []
    for *cells, last in table:
        start = indent + "".join(f"{cell:<{width}}  " for cell, width in zip(cells, columns, strict=True))
        wrapped = textwrap.wrap(last, room, break_long_words=False, break_on_hyphens=False) or [""]
        lines += [f"{start}{wrapped[0]}".rstrip(), *(" " * lead + line for line in wrapped[1:])]
    return "\n".join(lines)


def terminal_width() -> int:
    """Columns of the terminal, at most 120."""
    return min(shutil.get_terminal_size((100, 24)).columns, 120)


def fail(error: LatentkitError) -> int:
    """Say what is wrong with the input; returns the exit status."""
    problems = error.problems if isinstance(error, RecipeError) else ()
    text = str(error)
    if len(problems) > 1:
        shown = list(map(str, problems[:MOST_PROBLEMS]))
        shown += [f"... and {len(problems) - MOST_PROBLEMS:,} more"] if len(problems) > MOST_PROBLEMS else []
        text = f"{len(problems):,} problems\n" + textwrap.indent("\n".join(shown), "  ")
    _error(_of_one(error, text))
    return 2


def fail_unexpectedly(error: Exception) -> int:
    """Say what happened that is nobody's mistake, or a bug; returns the exit status."""
    known = _circumstance(error)
    text = _of_one(error, known or f"{type(error).__name__}: {error}")
    if known:
        _error(text)
    elif text:
        traceback.print_exception(error)
        _error(BUG)
    return 1


def _of_one(error: Exception, text: str) -> str:
    """What this one of several processes is to say; nothing where another one says it."""
    if not launched():
        return text
    from latentkit.engine.voices import own_words

    return own_words(error, text)


def _circumstance(error: Exception) -> str:
    text = str(error).partition("\n")[0]
    if isinstance(error, OSError):
        return text
    # Torch has its own type for this on accelerators, and a plain RuntimeError on the CPU.
    exhausted = isinstance(error, RuntimeError) and ("out of memory" in text or "allocate memory" in text)
    if exhausted or isinstance(error, MemoryError):
        return f"out of memory; a smaller batch needs less (--set train.batch=...)\n  {text}"
    return ""


def _error(text: str) -> None:
    if not text:
        return
    typer.secho("error: ", fg="red", bold=True, nl=False, err=True)
    typer.echo(_harmless(text), err=True)


def _harmless(text: str) -> str:
    """Without characters that no terminal should act on, or that cannot be written: text may be quoted from files."""
    return "".join(char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in text)
