"""What faster settings do to the figures: real training under each, several seeds, measured alike.

    python benchmarks/figures.py FOLDER --runs RUNS                    # FOLDER has the two t10k-* files of MNIST; a day
    python benchmarks/figures.py FOLDER --runs RUNS ogan --seeds 3     # one system, three seeds
    python benchmarks/figures.py FOLDER --runs RUNS --budget 0.25      # a quarter of the steps, schedules too

8,000 digits are trained on, 2,000 are held out. A run that is in RUNS already is not done again, and one that was
interrupted continues. A difference to float32 is within seed noise where Welch's interval of 95 % holds 0.
"""

from __future__ import annotations

import os

os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import argparse
import json
import multiprocessing
import sys
import threading
import time
from collections import abc
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import attrs

import latentkit as lk
from latentkit.settings import Settings

sys.path.insert(0, str(Path(__file__).parent))

from measuring import rows, seeds
from measuring.variants import OF_A_RUN
from zoo import digits

METRICS = ("probes", "latent-correlation", "reconstruction-class", "pixel-reconstruction", "classifier-frechet")
WEIGHTS = {"alae-mlp": "raw", "ogan": "raw", "stylealae-digits": "average"}
"""The recipes, and whose weights are measured; those of the slow tests."""
COMPARED = ("float32", "medium", "bfloat16", "bfloat16 + channels-last", "float32, compiled",
            "bfloat16 + channels-last, compiled")  # fmt: skip
COUNTED = ("over", "images", "steps")
"""Keys of a recipe that say how long something lasts."""
DONE = "figures.json"


def shortened(tables: Any, budget: float) -> Any:
    """A recipe's tables with every length of training, stage and schedule times ``budget``; at least 1."""
    if isinstance(tables, list | tuple):
        return [shortened(item, budget) for item in tables]
    if not isinstance(tables, dict):
        return tables
    return {
        key: max(1, round(value * budget)) if key in COUNTED and isinstance(value, int) else shortened(value, budget)
        for key, value in tables.items()
    }


@attrs.frozen(kw_only=True)
class Task:
    """One run."""

    recipe: str
    setting: str
    seed: int
    budget: float
    digits: Path
    runs: Path
    threads: int | None = None

    @property
    def out(self) -> Path:
        """Its folder."""
        setting = self.setting.replace(", ", "-").replace(" + ", "-")
        return self.runs / f"{self.recipe}-{self.budget:g}" / setting / f"seed-{self.seed}"


def done(task: Task) -> dict[str, Any]:
    """Train, or continue, and measure, if that has not been done; figures by metric, and seconds of training."""
    kept = task.out / DONE
    if kept.is_file():
        return dict(json.loads(kept.read_text(encoding="utf-8")))
    settings = attrs.asdict(OF_A_RUN[task.setting].settings) | {"threads": task.threads}
    said: list[str] = []
    if (task.out / "recipe.toml").is_file():
        run = lk.train(None, task.out, resume=True, say=said.append)
    else:
        tables = {**shortened(lk.read(task.recipe).tables, task.budget)}
        overrides = {**digits(task.digits), "train.checkpoint_every": 500}
        run = lk.train(tables, task.out, seed=task.seed, overrides=overrides, say=said.append, **settings)
    results = lk.evaluate(run.path, METRICS, weights=WEIGHTS[task.recipe])  # type: ignore[arg-type]
    found = {
        "figures": {result.name: result.value for result in results if result.value is not None},
        "seconds": run.seconds, "steps": run.model.step, "told": said, "threads": task.threads,
    }  # fmt: skip
    kept.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return found


def _ends_with(parent: int) -> None:
    """End this process when its parent has: a run that goes on alone would be in the way of the next call."""

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=look, daemon=True).start()


def tasks(asked: argparse.Namespace) -> list[Task]:
    """All seeds of float32 first, then of each other setting."""
    settings = list(asked.settings or COMPARED)
    if asked.settings is None and Settings(precision="auto").settled().precision != "medium":
        settings.remove("medium")
        print("medium: its products are not as exact as float32's on this machine; left out", file=sys.stderr)
    made = [
        Task(recipe=recipe, setting=setting, seed=seed, budget=asked.budget, digits=asked.folder, runs=asked.runs,
             threads=asked.threads)
        for recipe in asked.recipes or WEIGHTS for setting in settings for seed in range(asked.seeds)
    ]  # fmt: skip
    return sorted(made, key=lambda task: task.seed)


def main(given: abc.Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of the digits")
    parser.add_argument("recipes", nargs="*", metavar="RECIPE", help=", ".join(WEIGHTS))
    parser.add_argument("--runs", type=Path, required=True, help="where runs are, and are kept")
    parser.add_argument("--settings", nargs="*", choices=list(OF_A_RUN), metavar="SETTING", help=", ".join(OF_A_RUN))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--budget", type=float, default=1.0, help="share of the recipes' steps")
    parser.add_argument("--threads", type=int, help="of the CPU, for each run")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--json", type=Path, help="also write everything here")
    asked = parser.parse_intermixed_args(given)
    unknown = [name for name in asked.recipes if name not in WEIGHTS]
    if unknown:
        parser.error(f"no metrics are chosen for '{unknown[0]}'; there are: {', '.join(WEIGHTS)}")
    chosen, found = tasks(asked), []
    if asked.threads is None and asked.jobs > 1:
        chosen = [attrs.evolve(task, threads=max(1, (os.cpu_count() or 1) // asked.jobs)) for task in chosen]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(asked.jobs, spawn, initializer=_ends_with, initargs=(os.getpid(),)) as pool:
        for task, result in zip(chosen, pool.map(done, chosen), strict=True):
            print(f"{task.recipe}, {task.setting}, seed {task.seed}: {result['seconds']:.0f} s", file=sys.stderr)
            found.append((task, result))
    report(found, asked.json)


def report(found: abc.Sequence[tuple[Task, dict[str, Any]]], path: Path | None) -> None:
    """Print the table, and write what it was made from."""
    runs: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for task, result in found:
        runs.setdefault(task.recipe, {}).setdefault(task.setting, []).append(result)
    compared = [
        row for recipe, by_setting in runs.items()
        for row in seeds.differences(recipe, {name: [each["figures"] for each in results]
                                              for name, results in by_setting.items()})
    ]  # fmt: skip
    minutes = {
        (recipe, name): sum(each["seconds"] for each in results) / len(results) / 60
        for recipe, by_setting in runs.items() for name, results in by_setting.items()
    }  # fmt: skip
    print(seeds.table(compared, minutes))
    if path is not None:
        kept = {"machine": rows.machine("cpu"), "runs": runs, "compared": [attrs.asdict(row) for row in compared]}
        path.write_text(json.dumps(kept, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
