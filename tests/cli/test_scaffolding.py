"""``plugin new``: names and folders that it takes, and what it writes."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections import abc
from pathlib import Path
from typing import Any

import pytest

from latentkit.registry.catalogue import read_catalogue
from latentkit_cli import scaffolding

Command = abc.Callable[..., Any]

EXAMPLE = Path(__file__).parents[2] / "examples" / "latentkit-softplus"


def files(folder: Path) -> set[str]:
    """What git would take of a package, by path."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path.as_posix() for path in paths if not any(part.startswith((".", "__pycache__")) for part in path.parts)}


def test_a_package_is_named_throughout_and_says_what_comes_next(latentkit: Command) -> None:
    done = latentkit("plugin", "new", "my-losses")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("wrote latentkit-my-losses\n  latentkit_my_losses/parts.py ")
    assert "Next:\n  cd latentkit-my-losses\n" in done.out
    folder = Path("latentkit-my-losses")
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["latentkit"] == {"my-losses": "latentkit_my_losses"}
    assert [name.partition(">")[0] for name in project["dependencies"]] == ["latentkit"]
    (catalogue,) = read_catalogue(folder / "latentkit_my_losses" / "registry.toml")
    assert [entry.name for entry in catalogue.entries] == ["my-losses.encoder", "my-losses.huber"]
    assert list(catalogue.recipe_notes) == ["my-losses-autoencoder"]
    assert not [name for name in files(folder) if "$" in (folder / name).read_text()]


def test_the_example_has_the_shape_of_what_is_made(latentkit: Command) -> None:
    assert latentkit("plugin", "new", "softplus", "--out", "made").code == 0
    assert {name.replace("softplus-autoencoder", "softplus-gan") for name in files(Path("made"))} == files(EXAMPLE)
    made, example = ((folder / "pyproject.toml").read_text() for folder in (Path("made"), EXAMPLE))
    differing = set(made.splitlines()) ^ set(example.splitlines())
    assert {line.partition(" = ")[0] for line in differing} == {"description", "license"}


def test_every_template_is_used_and_linted_code_comes_out(latentkit: Command) -> None:
    templates = {path.name.removesuffix(".template") for path in scaffolding.TEMPLATES.iterdir()}
    assert templates == set(scaffolding.FILES)
    latentkit("plugin", "new", "a1-b2", "--out", "made")
    for arguments in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *arguments, "--no-cache", "made"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("My_Losses", "'My_Losses': expected a lower-case letter, then letters, digits and single '-'; for example"),
        ("3d", "; for example 'd'"),
        ("a--b", "; for example 'a-b'"),
        ("a-", "; for example 'a'"),
        ("../up", "; for example 'up'"),
        ("", "'': expected a lower-case letter, then letters, digits and single '-'\n"),
        ("ä", "'ä': expected a lower-case letter"),
        ("lambda", "'lambda' is a word of Python; choose another name, for example 'lambda-parts'"),
        ("ogan", "the name 'ogan' is taken by plugin 'ogan' (built in "),
        ("plugins", "'plugins': a module 'latentkit_plugins' is there already; choose another name"),
    ],
)
def test_names_that_cannot_be_are_refused(latentkit: Command, tmp_path: Path, name: str, message: str) -> None:
    done = latentkit("plugin", "new", name)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert not list(tmp_path.iterdir())


def test_a_recipe_name_that_is_taken_is_refused(latentkit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = scaffolding.default_registry()
    monkeypatch.setitem(registry.recipes, "fresh-autoencoder", Path("x.toml"))
    monkeypatch.setitem(registry.recipe_owner, "fresh-autoencoder", "alae")
    done = latentkit("plugin", "new", "fresh")
    assert done.code == 2
    assert "the recipe 'fresh-autoencoder' is taken by plugin 'alae' (built in " in done.err


def test_folders_that_have_something_in_them_are_left_alone(latentkit: Command, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    (tmp_path / "empty").mkdir()
    full = latentkit("plugin", "new", "fresh", "--out", "full")
    assert (full.code, full.err) == (2, "error: full: the folder is not empty; give a new one with --out DIR\n")
    file = latentkit("plugin", "new", "fresh", "--out", "full/file")
    assert (file.code, file.err) == (2, "error: full/file: is a file; give a new folder with --out DIR\n")
    below = latentkit("plugin", "new", "fresh", "--out", "full/file/deep")
    assert (below.code, below.err) == (
        2, "error: full/file/deep/pyproject.toml: cannot be written (Not a directory)\n"
    )  # fmt: skip
    assert files(tmp_path / "full") == {"file"}
    assert latentkit("plugin", "new", "fresh", "--out", "empty").code == 0
    assert latentkit("plugin", "new", "fresh", "--out", "new/deep").code == 0
    assert files(tmp_path / "empty") == files(tmp_path / "new" / "deep")


def test_plugin_alone_shows_its_help(latentkit: Command) -> None:
    shown = latentkit("plugin")
    assert shown.code == latentkit().code
    assert "new  Make a plugin package to start from." in shown.out + shown.err
    assert "Example:\n    latentkit plugin new my-losses" in latentkit("plugin", "new", "--help").out
