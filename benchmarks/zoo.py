"""Train the family of systems on the same digits, measure them alike, and write the table of benchmarks/zoo.md.

    python benchmarks/zoo.py FOLDER                          # every system; FOLDER has the two t10k-* files of MNIST
    python benchmarks/zoo.py FOLDER vae aae --budget 0.5     # some of them, with half of their recipes' steps
    python benchmarks/zoo.py FOLDER --jobs 2                 # two at a time, each on half of the cores

8,000 digits are trained on, 2,000 are held out. What is in ``--runs`` already is not done again, so that an interrupted
call continues, and the page is written from all that is there. Pictures go to docs/pictures/zoo.
"""

from __future__ import annotations

import os

os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import argparse
import functools
import json
import multiprocessing
import statistics
import sys
import time
from collections import abc
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import latentkit as lk
from latentkit._building import wired
from latentkit.engine.samples import open_samples
from latentkit.engine.training import Training
from latentkit.errors import LatentkitError
from latentkit.registry.manager import default_registry
from latentkit.settings import Settings

sys.path.insert(0, str(Path(__file__).parent))

from zoo_page import page

ROOT = Path(__file__).parents[1]
SYSTEMS = (
    "ae", "vae", "beta-vae", "beta-vae-capacity", "vampprior", "aae", "vae-gan", "introvae", "age", "gan", "lsgan",
    "wgan", "wgan-gp", "sngan", "bigan", "ali", "veegan", "ogan", "alae-mlp", "cyclegan",
)  # fmt: skip
PICTURES = ROOT / "docs/pictures/zoo"
SETTINGS: dict[str, object] = {"precision": "auto", "channels_last": True}
WARM, STEPS = 1000, 5


def digits(folder: Path, table: str = "data") -> dict[str, object]:
    """Overrides that take 8,000 digits for training and hold 2,000 out."""
    files = {"images": "t10k-images-idx3-ubyte.gz", "labels": "t10k-labels-idx1-ubyte.gz"}
    paths: dict[str, object] = {f"{table}.{key}": str(folder / name) for key, name in files.items()}
    return {f"{table}.use": "idx", f"{table}.split": {"seed": 0, "train": 8000}, **paths}


def data_of(name: str, folder: Path) -> dict[str, object]:
    """The digits for a recipe's only source; for the first of two, and scikit-learn's digits for the second."""
    tables = list(lk.read(name).tables["data"].values())  # type: ignore[union-attr]
    if not any(isinstance(table, dict) and "gives" in table for table in tables):
        return digits(folder)
    first, second = list(lk.read(name).tables["data"])  # type: ignore[arg-type]
    return digits(folder, f"data.{first}") | {f"data.{second}.use": "digits"}


def trained(name: str, out: Path, folder: Path, budget: float) -> None:
    """Train a system; a run that was interrupted continues."""
    if (out / "zoo.json").is_file():
        return
    steps = round(lk.read(name).tables["train"]["steps"] * budget)  # type: ignore[index,call-overload]
    if (out / "recipe.toml").is_file():
        run = lk.train(None, out, steps=steps, resume=True)
    else:
        run = lk.train(name, out, steps=steps, overrides=data_of(name, folder), **SETTINGS)  # type: ignore[arg-type]
    (out / "zoo.json").write_text(json.dumps({"steps": run.model.step, "images": run.model.images}))


def seconds(run: Path) -> float:
    """Of training on 1,000 images, with nothing beside: the median of four blocks of steps."""
    wiring = wired(run / "recipe.toml")
    samples = {name: open_samples(name, wiring.recipe.data[name], source) for name, source in wiring.data.items()}
    training, blocks = Training(wiring, default_registry(), samples, Settings(**SETTINGS)), []  # type: ignore[arg-type]
    training.step_count = WARM  # past the steps in which a critic is trained more often
    with training.settings.matrix_products():
        for _ in range(5):
            start = time.perf_counter()
            for _ in range(STEPS):
                training.step()
            blocks.append((time.perf_counter() - start) / (STEPS * training.batch) * 1000)
    return statistics.median(blocks[1:])


def measured(run: Path) -> dict[str, float | str]:
    """Every figure of a run by its name, and the reason where there is none."""
    found: dict[str, float | str] = {}
    for metric, options in (
        ("pixel-reconstruction", {}), ("classifier-frechet", {}), ("classifier-frechet", {"prior": "gmm"}),
        ("probes", {}), ("reconstruction-class", {}), ("nll", {"samples": 200}),
    ):  # fmt: skip
        ending = " gmm" if "prior" in options else ""
        try:
            results = lk.evaluate(run, [metric], weights="average", options=options)
        except LatentkitError as error:
            found[metric + ending] = str(error)
            continue
        found |= {r.name + ending: r.reason if r.value is None else r.value for r in results}
    return found


def picture(run: Path, target: Path) -> None:
    """The last picture of each kind, side by side."""
    files = [sorted(folder.glob("*.png"))[-1] for folder in sorted(run.iterdir()) if any(folder.glob("*.png"))]
    images = [Image.open(file).convert("L") for file in sorted(files, key=lambda file: file.parent.name != "samples")]
    height = max(image.height for image in images)
    sheet = np.full((height, sum(image.width for image in images) + 16 * (len(images) - 1)), 255, np.uint8)
    left = 0
    for image in images:
        sheet[: image.height, left : left + image.width] = np.asarray(image)
        left += image.width + 16
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet).save(target, optimize=True)


def one(name: str, runs: Path, folder: Path, budget: float, threads: int) -> str:
    """Train and measure one system; what there is already is kept."""
    torch.set_num_threads(threads)
    out, start = runs / name, time.perf_counter()
    trained(name, out, folder, budget)
    figures = out / "figures.json"
    if not figures.is_file():
        figures.write_text(json.dumps(measured(out), indent=1))
    picture(out, PICTURES / f"{name}.png")
    return f"{name}: {time.perf_counter() - start:.0f} s"


def main(arguments: abc.Sequence[str] | None = None) -> None:
    """Train, measure, write."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path)
    options.add_argument("systems", nargs="*", default=list(SYSTEMS), metavar="SYSTEM")
    options.add_argument("--budget", type=float, default=1.0, help="share of each recipe's steps")
    options.add_argument("--runs", type=Path, default=Path("runs/zoo"))
    options.add_argument("--jobs", type=int, default=1, help="systems at a time")
    given = options.parse_args(arguments)
    threads = max(1, (os.cpu_count() or 1) // given.jobs)
    work = functools.partial(one, runs=given.runs, folder=given.folder, budget=given.budget, threads=threads)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(given.jobs, mp_context=spawn, max_tasks_per_child=1) as pool:
        for line in pool.map(work, given.systems):
            print(line, flush=True)
    torch.set_num_threads(os.cpu_count() or 1)
    for name in given.systems:
        if not (given.runs / name / "seconds.json").is_file():
            (given.runs / name / "seconds.json").write_text(json.dumps({"seconds": seconds(given.runs / name)}))
    text = page(
        [name for name in SYSTEMS if (given.runs / name / "figures.json").is_file()], given.runs, os.cpu_count() or 1
    )
    (ROOT / "benchmarks/zoo.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
