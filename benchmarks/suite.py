"""What training costs, in one table: step times beside hand-written loops, and to the limit of the machine; memory;
start-up; checkpoints.

    python benchmarks/suite.py                              # every system, setting and measure; hours, as it compiles
    python benchmarks/suite.py --quick                      # two systems in two minutes
    python benchmarks/suite.py ogan --measures time         # one of each
    python benchmarks/suite.py --json after.json            # with all that the figures were made from
    python benchmarks/suite.py --compare before.json after.json
"""

from __future__ import annotations

import os

os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import argparse
import sys
from collections import abc
from pathlib import Path

import attrs

sys.path.insert(0, str(Path(__file__).parent))

from measuring import comparing, page, rows
from measuring.apart import Failed, apart
from measuring.rows import Results, Row
from measuring.runs import checkpoints
from measuring.starts import alone
from measuring.systems import AGAIN, LOOPS, SYSTEMS, USUAL, System
from measuring.variants import FASTEST, OF_A_RUN, PLAIN

KINDS = ("time", "start", "checkpoint")
QUICK_SYSTEMS, QUICK_SETTINGS = ("vae", "ogan"), (AGAIN, "float32", FASTEST)
STARTED = (*PLAIN, "float32, compiled", f"{FASTEST}, compiled")
"""Of these, unless settings are named; compiling anew takes minutes each."""
SAVED = ("float32", FASTEST)
"""Checkpoints are the same under all settings; steps are not."""


def parsed(given: abc.Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    names = list(dict.fromkeys(name for system in SYSTEMS.values() for name in system.names))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("systems", nargs="*", metavar="SYSTEM", help=", ".join(SYSTEMS))
    parser.add_argument("--settings", nargs="*", choices=names, metavar="SETTING", help=", ".join(names))
    parser.add_argument(
        "--measures", nargs="*", choices=KINDS, default=list(KINDS),
        help="time: of a step, also to the limit; start: with its parts, compilation and the memory of a step",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=20, help="blocks of each contender")
    parser.add_argument("--seconds", type=float, default=0.5, help="of a block; at least one step")
    parser.add_argument("--repeats", type=int, default=4, help="processes for each start")
    parser.add_argument("--threads", nargs="*", type=int, default=[None], help="of the CPU; a table for each number")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true", help="few systems, settings and rounds")
    parser.add_argument("--json", type=Path, help="also write everything here")
    parser.add_argument("--compare", nargs=2, type=Path, metavar=("BEFORE", "AFTER"), help="two such files")
    found = parser.parse_args(given)
    unknown = [name for name in found.systems if name not in SYSTEMS]
    if unknown:
        parser.error(f"no system '{unknown[0]}'; there are: {', '.join(SYSTEMS)}")
    if found.quick:
        found.systems, found.settings = found.systems or QUICK_SYSTEMS, found.settings or QUICK_SETTINGS
        found.rounds, found.seconds, found.repeats = 6, 0.2, 2
    return found


def measured(system: System, asked: argparse.Namespace, threads: int | None) -> list[Row]:
    """All rows of one system."""
    names = [name for name in system.names if asked.settings is None or name in asked.settings]
    found: list[Row] = []
    print(f"{system.name}:", file=sys.stderr, flush=True)
    if "time" in asked.measures:
        plan = {"rounds": asked.rounds, "seconds": asked.seconds, "device": asked.device, "threads": threads}
        told = apart("timed:told", {"system": system.name, "names": names, "plan": plan})
        found += [Row(**each) for each in told]
    settings = [name for name in names if name not in LOOPS]
    if "start" in asked.measures:
        started = [name for name in settings if name in STARTED or (asked.settings and name in OF_A_RUN)]
        found += alone(system, started, asked.repeats, asked.device, threads)
    if "checkpoint" in asked.measures:
        found += checkpoints(system, [name for name in settings if name in SAVED], asked.device, threads)
    return found


def main() -> None:
    asked = parsed()
    if asked.compare:
        print(comparing.page(*map(rows.read, asked.compare)))
        return
    kept = {key: value for key, value in vars(asked).items() if key not in ("json", "compare")}
    results = Results(machine=rows.machine(asked.device), asked=kept, rows=())
    chosen = [SYSTEMS[name] for name in asked.systems or (system.name for system in USUAL)]
    for threads in asked.threads:
        for system in chosen:
            try:
                results = attrs.evolve(results, rows=(*results.rows, *measured(system, asked, threads)))
            except Failed as error:
                raise SystemExit(f"{system.name}: {error}") from None
            if asked.json:
                rows.write(results, asked.json)
    print(page.table(results))
    print(page.parts(results))


if __name__ == "__main__":
    main()
