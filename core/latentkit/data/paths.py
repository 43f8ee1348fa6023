"""The files that an option ``path`` names: one, those in a folder, or those of a pattern."""

from __future__ import annotations

import glob
import os
import re

from latentkit.errors import DataError

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_MOST = 100_000


def files_of(path: str, suffix: str, where: str) -> list[str]:
    """The files in the order of their names; a file that is named by itself, and is not there, too.

    A pattern has ``*``, ``?``, ``[...]``, ``{a,b}`` or ``{000..127}``.

    Args:
        path: as the user gives it, ``~`` for the home folder.
        suffix: of the files in a folder, with the dot.
        where: opens the message.

    Raises:
        DataError: there are none.
    """
    home = os.path.expanduser(path)
    if os.path.isdir(home):
        found = glob.glob(os.path.join(glob.escape(home), f"*{suffix}"))
        if not found:
            raise DataError(f"{where}: expected a folder with {suffix} files, found none")
        return sorted(found)
    if os.path.exists(home) or not (glob.has_magic(home) or _BRACES.search(home)):
        return [home]
    spelt = spelt_out(home, where)
    missing = [name for name in spelt if not glob.has_magic(name) and not os.path.exists(name)]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise DataError(f"{where}: expected the files of this pattern, but '{missing[0]}'{more} is not there")
    found = sorted({file for name in spelt for file in (glob.glob(name) if glob.has_magic(name) else [name])})
    if not found:
        raise DataError(f"{where}: expected files of this pattern, found none")
    return found


def spelt_out(pattern: str, where: str) -> list[str]:
    """A pattern without its braces: ``a-{00..02}`` is ``a-00``, ``a-01``, ``a-02``.

    Raises:
        DataError: it stands for very many.
    """
    waiting, found = [pattern], []
    while waiting:
        text = waiting.pop()
        braces = _BRACES.search(text)
        if braces is None:
            found.append(text)
            continue
        bounds = _RANGE.fullmatch(braces[1])
        if bounds is None:
            choices = braces[1].split(",")
        else:
            numbers = range(int(bounds[1]), int(bounds[2]) + 1)
            choices = [str(number).zfill(len(bounds[1])) for number in numbers[: _MOST + 1]]
        waiting += [text[: braces.start()] + choice + text[braces.end() :] for choice in reversed(choices)]
        if len(waiting) + len(found) > _MOST:
            raise DataError(f"{where}: expected at most {_MOST:,} files of a pattern")
    return found
