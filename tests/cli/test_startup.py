"""Help and lists appear at once, and the command is there in each way it can be called."""

from __future__ import annotations

import subprocess
import sys
from collections import abc
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

import latentkit
import latentkit_cli
import latentkit_plugins
from latentkit_cli.app import COMMANDS

Command = abc.Callable[..., Any]

ROOTS = [str(Path(package.__file__ or "").parents[1]) for package in (latentkit, latentkit_cli, latentkit_plugins)]
LIGHT = """
import sys
sys.path[:0] = {roots!r}
from latentkit_cli import main
code = main({arguments!r})
heavy = [name for name in ("torch", "numpy", "rich", "PIL") if name in sys.modules]
sys.exit(f"imports {{heavy}}" if heavy else code)
"""


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["list"], ["recipes"], ["plugins"], ["compose", "--help"], ["plugin", "new", "--help"]]
)
def test_help_and_lists_import_nothing_heavy_and_are_quick(
    arguments: list[str], processor_time: abc.Callable[[], float]
) -> None:
    before = processor_time()
    done = python("-c", LIGHT.format(roots=ROOTS, arguments=arguments))
    seconds = processor_time() - before
    assert (done.returncode, done.stderr) == (0, "")
    assert seconds < 2  # a quarter of a second on a fast machine


def test_python_dash_m_is_the_command() -> None:
    code = f"import sys, runpy; sys.path[:0] = {ROOTS!r}; sys.argv = ['latentkit', 'list', 'loss']; "
    done = python("-c", code + "runpy.run_module('latentkit', run_name='__main__')")
    assert done.returncode == 0
    assert "core.l2" in done.stdout


def test_libgomp_is_told_not_to_spin_before_torch_is_imported() -> None:
    code = "import os; assert os.environ['GOMP_SPINCOUNT'] == '1000'"
    done = python("-c", LIGHT.format(roots=ROOTS, arguments=["recipes"]).replace("heavy =", code + "\nheavy ="))
    assert done.returncode == 0, done.stderr


def test_the_installed_script_is_this_main() -> None:
    scripts = [point for point in entry_points(group="console_scripts") if point.name == "latentkit"]
    if not scripts:
        pytest.skip("latentkit is not installed here, only importable")
    assert scripts[0].load() is latentkit_cli.main


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_page_has_an_example(name: str, latentkit: Command) -> None:
    shown = latentkit(name, "--help")
    assert shown.code == 0
    assert f"Example:\n    latentkit {name}" in shown.out
