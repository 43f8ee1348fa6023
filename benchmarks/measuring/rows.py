"""What is measured, as data: figures with intervals, the machine, and the file that both are kept in."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections import abc
from pathlib import Path
from typing import Any

import attrs
import cattrs

from measuring.noise import Estimate

FORMAT = 1
MEASURES = {
    "time": "of a step, to that of the hand-written loop",
    "limit": "of a step, to that of its operations at the machine's own rate",
    "memory": "added by a step, to that of the hand-written loop",
    "start": "seconds from the start of the process to the end of the first step",
    "compile": "seconds of the first step more than of the next one, nothing compiled before",
    "compile again": "the same in the next process",
    "checkpoint": "time of one, to that of a step",
}


@attrs.frozen(kw_only=True)
class Row:
    """One figure of one contender."""

    system: str
    setting: str
    measure: str
    value: float
    low: float
    high: float
    threads: int
    details: dict[str, Any] = attrs.field(factory=dict)
    """What it was made from."""

    @property
    def key(self) -> tuple[str, str, int, str]:
        """What the same figure of another commit has too."""
        return self.system, self.setting, self.threads, self.measure


@attrs.frozen(kw_only=True)
class Results:
    """Everything one call of the suite has measured."""

    machine: dict[str, Any]
    asked: dict[str, Any]
    rows: tuple[Row, ...]


def row(
    system: str, setting: str, measure: str, found: Estimate, threads: int, **details: object
) -> Row:  # fmt: skip
    """A figure with its interval."""
    return Row(
        system=system, setting=setting, measure=measure, value=found.value, low=found.low, high=found.high,
        threads=threads, details=details,
    )  # fmt: skip


def machine(device: str) -> dict[str, Any]:
    """What the figures depend on beside what is measured."""
    import torch

    here = {
        "commit": _git("rev-parse", "HEAD"), "changed": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "torch": torch.__version__, "python": platform.python_version(), "system": platform.platform(),
        "cpu": cpu_model(), "cores": os.cpu_count(), "threads": torch.get_num_threads(), "device": device,
        "load": os.getloadavg()[0], "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }  # fmt: skip
    if torch.device(device).type == "cuda":
        here["gpu"] = torch.cuda.get_device_name(device)
    return here


def cpu_model() -> str:
    """As the system names it, with its family and model numbers, as several share a name."""
    found: dict[str, str] = {}
    if Path("/proc/cpuinfo").is_file():
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines():
            key, _, value = line.partition(":")
            found[key.strip()] = value.strip()
    name = found.get("model name") or platform.processor()
    numbers = [found[key] for key in ("cpu family", "model") if key in found]
    return f"{name}, family {' model '.join(numbers)}" if numbers else name


def _git(*command: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), *command], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""  # no repository, or no git
    return done.stdout.strip()


def write(results: Results, path: Path) -> None:
    """As JSON."""
    path.write_text(json.dumps({"format": FORMAT, **cattrs.unstructure(results)}, indent=1), encoding="utf-8")


def read(path: Path) -> Results:
    """What :func:`write` wrote.

    Raises:
        SystemExit: another format.
    """
    tables: abc.Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if tables.get("format") != FORMAT:
        raise SystemExit(f"{path}: expected results of format {FORMAT}, found {tables.get('format')}")
    return cattrs.structure({key: value for key, value in tables.items() if key != "format"}, Results)
