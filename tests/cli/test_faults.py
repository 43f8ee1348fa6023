"""Installed packages that cannot be used: every command still works, and says so."""

from __future__ import annotations

import json
import shutil
import sys
from collections import abc
from pathlib import Path
from typing import Any

import pytest

from latentkit.registry import packages

Command = abc.Callable[..., Any]

NOTE = (
    "note: plugin 'bad' of bad-package 1.2 cannot be used: RuntimeError: no luck; to remove it: pip uninstall "
    "bad-package\n"
)
TAKEN = "note: plugin 'ogan' of other-package 0.3 cannot be used: its name is taken by plugin 'ogan' (built in "
SMALL = ("--set", "parts.E.hidden=8", "--set", "parts.G.hidden=8", "--set", "data.count=16", "--set", "train.batch=4")
LATE = '[late]\n[late.loss]\nx = "lk_late.parts:x"\n'


@pytest.fixture
def broken(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> abc.Iterator[None]:
    """Three packages: one raises and prints when imported, one claims a taken name, one fails once it is used."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "lk_bad.py").write_text("print('spoils')\nraise RuntimeError('no luck\\nat all')\n")
    (folder / "lk_late").mkdir()
    for name, text in {"__init__.py": "", "parts.py": "print('spoils')\n1 / 0", "registry.toml": LATE}.items():
        (folder / "lk_late" / name).write_text(text)
    monkeypatch.syspath_prepend(str(folder))
    points = [
        ("bad", "lk_bad", "bad-package", "1.2"),
        ("late", "lk_late", "late-package", "2.0"),
        ("ogan", "lk_other", "other-package", "0.3"),
    ]
    monkeypatch.setattr(packages, "entry_points", lambda: points)
    yield
    for name in [name for name in sys.modules if name.startswith("lk_")]:
        del sys.modules[name]


def told(err: str) -> tuple[str, list[str]]:
    """What a command said itself, and the notes after it."""
    lines = err.splitlines(keepends=True)
    notes = [line for line in lines if line.startswith("note: plugin ")]
    assert lines[len(lines) - len(notes) :] == notes
    return "".join(lines[: len(lines) - len(notes)]), notes


@pytest.mark.parametrize(
    "line",
    [
        "list",
        "list loss --json",
        "show l2 --json",
        "show ogan",
        "recipes",
        "plugins",
        "plugins --json",
        "check SMALL --json",
        "check alae-mpl",
        "explain SMALL",
        "compose SMALL --steps 1 --out new --json",
        "sample RUN -n 1 --json",
        "reconstruct RUN SCANS --json",
        "encode RUN SCANS --json",
        "interpolate RUN 1 2 --json",
        "eval RUN -n 4 --json",
        "--version",
    ],
)
@pytest.mark.usefixtures("broken")
def test_every_command_does_its_work_and_names_each_broken_package_once(
    line: str, latentkit: Command, run: Path, scans: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(run, tmp_path / "copy") if "eval" in line else run
    values = {"RUN": [copy], "SCANS": [scans], "SMALL": ["alae-mlp", *SMALL]}
    done = latentkit(*(value for word in line.split() for value in values.get(word, [word])))
    assert done.code == (2 if "alae-mpl" in line else 0)
    own, notes = told(done.err)
    assert notes[0] == NOTE
    assert len(notes) == 2
    assert notes[1].startswith(TAKEN)
    assert notes[1].endswith("; to remove it: pip uninstall other-package\n")
    assert own.startswith("spoils\n")
    assert "spoils" not in done.out
    if "--json" in line:
        json.loads(done.out)


@pytest.mark.usefixtures("broken")
def test_plugins_have_the_whole_reason_and_the_place(latentkit: Command) -> None:
    out = latentkit("plugins").out
    assert "\nbad 1.2 from bad-package cannot be used:\n  RuntimeError: no luck\n  at all\n  (" in out
    assert "lk_bad.py, line 2)\n  to remove it: pip uninstall bad-package\n" in out
    found = {(item["name"], item["from"]): item for item in latentkit("plugins", "--json").json}
    assert found["bad", "bad-package"]["remedy"] == "to remove it: pip uninstall bad-package"
    assert found["bad", "bad-package"]["fault"].startswith("RuntimeError: no luck\nat all\n(")
    other, shipped = found["ogan", "other-package"], found["ogan", "built in"]
    assert (other["components"], other["recipes"]) == (0, 0)
    assert (shipped["fault"], shipped["remedy"]) == (None, None)
    assert shipped["components"] > 0


@pytest.mark.usefixtures("broken")
def test_a_recipe_that_names_a_broken_package_ends_with_2_and_the_reason(latentkit: Command) -> None:
    term = 'phase.generate.loss.more={ use = "NAME", of = "x_fake" }'
    done = latentkit("compose", "alae-mlp", "--out", "new", "--set", term.replace("NAME", "bad.x"))
    assert (done.code, done.out) == (2, "")
    assert "use: plugin 'bad' is broken, so 'bad.x' is not available: RuntimeError: no luck; to remove it: " in done.err
    done = latentkit("compose", "alae-mlp", "--out", "new", "--set", term.replace("NAME", "late.x"))
    assert (done.code, done.out) == (2, "")
    assert "'late.x' of plugin 'late' cannot be imported: ZeroDivisionError: division by zero (" in done.err
    assert "(late-package 2.0; to remove it: pip uninstall late-package)" in done.err
    assert "Traceback" not in done.err
    assert not Path("new").exists()
    assert "plugin 'bad' is broken" in latentkit("show", "bad.x").err


@pytest.mark.usefixtures("broken")
def test_commands_that_ask_for_no_plugin_say_nothing_of_them(latentkit: Command) -> None:
    assert latentkit("compose", "--help").err == ""
    assert (
        latentkit("check", "ogan", "--set", "x").err
        == "error: --set x: expected KEY=VALUE, for example --set train.batch=32\n"
    )
