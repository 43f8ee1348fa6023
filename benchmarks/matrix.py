"""Every system that can be put together from what ships: which are accepted, why the others are refused, which train.

    python benchmarks/matrix.py                    # all of it; writes docs/matrix.md
    python benchmarks/matrix.py --no-training      # the verdicts alone, and no page
    python benchmarks/matrix.py --checked 20000    # wire more systems one by one, as they are

The exit status is 1 where a system that is accepted does not train, or a verdict was wrong.
"""

from __future__ import annotations

import os

os.environ.setdefault("GOMP_SPINCOUNT", "1000")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from composition.axes import AXES, Cell
from composition.covering import Allowed, covering
from composition.page import Result, page
from composition.shipped import shipped_axes
from composition.trials import trial
from composition.verdicts import Count, Judge, Refused, decide

from latentkit.registry.catalogue import read_catalogue, shipped_catalogue
from latentkit.registry.manager import Registry

PAGE = Path(__file__).parents[1] / "docs/matrix.md"


def wrong_verdicts(judge: Judge, counts: list[Count], number: int) -> list[Cell]:
    """Of cells drawn at random those whose own wiring tells something else than the matrix."""
    draw, allowed = random.Random(0), Allowed(judge.axes, counts)
    cells = [Cell(*(draw.choice(judge.axes[axis]) for axis in AXES)) for _ in range(number)]
    return [cell for cell in cells if accepted(judge, cell) != (cell in allowed)]


def accepted(judge: Judge, cell: Cell) -> bool:
    try:
        judge.wiring(cell)
    except Refused:
        return False
    return True


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--checked", type=int, default=5000, metavar="N", help="systems that are wired one by one")
    options.add_argument("--no-training", action="store_true", help="the verdicts alone, and no page")
    options.add_argument("--page", type=Path, default=PAGE, help="where the page is written")
    given = options.parse_args()
    registry = Registry(read_catalogue(shipped_catalogue()), ())
    axes, left_out = shipped_axes(registry)
    judge = Judge(axes, registry)
    start = time.process_time()
    counts = decide(judge)
    seconds, wirings = time.process_time() - start, judge.wirings
    total, good = sum(count.cells for count in counts), sum(count.cells for count in counts if not count.reason)
    print(f"{total:,} systems, {good:,} accepted; {wirings:,} recipes wired in {seconds:.0f} s of one core")
    wrong = wrong_verdicts(judge, counts, given.checked)
    print(f"{given.checked:,} drawn at random and wired one by one: {len(wrong)} with another verdict")
    for cell in wrong:
        print(f"  {cell}")
    if given.no_training:
        return int(bool(wrong))
    start = time.process_time()
    sample = covering(Allowed(axes, counts))
    faults = [fault for cell in sample if (fault := trial(judge, cell))]
    trained = time.process_time() - start
    print(f"{len(sample)} trained in {trained:.0f} s: {len(faults)} failed")
    for fault in faults:
        print(f"  {fault.stage}: {fault.fact}\n    {fault.cell}")
    command = " ".join(["python benchmarks/matrix.py", *sys.argv[1:]])
    result = Result(
        axes=axes, left_out=left_out, counts=counts, wirings=wirings, seconds=seconds, checked=given.checked,
        sample=len(sample), faults=faults, trained=trained, command=command,
    )  # fmt: skip
    if not wrong:
        given.page.write_text(page(result, judge))
    return int(bool(wrong or faults))


if __name__ == "__main__":
    sys.exit(main())
