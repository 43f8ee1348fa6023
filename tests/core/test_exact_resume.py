"""Every shipped recipe, killed at a random moment and continued, ends as if nothing had happened."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import abc
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import latentkit as lk
from latentkit._building import wired
from latentkit.runs.files import read_tensors

STEPS = 12
Narrow = abc.Callable[..., dict[str, object]]
FORKING = """
import json, os, sys
import torch, latentkit as lk
torch.set_num_threads(1)
lk.check("alae-mlp")  # imports everything that a training needs
for line in sys.stdin:
    job = json.loads(line)
    if "recipe" in job:
        lk.check(job["recipe"], job["overrides"], thorough=True)  # remembered by all that are forked
    pid = os.fork()
    if pid == 0:
        os.setsid()
        lk.train(**job)
        os._exit(0)
    print(pid, flush=True)
    os.waitpid(pid, 0)
    print("ended", flush=True)
"""


class Killer:
    """Trains in processes that are forked from one which has imported everything, and kills them."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", FORKING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    def train(self, job: dict[str, object], kill_after: float | None) -> float:
        """Trains and kills after so many seconds; returns how long it lasted."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        pid = int(self.process.stdout.readline())
        start = time.monotonic()
        if kill_after is not None:
            time.sleep(kill_after)
            with contextlib.suppress(ProcessLookupError):  # this time it may have been quicker, and has ended
                os.killpg(pid, signal.SIGKILL)
        assert self.process.stdout.readline() == "ended\n"
        return time.monotonic() - start

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def killer() -> abc.Iterator[Killer]:
    made = Killer()
    yield made
    made.close()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for name in range(3):
        (folder / f"class-{name}").mkdir()
    for index in range(22):
        Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8)).save(folder / f"class-{index % 3}" / f"{index}.png")
    return folder


def same(a: Path, b: Path) -> None:
    for name in ("training.safetensors", "model.safetensors"):
        mine, theirs = (read_tensors(path / name)[0] for path in (a, b))
        assert mine.keys() == theirs.keys()
        assert [key for key in mine if not torch.equal(mine[key], theirs[key])] == []
    assert (a / "metrics.jsonl").read_text() == (b / "metrics.jsonl").read_text()
    mine, theirs = ({file.relative_to(path): file.read_bytes() for file in path.glob("*/*.png")} for path in (a, b))
    assert mine
    assert mine == theirs


def from_folder(recipe: str, pictures: Path, workers: int, cache: Path) -> dict[str, object]:
    """Overrides that read every source of a recipe from files, decoded by so many processes."""
    found: dict[str, object] = {}
    for name, spec in wired(recipe).recipe.data.items():
        start = "data" if len(wired(recipe).data) == 1 else f"data.{name}"
        found |= {f"{start}.use": "folder", f"{start}.path": str(pictures), f"{start}.workers": workers}
        found |= {f"{start}.channels": spec.channels or 1, f"{start}.cache": str(cache)}
        found |= {} if isinstance(spec.split, float) else {f"{start}.split": 0.75}
        found |= {f"{start}.labels": True} if "label" in spec.gives.values() else {}
    labels = {f"draw.{name}.classes": 3 for name, draw in wired(recipe).draws.items() if hasattr(draw.prior, "classes")}
    return found | labels


@pytest.mark.parametrize(("number", "recipe"), list(enumerate(sorted(lk.recipes()))), ids=sorted(lk.recipes()))
def test_a_run_that_is_killed_at_a_random_moment_continues_exactly(
    number: int, recipe: str, killer: Killer, pictures: Path, narrow: Narrow, tmp_path: Path
) -> None:
    undisturbed, killed = (1, 2) if number % 2 else (2, 1)  # data workers

    def job(workers: int) -> dict[str, object]:
        overrides = narrow(recipe) | from_folder(recipe, pictures, workers, tmp_path / "cache")
        return {"recipe": recipe, "steps": STEPS, "overrides": overrides}

    lasted = killer.train({**job(undisturbed), "out": str(tmp_path / "whole")}, None)
    shutil.rmtree(tmp_path / "cache")  # so that the workers decode once more
    moment = random.uniform(0.02, lasted)
    killer.train({**job(killed), "out": str(tmp_path / "parts")}, moment)
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    started = (tmp_path / "parts/recipe.toml").is_file()
    again = {"resume": True} if started else job(killed)
    killer.train({**again, "out": str(tmp_path / "parts")}, None)
    same(tmp_path / "whole", tmp_path / "parts")
    assert not [path.name for path in (tmp_path / "parts").iterdir() if path.name.startswith(".")]
