"""Measuring in a process of its own."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1]


class Failed(Exception):
    """A process that ended without an answer, and the last it said."""


def apart(function: str, given: dict[str, Any], **environment: str) -> Any:
    """What ``module:function`` of this package returns there, as JSON, for these arguments and when it was asked.

    Raises:
        Failed: it ended otherwise.
    """
    path = os.pathsep.join([str(FOLDER), *filter(None, sys.path)])
    command = [sys.executable, "-m", "measuring.apart", function, json.dumps(given), repr(time.monotonic())]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=False, env={**os.environ, "PYTHONPATH": path, **environment}
    )
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        raise Failed(f"{function}: ended with status {done.returncode}; see above")
    return json.loads(lines[-1])


def main() -> None:
    """Of that process."""
    function, given, asked = sys.argv[1:]
    module, _, name = function.partition(":")
    found = getattr(importlib.import_module(f"measuring.{module}"), name)(asked=float(asked), **json.loads(given))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
