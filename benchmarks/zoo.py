"""Train the family of systems on the same digits, measure them alike, and write the table of benchmarks/zoo.md.

    python benchmarks/zoo.py FOLDER                          # every system; FOLDER has the two t10k-* files of MNIST
    python benchmarks/zoo.py FOLDER vae aae --budget 0.5     # some of them, with half of their recipes' steps

A run that is there already (``--runs``) is measured and not trained again. Pictures are drawn into docs/pictures/zoo.
"""

from __future__ import annotations

import os

os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import argparse
import json
import time
from collections import abc
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import latentkit as lk

ROOT = Path(__file__).parents[1]
SYSTEMS = (
    "ae", "vae", "beta-vae", "beta-vae-capacity", "vampprior", "aae", "vae-gan", "introvae", "age", "gan", "lsgan",
    "wgan", "wgan-gp", "sngan", "bigan", "ali", "veegan", "ogan", "alae-mlp",
)  # fmt: skip
METRICS = ("pixel-reconstruction", "classifier-frechet", "probes", "nll")


def digits(folder: Path) -> dict[str, object]:
    """Overrides that take 8,000 digits for training and hold 2,000 out."""
    files = {"images": "t10k-images-idx3-ubyte.gz", "labels": "t10k-labels-idx1-ubyte.gz"}
    paths: dict[str, object] = {f"data.{key}": str(folder / name) for key, name in files.items()}
    return {"data.use": "idx", "data.split": {"seed": 0, "train": 8000}, **paths}


def trained(name: str, out: Path, overrides: dict[str, object], budget: float) -> tuple[Path, float | None]:
    """The run of a system, and seconds per 1,000 images where it was trained now."""
    if (out / "card.md").is_file():
        seconds = json.loads((out / "zoo.json").read_text())["seconds"] if (out / "zoo.json").is_file() else None
        return out, seconds
    steps = round(lk.read(name).tables["train"]["steps"] * budget)  # type: ignore[index,call-overload]
    start = time.perf_counter()
    run = lk.train(name, out, steps=steps, overrides=overrides)
    seconds = (time.perf_counter() - start) / run.model.images * 1000
    (out / "zoo.json").write_text(json.dumps({"seconds": seconds}))
    return out, seconds


def measured(run: Path) -> dict[str, float]:
    """Every figure of a run, by its name."""
    results = lk.evaluate(run, METRICS, weights="average", options={"samples": 200})
    return {result.figure: result.value for result in results if result.value is not None}  # type: ignore[attr-defined]


def picture(run: Path, target: Path) -> None:
    """Samples beside reconstructions, as far as a run has them."""
    found = [sorted((run / kind).glob("*.png")) for kind in ("samples", "reconstructions")]
    images = [Image.open(files[-1]).convert("L") for files in found if files]
    if not images:
        return
    height = max(image.height for image in images)
    sheet = np.full((height, sum(image.width for image in images) + 10 * (len(images) - 1)), 128, np.uint8)
    left = 0
    for image in images:
        sheet[: image.height, left : left + image.width] = np.asarray(image)
        left += image.width + 10
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet).save(target, optimize=True)


def main(arguments: abc.Sequence[str] | None = None) -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path)
    options.add_argument("systems", nargs="*", default=list(SYSTEMS))
    options.add_argument("--budget", type=float, default=1.0, help="share of each recipe's steps")
    options.add_argument("--runs", type=Path, default=Path("runs/zoo"))
    given = options.parse_args(arguments)
    table: dict[str, dict[str, Any]] = {}
    for name in given.systems:
        run, seconds = trained(name, given.runs / name, digits(given.folder), given.budget)
        table[name] = {**measured(run), "seconds per 1,000 images": seconds}
        picture(run, ROOT / "docs/pictures/zoo" / f"{name}.png")
        print(name, json.dumps(table[name]), flush=True)
    (given.runs / "zoo.json").write_text(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
