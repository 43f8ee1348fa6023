"""Packages from elsewhere, installed as users install them: into a fresh environment that has latentkit's wheel.

The environment is a virtual one of its own. Third-party libraries are those of the interpreter that runs the tests;
latentkit is what a wheel of this source tree contains.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import attrs
import pytest

pytestmark = pytest.mark.xdist_group("third party")  # one environment for all of them
ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "latentkit-softplus"
MINE = """
title = "A recipe of one's own, with the part and the loss of a package"
extends = "softplus-gan"

[parts]
D = { use = "softplus.discriminator", hidden = 16, layers = 2 }

[phase.generate]
loss.adversarial = { use = "softplus.scaled", of = "-fake", beta = 2.0 }
"""
SMALL = ("--set", "data.resolution=8", "--set", "data.count=32", "--set", "train.batch=8")
PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "0.3"

[project.entry-points.latentkit]
{plugin} = "{module}"
"""
BROKEN = {
    "latentkit-raises": ("raises", "print('spoils')\nraise RuntimeError('not today\\nnor tomorrow')\n"),
    "latentkit-claims": ("ogan", "import latentkit as lk\n"),
}


@attrs.frozen
class Environment:
    """A virtual environment; commands run in a folder of their own."""

    folder: Path
    work: Path

    def run(self, program: str, *arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """One of its programs."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PIP_"))}
        return subprocess.run(
            [str(self.folder / "bin" / program), *map(str, arguments)], cwd=cwd or self.work,
            env={**kept, "COLUMNS": "100", "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def latentkit(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """The command, which has to end well."""
        done = self.run("latentkit", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def pip(self, *arguments: object) -> None:
        """The pip of the interpreter that runs the tests, at work in this environment."""
        python = str(self.folder / "bin" / "python")
        done = subprocess.run(
            [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python, *map(str, arguments)],
            env={**os.environ, "PIP_CONFIG_FILE": os.devnull}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    def install(self, *projects: Path) -> None:
        """Build wheels of these projects and install them; nothing is looked up or downloaded."""
        self.pip("install", "--no-deps", "--no-build-isolation", "--no-index", *projects)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """It has latentkit, the example, and a package that ``plugin new`` made there."""
    pytest.importorskip("pip")
    made = Environment(tmp_path_factory.mktemp("environment"), tmp_path_factory.mktemp("work"))
    venv.create(made.folder, symlinks=True)
    (own,) = [path for path in made.folder.rglob("site-packages") if path.is_dir()]
    # Behind its own packages, and without the .pth files there, one of which may lead to this source tree.
    others = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (own / "libraries.pth").write_text("\n".join(others) + "\n")
    made.install(ROOT)
    made.latentkit("plugin", "new", "warm-up")
    shutil.copytree(EXAMPLE, made.work / "example")
    made.install(made.work / "example", made.work / "latentkit-warm-up")
    return made


def test_it_is_the_wheel_that_is_tested(environment: Environment) -> None:
    names = ["latentkit", "latentkit_cli", "latentkit_plugins"]
    code = f"import {', '.join(names)}; print({'.__file__, '.join(names)}.__file__)"
    files = environment.run("python", "-c", code).stdout.split()
    assert [Path(file).is_relative_to(environment.folder) for file in files] == [True] * 3


def test_components_of_packages_are_listed_like_those_that_ship(environment: Environment) -> None:
    done = environment.latentkit("list", "loss", "--json")
    found = {entry["name"]: entry for entry in json.loads(done.stdout)}
    assert found["softplus.scaled"]["summary"].startswith("Softplus of a score, of adjustable sharpness")
    assert "warm-up.huber" in found
    assert done.stderr == ""


def test_a_recipe_of_ones_own_trains_with_a_part_and_a_loss_of_a_package(environment: Environment) -> None:
    (environment.work / "mine.toml").write_text(MINE)
    done = environment.latentkit("compose", "mine.toml", "--steps", 3, *SMALL, "--out", "run", "--json")
    result = json.loads(done.stdout)
    assert (result["step"], result["name"]) == (3, "mine")
    assert result["last"]["generate.adversarial"] > 0
    state = json.loads((environment.work / "run" / "state.json").read_text())
    assert state["versions"]["plugin softplus"] == "0.1.0"


@pytest.mark.parametrize("folder", ["example", "latentkit-warm-up"])
def test_the_tests_of_a_package_pass_where_it_is_installed(environment: Environment, folder: str) -> None:
    done = environment.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=environment.work / folder)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("folder", ["example", "latentkit-warm-up"])
def test_a_package_is_strictly_typed(environment: Environment, folder: str) -> None:
    cache = environment.work / "mypy"
    done = environment.run("python", "-m", "mypy", "--cache-dir", cache, cwd=environment.work / folder)
    assert done.returncode == 0, done.stdout + done.stderr


def test_broken_packages_are_told_by_every_command_until_they_are_removed_as_it_says(environment: Environment) -> None:
    for name, (plugin, text) in BROKEN.items():
        module = name.replace("-", "_")
        (environment.work / name / module).mkdir(parents=True)
        (environment.work / name / module / "__init__.py").write_text(text)
        (environment.work / name / "pyproject.toml").write_text(PROJECT.format(name=name, plugin=plugin, module=module))
    environment.install(*(environment.work / name for name in BROKEN))

    told = "note: plugin '{}' of {} 0.3 cannot be used: {}; to remove it: pip uninstall {}".format
    check = ["check", "softplus-gan", *SMALL, "--json"]
    for command in (["list", "--json"], ["recipes"], ["show", "softplus-gan"], ["plugins", "--json"], check):
        done = environment.latentkit(*command)
        raising, taken = sorted(line for line in done.stderr.splitlines() if line.startswith("note: plugin"))[::-1]
        assert raising == told("raises", "latentkit-raises", "RuntimeError: not today", "latentkit-raises")
        assert taken.startswith("note: plugin 'ogan' of latentkit-claims 0.3 cannot be used: its name is taken by ")
        assert "spoils" not in done.stdout
        if "--json" in command:
            json.loads(done.stdout)

    removed = re.findall(r"pip uninstall (\S+)$", done.stderr, re.MULTILINE)
    assert sorted(removed) == sorted(BROKEN)
    environment.pip("uninstall", "--yes", *removed)
    assert environment.latentkit("list", "loss").stderr == ""
