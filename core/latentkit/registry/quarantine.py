"""Plugins that cannot be used: what is told of them, and the guard behind which code of packages runs.

Nothing that a package raises while it is imported or asked ends the command it happens in, and nothing that it prints
then reaches the command's standard output.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import traceback
from collections import abc
from pathlib import Path

import attrs
import pluggy

import latentkit
from latentkit.errors import RegistryError

_NOT_THEIRS = ("<", *(str(Path(file).parent) for file in (importlib.__file__, pluggy.__file__, latentkit.__file__)))
"""How the files begin through which a package's code is reached."""


@attrs.frozen
class PluginInfo:
    """What ``latentkit plugins`` tells of one plugin."""

    name: str
    title: str
    paper: str
    origin: str
    """The distribution that brings it, or ``built in``."""
    version: str
    fault: str = ""
    """Why it is in quarantine, and in the last line where that was raised; empty when it is well."""
    distributions: tuple[str, ...] = ()
    """What ``pip uninstall`` can take away: the package that brings it; with a name that is taken, its owner's too."""

    @property
    def package(self) -> str:
        """``"PACKAGE VERSION"``."""
        return f"{self.origin} {self.version}"

    @property
    def reason(self) -> str:
        """The first line of the fault."""
        return first_line(self.fault)

    @property
    def remedy(self) -> str:
        """``"to remove it: pip uninstall PACKAGE"``; empty where nothing can be uninstalled."""
        commands = [f"pip uninstall {name}" for name in self.distributions]
        if len(commands) > 1:
            return f"to keep one of the two: {' or '.join(commands)}"
        return f"to remove it: {commands[0]}" if commands else ""

    @property
    def told(self) -> str:
        """One line: which plugin, from which package and version, why, and how to remove it."""
        why = "; ".join(filter(None, [self.reason, self.remedy]))
        return f"plugin '{self.name}' of {self.package} cannot be used: {why}"


class Taken(RegistryError):
    """A name that another plugin has."""

    def __init__(self, what: str, owner: PluginInfo) -> None:
        self.owner = owner
        super().__init__(f"{what} is taken by plugin '{owner.name}' ({owner.package})")


@contextlib.contextmanager
def guarded() -> abc.Iterator[None]:
    """Run code of a plugin: what it prints goes to standard error.

    Raises:
        RegistryError: whatever the code raised, be it a ``SystemExit``, but for a ``KeyboardInterrupt``.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except (RegistryError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise RegistryError(_said(error)) from error


def _said(error: BaseException) -> str:
    try:
        message = str(error).strip()
    except Exception:  # its own __str__ is at fault too
        message = ""
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def first_line(text: str) -> str:
    """What is told of a message of several lines."""
    return text.partition("\n")[0]


def raised_in(error: BaseException | None) -> str:
    """``"(FILE, line N)"`` in the package's code or in what it calls; empty where the traceback does not get there."""
    for frame in reversed(traceback.extract_tb(error.__traceback__ if error else None)):
        if not frame.filename.startswith(_NOT_THEIRS):
            return f"({frame.filename}, line {frame.lineno})"
    return ""
