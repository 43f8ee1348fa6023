"""Signals to a training in a process of its own, as a user sends them."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

NARROW = (
    "--set", "parts.E.hidden=16", "--set", "parts.G.hidden=16", "--set", "data.count=64", "--set", "train.batch=8",
    "--set", "train.log_every=1", "--set", "train.checkpoint_every=100000",
)  # fmt: skip
SLOW = ("--set", "train.batch=1024", "--set", "data.count=2048", "--set", "train.log_every=1", "--set",
        "train.checkpoint_every=2")  # fmt: skip


def training(folder: Path, step: int, *more: str) -> subprocess.Popen[str]:
    """A training that has just taken this step."""
    command = [sys.executable, "-m", "latentkit", "compose", "alae-mlp", "--out", "run", "--steps", "100000", *more]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(f"step {step}/100000"):
            return process
    raise AssertionError(process.communicate())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_the_command_that_is_told_continues(number: signal.Signals, tmp_path: Path) -> None:
    process = training(tmp_path, 1, *NARROW)
    time.sleep(0.1)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "")
    told = re.search(
        rf"{number.name}: stopped after step ([\d,]+) of 100,000, which is saved\. Continue with:\n(.*)\n", err
    )
    assert told is not None
    step = int(told[1].replace(",", ""))
    assert json.loads((tmp_path / "run/state.json").read_text())["step"] == step
    if number is signal.SIGINT:
        words = shlex.split(told[2])
        assert words[0] == "latentkit"
        again = [sys.executable, "-m", "latentkit", *words[1:], "--steps", str(step + 2)]
        done = subprocess.run(again, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert f"continuing at step {step}" in done.stderr
        assert f"{step + 2:,} steps" in done.stdout


def test_a_second_ctrl_c_ends_at_once_with_the_last_checkpoint_intact(tmp_path: Path) -> None:
    process = training(tmp_path, 3, *SLOW)  # the fourth step takes a while
    process.send_signal(signal.SIGINT)
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Continue with:\n  latentkit compose --out run --resume" in err
    assert "Traceback" not in err
    assert "interrupted at step 3; the checkpoint of step 2 is on disk" in err
    assert json.loads((tmp_path / "run/state.json").read_text())["step"] == 2
