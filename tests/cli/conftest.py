"""The command in this process, and one small trained run that all tests share."""

from __future__ import annotations

import json
import resource
from collections import abc
from pathlib import Path

import attrs
import numpy as np
import pytest
from PIL import Image

from latentkit.registry.manager import default_registry
from latentkit_cli import main

NARROW = (
    "--set", "parts.E.hidden=16", "--set", "parts.G.hidden=16", "--set", "data.count=64", "--set", "train.batch=8",
)  # fmt: skip
ALL = ("--set", "data.split=1.0")  # nothing held out, so that some metrics do not apply


@attrs.frozen
class Outcome:
    """What a command left: exit status and output."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> object:
        """Standard output, read as JSON."""
        return json.loads(self.out)


Command = abc.Callable[..., Outcome]


@pytest.fixture(autouse=True)
def _fresh_registry() -> None:
    default_registry.cache_clear()


@pytest.fixture
def latentkit(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs one command line in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def command(*arguments: object) -> Outcome:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return Outcome(code, *capsys.readouterr())

    return command


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three steps; tests read it only."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    code = main(["compose", "alae-mlp", "--out", str(folder), "--steps", "3", *NARROW, *ALL, "--json"])
    assert code == 0
    return folder


@pytest.fixture(scope="session")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two pictures of other sizes and colours than the model's."""
    folder = tmp_path_factory.mktemp("scans")
    rng = np.random.default_rng(0)
    for name, shape in {"a.png": (40, 60, 3), "b.jpg": (31, 31)}.items():
        Image.fromarray(rng.integers(0, 256, shape, np.uint8)).save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture(scope="session")
def processor_time() -> abc.Callable[[], float]:
    """Seconds that ended child processes have had a processor; other tests may be running beside."""

    def seconds() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    return seconds
