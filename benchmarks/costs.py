"""What a run costs beside its steps: checkpoints and observers, as shares of training time; and how long a check takes.

    python benchmarks/costs.py                # MLP-ALAE: checkpoints, observers; check of every shipped recipe
    python benchmarks/costs.py --steps 300

Steps, checkpoints and hooks are timed inside one real run, so that all shares come from the same minutes. A checkpoint
is written every 25 steps here to have several; its share is stated for one every 500 steps. Observers are all there
are: the metrics file, pictures, the console's lines, and TensorBoard, at the recipe's own ``log_every``.
"""

from __future__ import annotations

import os

os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import argparse
import statistics
import subprocess
import sys
import time
from collections import abc
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from measuring.runs import told

import latentkit as lk

EVERY = 25
STATED = 500


def run_costs(recipe: str, steps: int) -> None:
    """Print what checkpoints and observers cost in a run."""
    found = told(recipe, steps, EVERY)
    step, each = statistics.median(found.step), statistics.median(found.checkpoint)
    # At the end comes a picture and the close of every file, once in a run; those are not the price of a step.
    observers, reading = sum(sorted(found.observers)[:-1]), sum(found.reading)
    print(f"{recipe}: {steps} steps, {step * 1e3:.1f} ms each (median)")
    print(
        f"  checkpoint of {found.megabytes:.0f} MB, with the model: {each * 1e3:.0f} ms (median of "
        f"{len(found.checkpoint)}); every {STATED} steps that is {each / (STATED * step):.2%} of the time"
    )
    print(f"  observers: {observers / steps * 1e6:.0f} us a step, {observers / sum(found.step):.2%} of the time "
          f"(with the reading of losses {(observers + reading) / sum(found.step):.2%})")  # fmt: skip


def check_times(arguments: abc.Iterable[tuple[str, ...]], rounds: int) -> None:
    print("check, start-up included (median):")
    for given in arguments:
        taken = []
        for _ in range(rounds):
            start = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-m", "latentkit", "check", *given], capture_output=True, text=True, check=True
            )
            taken.append(time.perf_counter() - start)
        probed = "  (shapes only)" if "nothing was probed" in done.stdout else ""
        print(f"  {' '.join(given):45} {statistics.median(taken):.2f} s{probed}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--recipe", default="alae-mlp")
    options.add_argument("--steps", type=int, default=200)
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    check_times([*((name,) for name in lk.recipes()), ("ogan", "--set", "data.resolution=1024")], given.rounds)
    run_costs(given.recipe, given.steps)


if __name__ == "__main__":
    main()
