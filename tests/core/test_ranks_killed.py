"""One of several processes is killed: the others stop, and started again they go on from the last checkpoint."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import abc
from pathlib import Path

import attrs
import pytest

pytestmark = [
    pytest.mark.xdist_group("ranks"),
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are looked at below /proc"),
]
STEPS, EVERY = 80, 5
WITHIN = 30.0
Far = abc.Callable[[Path, Path], float]
Ranks = abc.Callable[..., list[str]]


@attrs.frozen
class Fate:
    """What came of a run one of whose processes was killed."""

    reached: int
    """The last step before."""
    writing: bool
    """A checkpoint was half written."""
    seconds: float
    """Until the others had ended."""
    continued: int
    """The step at which the run went on."""


def killed(folder: Path, overrides: dict[str, object], victim: int, step: int, while_writing: bool = False) -> Fate:
    """Train with torchrun, kill a process once a step is reached, and wait for the end."""
    changes = [text for key, value in overrides.items() for text in ("--set", f"{key}={json.dumps(value)}")]
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--max-restarts", "1",
        "-m", "latentkit", "compose", "ogan", "--out", "run", "--steps", str(STEPS), "--precision", "float64", *changes,
    ]  # fmt: skip
    log, fresh = folder / "log", folder / "run" / ".checkpoint"
    with log.open("w") as file:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=file, stderr=file)
        until(lambda: reached(folder) >= step, 120)
        ranks = ranks_below(process.pid)
        if while_writing:
            until(fresh.is_dir, 10, pause=0.0)
        os.kill(ranks.pop(victim), signal.SIGKILL)
        start, at, writing = time.monotonic(), reached(folder), fresh.is_dir()
        until(lambda: not any(map(lives, ranks.values())), 60)
        seconds = time.monotonic() - start
        assert process.wait(300) == 0, log.read_text()
    found = re.search(r"continuing at step (\d+)", log.read_text())
    return Fate(at, writing, seconds, int(found[1]) if found else 0)


def until(condition: abc.Callable[[], bool], seconds: float, pause: float = 0.01) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(pause)


def reached(folder: Path) -> int:
    """The last step in the log of a run."""
    file = folder / "run" / "metrics.jsonl"
    lines = file.read_text().splitlines(keepends=True) if file.is_file() else []
    return max((json.loads(line)["step"] for line in lines if line.endswith("\n")), default=0)


def ranks_below(process: int) -> dict[int, int]:
    """The processes that torchrun has started, by rank."""
    found = {}
    for number in Path(f"/proc/{process}/task/{process}/children").read_text().split():
        environment = Path(f"/proc/{number}/environ").read_bytes().split(b"\0")
        found |= {int(item[5:]): int(number) for item in environment if item.startswith(b"RANK=")}
    assert sorted(found) == [0, 1]
    return found


def lives(process: int) -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.fixture(scope="module")
def whole(ranks: Ranks, small: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nothing has disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    ranks(2, folder, train={"recipe": "ogan", "precision": "float64", "overrides": small, "steps": STEPS})
    return folder / "run"


def test_after_the_death_of_one_process_all_go_on_from_the_last_checkpoint(
    whole: Path, small: dict[str, object], far: Far, tmp_path: Path
) -> None:
    fate = killed(tmp_path, small, victim=1, step=32)
    assert fate.seconds < WITHIN
    assert fate.continued >= fate.reached - EVERY
    assert far(whole, tmp_path / "run") == 0.0


@pytest.mark.parametrize(("environment", "told"), [({}, "taken down\n"), ({"WORLD_SIZE": "2", "RANK": "0"}, "")])
def test_a_process_that_fails_beside_others_ends_at_once(environment: dict[str, str], told: str) -> None:
    code = "import atexit, sys, latentkit_cli; atexit.register(print, 'taken down'); sys.exit(latentkit_cli.main())"
    command = [sys.executable, "-c", code, "compose", "nonsense"]
    ended = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: ")
    assert ended.stdout == told


@pytest.mark.slow
def test_twenty_deaths_cost_no_more_than_the_steps_since_the_last_checkpoint(
    whole: Path, small: dict[str, object], far: Far, tmp_path: Path
) -> None:
    fates = []
    for number in range(20):
        seed = int(os.environ.get("LATENTKIT_SEED", "0")) + number
        chance = random.Random(seed)
        victim, step, while_writing = chance.randrange(2), chance.randrange(1, STEPS - 20), number % 4 == 0
        folder = tmp_path / str(number)
        folder.mkdir()
        fate = killed(folder, small, 0 if while_writing else victim, step, while_writing)
        fates.append(fate)
        print(f"seed {seed}: {fate}, differs by {far(whole, folder / 'run')}", flush=True)
        assert fate.seconds < WITHIN
        assert fate.continued >= fate.reached - EVERY
        assert far(whole, folder / "run") == 0.0
    print(f"20 of 20; the others ended after {max(fate.seconds for fate in fates):.1f} s at most, "
          f"{sum(fate.writing for fate in fates)} in the midst of a checkpoint")  # fmt: skip
