"""Kill a training over and over, continue it each time, and compare its end with a training that was left alone.

    python tests/soak.py                 50 kills of the narrow MLP-ALAE, some minutes
    python tests/soak.py --kills 200 --recipe ogan

Exits with 1 if a continuation loses more than ``train.checkpoint_every`` steps, says anything of damage, or if the
two ends differ in a single bit.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from safetensors import safe_open

EVERY = 7
NARROW = {
    "train.batch": 8, "train.log_every": 1, "train.checkpoint_every": EVERY, "data.count": 200, "data.resolution": 8,
}  # fmt: skip
WIDTHS = {"alae-mlp": ("parts.E.hidden=32", "parts.G.hidden=32"),
          "ogan": ("parts.E.channels_base=8", "parts.G.channels_base=8")}  # fmt: skip
CONTINUING = re.compile(r"continuing at step (\d+)")


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--kills", type=int, default=50)
    options.add_argument("--recipe", choices=sorted(WIDTHS), default="alae-mlp")
    options.add_argument("--longest", type=float, default=3.0, help="seconds of training between two kills at most")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return soak(Path(folder), given.recipe, given.kills, given.longest)


def command(recipe: str | None, out: Path, *more: str) -> list[str]:
    start = [sys.executable, "-m", "latentkit", "compose", "--out", str(out), *more]
    if recipe is None:
        return [*start, "--resume"]
    settings = [*(f"{key}={value}" for key, value in NARROW.items()), *WIDTHS[recipe]]
    return [*start, recipe, *(item for text in settings for item in ("--set", text))]


def soak(folder: Path, recipe: str, kills: int, longest: float) -> int:
    run, whole = folder / "run", folder / "whole"
    worst = damaged = 0
    plenty = ("--steps", "10000000")
    next_command, reached = command(recipe, run, *plenty), 0
    for kill in range(1, kills + 1):
        before = last_step(run)
        process = subprocess.Popen(next_command, stderr=subprocess.PIPE, text=True)
        resumed = wait_for_training(process, run, before)
        time.sleep(random.uniform(0, longest))
        process.send_signal(signal.SIGKILL)
        _, said = process.communicate()
        resumed_at = next((int(found[1]) for found in map(CONTINUING.search, [*resumed, said]) if found), 0)
        lost = max(reached - resumed_at, 0)
        worst, damaged = max(worst, lost), damaged + ("using the checkpoint before" in "".join(resumed) + said)
        reached = last_step(run)
        print(f"kill {kill:3}: continued at {resumed_at}, lost {lost}, killed at {reached}", flush=True)
        next_command = command(None, run, *plenty) if (run / "recipe.toml").is_file() else next_command
    steps = ("--steps", str(reached + EVERY))
    subprocess.run(command(None, run, *steps), check=True, capture_output=True)
    subprocess.run(command(recipe, whole, *steps), check=True, capture_output=True)
    equal = tensors(run) == tensors(whole) and records(run) == records(whole)
    print(f"{kills} kills, {reached + EVERY} steps: at most {worst} steps lost (checkpoint_every = {EVERY}), "
          f"{damaged} damaged checkpoints, ends {'equal' if equal else 'DIFFERENT'}")  # fmt: skip
    return 0 if equal and worst <= EVERY and not damaged else 1


def wait_for_training(process: subprocess.Popen[str], run: Path, before: int) -> list[str]:
    """Lines of standard error until the run has begun to train."""
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        seen.append(line)
        if re.match(r"step \d+/", line) or process.poll() is not None:
            break
    return seen


def last_step(run: Path) -> int:
    """The last step that a run had finished when it was killed."""
    found = records(run)
    return found[-1]["step"] if found else 0


def records(run: Path) -> list[dict[str, float]]:
    file = run / "metrics.jsonl"
    lines = file.read_text().split("\n")[:-1] if file.is_file() else []
    return [json.loads(line) for line in lines]


def tensors(run: Path) -> dict[str, list[float]]:
    with safe_open(run / "training.safetensors", "pt") as file:
        return {key: file.get_tensor(key).flatten().tolist() for key in file.keys()}  # noqa: SIM118


if __name__ == "__main__":
    sys.exit(main())
