"""Several processes that share each batch train as one does."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
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

pytestmark = pytest.mark.xdist_group("ranks")
WORKER = Path(__file__).with_name("ranks.py")
BY_EXAMPLE = ("biggan-128", "gaia-128", "stylealae-bedroom", "stylealae-celeba128", "stylealae-celebahq256",
              "stylealae-ffhq", "stylealae-mnist")  # fmt: skip
"""Those whose data are files that are not here; the same recipes otherwise are."""
STEPS = 5
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
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
    with contextlib.ExitStack() as files:
        processes = [
            subprocess.Popen(
                [sys.executable, str(WORKER), str(rank), "2", str(folder / "store")], env=ENVIRONMENT,
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


def command(*arguments: object, processes: int = 2, restarts: int = 0) -> list[str]:
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes),
            "--max-restarts", str(restarts), "-m", "latentkit", *map(str, arguments)]  # fmt: skip


def torchrun(*arguments: object, processes: int = 2, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments, processes=processes), cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip


@pytest.fixture
def options(narrow: abc.Callable[..., dict[str, object]]) -> list[str]:
    given = {**narrow("ogan"), "train.batch": 8, "train.checkpoint_every": 5}
    changes = [text for key, value in given.items() for text in ("--set", f"{key}={json.dumps(value)}")]
    return ["--precision", "float64", *changes]


def same_weights(one: Path, other: Path, steps: int, tolerance: float) -> None:
    found = [newest(folder) for folder in (one, other)]
    assert [saved.state["step"] for saved in found if saved] == [steps, steps]
    mine, theirs = (saved.tensors for saved in found if saved)
    assert mine.keys() == theirs.keys()
    for key, value in mine.items():
        torch.testing.assert_close(value, theirs[key], rtol=0, atol=tolerance, msg=key)


def test_the_command_trains_with_torchrun_and_continues_with_another_number_of_processes(
    options: list[str], tmp_path: Path
) -> None:
    whole = torchrun("compose", "ogan", "--out", "whole", "--steps", 6, *options, cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    assert whole.stdout.count("6 steps") == 1  # one of them talks
    part = torchrun("compose", "ogan", "--out", "parts", "--steps", 2, *options, cwd=tmp_path)
    assert part.returncode == 0, part.stderr
    for processes, steps in ((1, 4), (2, 6)):
        part = torchrun("compose", "--out", "parts", "--resume", "--steps", steps, processes=processes, cwd=tmp_path)
        assert part.returncode == 0, part.stderr
    same_weights(tmp_path / "whole", tmp_path / "parts", 6, 1e-12)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="children are found below /proc")
def test_after_the_death_of_one_process_all_go_on_from_the_last_checkpoint(options: list[str], tmp_path: Path) -> None:
    steps = 200
    whole = torchrun("compose", "ogan", "--out", "whole", "--steps", steps, *options, cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    killed = command("compose", "ogan", "--out", "killed", "--steps", steps, *options, restarts=1)
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(killed, cwd=tmp_path, env=ENVIRONMENT, stdout=log, stderr=log)
        until = time.monotonic() + 120
        while not (tmp_path / "killed" / "state.json").is_file():
            assert time.monotonic() < until
            time.sleep(0.05)
        victims = children(process.pid)
        assert len(victims) == 2
        os.kill(victims[1], signal.SIGKILL)
        assert process.wait(timeout=300) == 0, (tmp_path / "log").read_text()
    told = (tmp_path / "log").read_text()
    assert "note: continuing at step" in told
    same_weights(tmp_path / "whole", tmp_path / "killed", steps, 0.0)


def children(process: int) -> list[int]:
    """Processes that it has started, in their order."""
    return [int(number) for number in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
