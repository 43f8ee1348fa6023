"""Two network namespaces as two machines, which share nothing but a cable. Needs to be root, and ``ip`` (iproute2)."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import abc
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ranks")]
MACHINES = {"latentkit-0": "10.77.0.1", "latentkit-1": "10.77.0.2"}
MEETINGS = {
    "static": ["--master-addr", "10.77.0.1"],
    "c10d": ["--rdzv-backend", "c10d", "--rdzv-endpoint", "10.77.0.1:29400"],
}
"""Ways of torchrun to bring machines together. With c10d the first process may be on either machine, and which machine
is the endpoint's follows from its name, or ``is_host``: here both have one name."""
STEPS = 150
Far = abc.Callable[[Path, Path], float]
Ranks = abc.Callable[..., list[str]]
Start = abc.Callable[..., list[subprocess.Popen[str]]]


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@pytest.fixture(scope="module")
def machines() -> abc.Iterator[None]:
    """The namespaces, joined by a pair of interfaces."""
    if shutil.which("ip") is None:
        pytest.skip("there is no command ip")
    first, second = MACHINES
    with contextlib.ExitStack() as ends:
        try:
            for name in MACHINES:
                ip("netns", "add", name)
                ends.callback(ip, "netns", "del", name)
            ip("link", "add", "cable-0", "netns", first, "type", "veth", "peer", "name", "cable-1", "netns", second)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces are not permitted here: {error.stderr.strip()}")
        for number, (name, address) in enumerate(MACHINES.items()):
            ip("-n", name, "address", "add", f"{address}/24", "dev", f"cable-{number}")
            for interface in ("lo", f"cable-{number}"):
                ip("-n", name, "link", "set", interface, "up")
        yield


@pytest.fixture
def start(machines: None, small: dict[str, object], tmp_path: Path) -> abc.Iterator[Start]:
    """Starts the README's command on both machines, each in a folder of its own, with arguments of torchrun."""
    with contextlib.ExitStack() as ends:

        def begin(*arguments: str, meeting: str = "static", out: str = "run") -> list[subprocess.Popen[str]]:
            found = []
            for number, (name, address) in enumerate(MACHINES.items()):
                changes = [text for key, value in small.items() for text in ("--set", f"{key}={json.dumps(value)}")]
                command = [
                    "ip", "netns", "exec", name, sys.executable, "-m", "torch.distributed.run", "--nnodes", "2",
                    "--nproc-per-node", "1", *MEETINGS[meeting], "--node-rank", str(number), "--local-addr", address,
                    "--rdzv-conf", f"is_host={int(number == 0)}", *arguments, "-m", "latentkit", "compose", "ogan",
                    "--out", out, "--steps", str(STEPS), "--precision", "float64", *changes,
                ]  # fmt: skip
                folder = tmp_path / str(number)
                folder.mkdir()
                log = ends.enter_context((folder / "log").open("w"))
                environment = {**os.environ, "OMP_NUM_THREADS": "1"}
                process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, text=True)
                ends.callback(process.wait)
                ends.callback(process.terminate)
                found.append(process)
            return found

        yield begin


@pytest.fixture(scope="module")
def whole(ranks: Ranks, small: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run of two processes on one machine."""
    folder = tmp_path_factory.mktemp("whole")
    ranks(2, folder, train={"recipe": "ogan", "precision": "float64", "overrides": small, "steps": STEPS})
    return folder / "run"


def logs(folder: Path) -> list[str]:
    return [(folder / str(number) / "log").read_text() for number in range(2)]


def test_two_machines_train_as_two_processes_of_one_do(start: Start, whole: Path, far: Far, tmp_path: Path) -> None:
    assert [machine.wait(300) for machine in start()] == [0, 0], logs(tmp_path)
    assert far(whole, tmp_path / "0" / "run") == 0.0
    assert not (tmp_path / "1" / "run").exists()  # no file system need be shared


@pytest.mark.parametrize(("meeting", "victim"), [("static", 0), ("static", 1), ("c10d", 0), ("c10d", 1)])
def test_both_machines_start_again_after_a_process_of_one_has_died(
    meeting: str, victim: int, start: Start, whole: Path, far: Far, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    running = start("--max-restarts", "1", meeting=meeting, out=str(run))
    end = time.monotonic() + 120
    while not (run / "state.json").is_file():
        assert time.monotonic() < end
        time.sleep(0.01)
    (process,) = Path(f"/proc/{running[victim].pid}/task/{running[victim].pid}/children").read_text().split()
    os.kill(int(process), signal.SIGKILL)
    assert [machine.wait(300) for machine in running] == [0, 0], logs(tmp_path)
    assert "note: continuing at step" in "".join(logs(tmp_path))
    assert far(whole, run) == 0.0


def test_machines_that_cannot_talk_are_told_of(start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")  # by which the other machine is not reached
    assert [machine.wait(60) for machine in start()] == [1, 1]
    assert "error: process 0 does not reach process 1 at 127.0.0.1: Connection refused" in logs(tmp_path)[0]
    assert "the network interface lo; set GLOO_SOCKET_IFNAME to take another one" in logs(tmp_path)[0]
    assert "error:" not in logs(tmp_path)[1]
