"""Peak memory of one StyleALAE step at 256 x 256 with the published widths, each contender in a process of its own.

    python benchmarks/memory.py               # minutes: a step is some ten trillion operations
    python benchmarks/memory.py --side 64 --batch 4

What is counted is what the process has resident: before the step (torch, weights, averages, what the optimizer has by
then), and at the highest during it.
"""

from __future__ import annotations

import os

os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import argparse
import gc
import json
import resource
import subprocess
import sys
from collections import abc
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from run import SETTINGS, Overrides, style, style_baseline, training

HAND_WRITTEN = "hand-written"
NAMES = (HAND_WRITTEN, "float32", "bfloat16 + channels-last")


def system(side: int, batch: int) -> Overrides:
    """The widths of `stylealae-celebahq256`, on few images that are made by code."""
    images = {"data.channels": 3, "data.count": 4 * batch}
    return {**style(side, batch, 64, 512, 512), **images, "parts.F.layers": 8}


def stepping(name: str, overrides: Overrides) -> abc.Callable[[], object]:
    if name == HAND_WRITTEN:
        return style_baseline(overrides).step
    return training("stylealae", SETTINGS[name].settings, overrides).step


def resident() -> float:
    """MiB now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def measure(name: str, side: int, batch: int) -> dict[str, float]:
    step = stepping(name, system(side, batch))
    gc.collect()
    before = resident()
    with SETTINGS["float32" if name == HAND_WRITTEN else name].settings.matrix_products():
        step()
    return {"before": before, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10}


def measured_apart(name: str, side: int, batch: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--measure", name, "--side", str(side), "--batch", str(batch)]
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return {key: float(value) for key, value in json.loads(found).items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--measure", choices=NAMES, help="only this one, in this process, as JSON")
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure, arguments.side, arguments.batch)))
        return
    reference = 0.0
    print("| | before the step, MiB | at most | added by the step | to hand-written |\n|---|---|---|---|---|")
    for name in NAMES:
        found = measured_apart(name, arguments.side, arguments.batch)
        added = found["peak"] - found["before"]
        reference = reference or added
        numbers = [f"{found['before']:,.0f}", f"{found['peak']:,.0f}", f"{added:,.0f}", f"{added / reference:.2f}"]
        print(f"| {name} | {' | '.join(numbers)} |", flush=True)


if __name__ == "__main__":
    main()
