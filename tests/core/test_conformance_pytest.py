"""The pytest plugin: items without a test file, for whatever plugin is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

MODULE = """
import latentkit as lk
from latentkit.functions import stateless

@lk.loss("of: T, to: T -> score")
def sound(of, to):
    return (of - to).square().reshape(len(of), -1).mean(1)

@lk.loss("of: T, to: T -> score")
def faulty(of, to):
    return (of - to.mean(0)).square().reshape(len(of), -1).mean(1)

@stateless("mapping", "z: latent[n] -> latent[n]")
def picky(z):
    raise lk.Mismatch("picky: today no size is right")

@lk.hookimpl
def latentkit_components():
    return {"sound": sound, "faulty": faulty, "picky": picky}
"""


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A package with a plugin, as pip leaves one, in a folder that can be put on the path."""
    (tmp_path / "site" / "somewhere-0.1.dist-info").mkdir(parents=True)
    (tmp_path / "site" / "somewhere.py").write_text(MODULE)
    (tmp_path / "site" / "somewhere-0.1.dist-info" / "METADATA").write_text("Name: somewhere\nVersion: 0.1\n")
    entry = "[latentkit]\nelsewhere = somewhere\n"
    (tmp_path / "site" / "somewhere-0.1.dist-info" / "entry_points.txt").write_text(entry)
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "test_own.py").write_text("def test_own():\n    pass\n")
    return tmp_path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(folder / "site"), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "latentkit.testing", *arguments],
        cwd=folder / "work", env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "COLUMNS": "150"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_items_have_readable_ids_and_faults_are_told_without_a_traceback(installed: Path) -> None:
    done = run(installed, "--latentkit-plugin", "elsewhere", "-v", "-rfs")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "elsewhere::elsewhere.sound[finite gradients] PASSED" in done.stdout
    assert "elsewhere::elsewhere.faulty[keeps samples apart] FAILED" in done.stdout
    assert done.stdout.count("FAILED ") == 2  # the item, and its line in the summary
    assert "________ elsewhere.faulty: keeps samples apart ________" in done.stdout
    assert "\nforward: declares independent = True, but a sample's result depends on the others in its batch\n" in (
        done.stdout
    )
    assert "Traceback" not in done.stdout
    assert "no sizes were found that it takes; tried: n = 3: picky: today no size is right; n = 8: " in done.stdout
    assert "test_own" not in done.stdout


def test_files_that_are_named_are_collected_too(installed: Path) -> None:
    done = run(installed, "test_own.py", "--latentkit-plugin", "elsewhere", "-k", "own or sound and float64", "-v")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "test_own.py::test_own PASSED" in done.stdout
    assert "elsewhere::elsewhere.sound[float64] PASSED" in done.stdout
    assert " 2 passed, " in done.stdout


def test_recipes_can_be_left_out(installed: Path) -> None:
    done = run(installed, "--latentkit-plugin", "ogan", "--no-latentkit-recipes", "--collect-only", "-q")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ogan::ogan.matrix[builds]" in done.stdout
    assert "recipe:" not in done.stdout
    done = run(installed, "--latentkit-plugin", "ogan", "--latentkit-plugin", "alae", "--collect-only", "-q")
    assert "ogan::recipe:ogan[trains]" in done.stdout
    assert "alae::converter:alae[refuses what it does not know]" in done.stdout


def test_a_plugin_that_is_not_installed_is_refused(installed: Path) -> None:
    done = run(installed, "--latentkit-plugin", "elswhere")
    assert done.returncode == 4
    assert "ERROR: --latentkit-plugin: no plugin 'elswhere' is installed; did you mean 'elsewhere'?" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_without_its_option_nothing_changes(installed: Path) -> None:
    done = run(installed, "-q")
    assert (done.returncode, done.stdout.splitlines()[-1].partition(" in ")[0]) == (0, "1 passed")


def test_the_library_needs_no_pytest(installed: Path) -> None:
    code = "import sys; sys.modules['pytest'] = None; import latentkit.testing; latentkit.testing.checks_of('mlp')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
