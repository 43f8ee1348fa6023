"""Several processes that share each batch train as one does."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections import abc
from pathlib import Path

import pytest
import torch

import latentkit as lk
from latentkit._building import wired
from latentkit.engine.sharding import Sharding
from latentkit.engine.world import World
from latentkit.errors import LatentkitError
from latentkit.runs.checkpoint import newest

WORKER = Path(__file__).with_name("ranks.py")
BY_EXAMPLE = ("biggan-128", "gaia-128", "stylealae-bedroom", "stylealae-celeba128", "stylealae-celebahq256",
              "stylealae-ffhq", "stylealae-mnist")  # fmt: skip
"""Those whose data are files that are not here; the same recipes otherwise are."""
STEPS = 5
ROUNDED = {"stylealae": 1e-6, "stylealae-digits": 1e-6, "stylealae-sprites": 1e-6, "stylegan": 1e-6, "gaia": 1e-9,
           "gaia-paper": 1e-9, "gaia-simple": 1e-9, "cyclegan": 1e-8, "biggan": 1e-10}  # fmt: skip
"""Of weights whose gradient is nothing but rounding, as of biases before a normalisation: Adam divides it by its own
size, so that the order of a sum shows. The terms are equal all the same."""


@pytest.fixture(scope="module")
def compared(
    narrow: abc.Callable[..., dict[str, object]], tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, int], dict[str, float]]:
    """By recipe and rank, how far two processes end from one."""
    folder = tmp_path_factory.mktemp("ranks")
    names = [name for name in lk.recipes() if name not in BY_EXAMPLE]
    asked = {"steps": STEPS, "recipes": {name: narrow(name) | {"train.batch": 8} for name in names}}
    (folder / "asked.json").write_text(json.dumps(asked))
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    with contextlib.ExitStack() as files:
        processes = [
            subprocess.Popen(
                [sys.executable, str(WORKER), str(rank), "2", str(folder / "store")], env=env,
                stdin=files.enter_context((folder / "asked.json").open()),
                stdout=files.enter_context((folder / f"{rank}.jsonl").open("w")),
            )
            for rank in range(2)
        ]  # fmt: skip
        assert [process.wait() for process in processes] == [0, 0]
    lines = [json.loads(line) for rank in range(2) for line in (folder / f"{rank}.jsonl").read_text().splitlines()]
    return {(line["name"], line["rank"]): line for line in lines}


@pytest.mark.parametrize("name", sorted(set(lk.recipes()) - set(BY_EXAMPLE)))
def test_two_processes_train_a_recipe_as_one_does(name: str, compared: dict[tuple[str, int], dict[str, float]]) -> None:
    for rank in range(2):
        found = compared[name, rank]
        assert found["terms"] <= (1e-10 if name in ROUNDED else 1e-12), found
        assert found["weights"] <= ROUNDED.get(name, 1e-12), found


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(LatentkitError, match="a batch of 9 cannot be shared evenly by 2 processes"):
        Sharding(wired("ogan", {"train.batch": 9}), World(rank=0, size=2), 9)
    with pytest.raises(LatentkitError, match="a batch of 6, of which 3 are used, cannot be shared evenly"):
        Sharding(wired("gaia", {"train.batch": 6}), World(rank=0, size=2), 6)


def test_what_keeps_samples_apart_is_computed_by_each_rank_for_its_own() -> None:
    wiring = wired("alae-mlp")
    sharding = Sharding(wiring, World(rank=1, size=2), 8)
    calls = [node for node in wiring.graph.nodes if node.op == "call"]
    assert calls
    assert {sharding.of(node) for node in calls} == {"own"}
    value = torch.arange(8)
    assert sharding.given(next(node for node in wiring.graph.nodes if node.is_source("data")), value).tolist() == [
        4,
        5,
        6,
        7,
    ]


def torchrun(*arguments: object, processes: int = 2, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes),
               "-m", "latentkit", *map(str, arguments)]  # fmt: skip
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=300, check=False)


def test_the_command_trains_with_torchrun_and_continues_with_another_number_of_processes(
    narrow: abc.Callable[..., dict[str, object]], tmp_path: Path
) -> None:
    options = {**narrow("ogan"), "train.batch": 8, "train.steps": 6}
    given = [text for key, value in options.items() for text in ("--set", f"{key}={json.dumps(value)}")]
    whole = torchrun("compose", "ogan", "--out", "whole", "--precision", "float64", *given, cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    assert whole.stdout.count("6 steps") == 1  # one of them talks
    part = torchrun("compose", "ogan", "--out", "parts", "--precision", "float64", *given, "--steps", 2, cwd=tmp_path)
    assert part.returncode == 0, part.stderr
    for processes, steps in ((1, 4), (2, 6)):
        part = torchrun("compose", "--out", "parts", "--resume", "--steps", steps, processes=processes, cwd=tmp_path)
        assert part.returncode == 0, part.stderr
    one, other = (newest(tmp_path / name) for name in ("whole", "parts"))
    assert one is not None
    assert other is not None
    assert one.state["step"] == other.state["step"] == 6
    assert one.tensors.keys() == other.tensors.keys()
    for key, value in one.tensors.items():
        torch.testing.assert_close(value, other.tensors[key], rtol=0, atol=1e-12, msg=key)
