"""The pytest plugin: one test item per check, without a test file. The one module that imports pytest."""

from __future__ import annotations

import traceback
from collections import abc
from pathlib import Path
from typing import Any

import pytest
import torch

from latentkit.errors import LatentkitError
from latentkit.registry.manager import default_registry
from latentkit.testing.checks import Check, Nonconforming, NotExercised
from latentkit.testing.kit import checks_of, require_plugin

_NOT_THEIRS = (str(Path(__file__).parent), str(Path(torch.__file__).parent), "<")
"""How the files begin through which a component's code is reached, or that it calls."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options."""
    group = parser.getgroup("latentkit", "conformance of latentkit plugins")
    group.addoption(
        "--latentkit-plugin", action="append", default=[], metavar="NAME",
        help="look at all components and recipes of this installed plugin; may be given several times",
    )  # fmt: skip
    group.addoption(
        "--latentkit-recipes", action="store_true", default=True, help="recipes too, the default; they take seconds"
    )
    group.addoption("--no-latentkit-recipes", action="store_false", dest="latentkit_recipes", help="components alone")


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Refuses plugins that are not there before anything is collected."""
    for name in session.config.getoption("latentkit_plugin"):
        try:
            require_plugin(name, default_registry())
        except LatentkitError as error:
            raise pytest.UsageError(f"--latentkit-plugin: {error}") from error


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> abc.Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Puts the plugins that were asked for beside, or unless files were named in place of, what is found in files."""
    report = yield
    names = collector.config.getoption("latentkit_plugin") if isinstance(collector, pytest.Session) else []
    if names and report.outcome == "passed":
        asked = collector.config.args_source is pytest.Config.ArgsSource.ARGS
        # The node ids that are made of this are "NAME::component[property]".
        found = [Plugin.from_parent(collector, name=name, nodeid=name) for name in dict.fromkeys(names)]
        report.result = [*(report.result if asked else []), *found]
    return report


class Plugin(pytest.Collector):
    """The checks of one plugin."""

    def collect(self) -> abc.Iterable[pytest.Item]:
        """One item per check."""
        checks = checks_of(self.name, with_recipes=self.config.getoption("latentkit_recipes"))
        # With an id of its own its property counts as a parameter's value, by which `--lf` finds it again.
        ids = [f"{self.nodeid}::{check.name}" for check in checks]
        pairs = zip(checks, ids, strict=True)
        return [CheckItem.from_parent(self, name=check.name, nodeid=its_id, check=check) for check, its_id in pairs]


class CheckItem(pytest.Item):
    """One check."""

    def __init__(self, *, check: Check, **more: Any) -> None:
        super().__init__(**more)
        self.check = check

    def runtest(self) -> None:
        """Look."""
        try:
            self.check.run()
        except NotExercised as reason:
            pytest.skip(f"{self.name}: {reason}")  # the list of reasons names no items

    def reportinfo(self) -> tuple[Path, None, str]:
        """The heading of a failure."""
        return self.path, None, f"{self.name.replace('[', ': ', 1).removesuffix(']')}"

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """What is wrong, in words; a traceback only where the kit itself fails, or shows where it was raised."""
        if not isinstance(excinfo.value, Nonconforming | LatentkitError):
            return super().repr_failure(excinfo, style)
        cause = excinfo.value.__cause__
        raised = _raised_in(cause) if cause is not None else ""
        return "\n".join(filter(None, [str(excinfo.value), raised]))


def _raised_in(error: BaseException) -> str:
    """``"  raised in FILE, line N"``, in the code of a component or what it is given to; else empty."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith(_NOT_THEIRS):
            return f"  raised in {frame.filename}, line {frame.lineno}"
    return ""
