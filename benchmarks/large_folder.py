"""A folder of very many pictures: how long until the first batch, how long steps wait for data, and how much memory.

    python benchmarks/large_folder.py                      # 200,000 PNG files of 32 x 32, made where they are missing
    python benchmarks/large_folder.py --count 20000 --steps 200 --json

Each part runs in a process of its own. The first batch is timed from the call of ``open``, with the listing of the
folder and the start of the processes that decode, and without any cache of latentkit. Memory is what the process and
those that decode for it have resident (``VmRSS``), read every ``--every`` steps.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

PER_CLASS = 1000
RECIPES = ("ogan", "alae-mlp")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "latentkit-large-folder")
    parser.add_argument("--count", type=int, default=200_000, help="pictures")
    parser.add_argument("--side", type=int, default=32, help="of a picture, in pixels")
    parser.add_argument("--recipe", default="ogan", help=f"what is trained: {', '.join(RECIPES)}, ...")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--every", type=int, default=50, help="steps between two readings")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, help="of torch; as many as it takes by default")
    parser.add_argument("--workers", type=int, help="processes that decode; as many as latentkit takes by default")
    parser.add_argument("--stream", default="auto", choices=("auto", "always", "never"))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--part", choices=("first", "train"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        print(json.dumps({"first": first_batch, "train": training}[args.part](args)))
        return
    make(args.folder, args.count, args.side)
    found = {**apart("first"), **apart("train")}
    print(json.dumps(found) if args.json else table(found))


def apart(part: str) -> dict[str, object]:
    """A part in another process, by the same options."""
    done = subprocess.run([sys.executable, __file__, *sys.argv[1:], "--part", part], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def make(folder: Path, count: int, side: int) -> None:
    """Pictures in a sub-folder per thousand; those that are there are left."""
    rng = np.random.default_rng(0)
    across, down = np.meshgrid(np.linspace(-1, 1, side), np.linspace(-1, 1, side))
    for start in range(0, count, PER_CLASS):
        below = folder / f"{start // PER_CLASS:04}"
        few = min(PER_CLASS, count - start)
        if below.is_dir() and len(os.listdir(below)) == few:
            continue
        below.mkdir(parents=True, exist_ok=True)
        for index, (x, y, size, *colour) in enumerate(rng.random((few, 6))):
            inside = (across - x + 0.5) ** 2 + (down - y + 0.5) ** 2 < (0.2 + 0.5 * size) ** 2
            pixels = inside[..., None] * np.array(colour) * 200 + rng.integers(0, 55, (side, side, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(below / f"{index:06}.png", compress_level=1)
    for below in sorted(folder.iterdir())[-(-count // PER_CLASS) :]:
        sys.exit(f"{below}: more pictures than asked for; name another --folder")


def spec(args: argparse.Namespace) -> dict[str, object]:
    """The data of the recipe."""
    options = {"path": str(args.folder), "stream": args.stream, "cache": str(args.folder.parent / "no-cache")}
    options |= {} if args.workers is None else {"workers": args.workers}
    return {"use": "folder", "resolution": args.side, "channels": 3, **options}


def first_batch(args: argparse.Namespace) -> dict[str, object]:
    """Seconds from the call of open to the first batch."""
    import torch

    from latentkit.data.folder import Folder
    from latentkit.engine.batches import Batches
    from latentkit.engine.samples import open_samples
    from latentkit.recipe.schema import DataSpec

    options = {key: value for key, value in spec(args).items() if key not in ("use", "resolution", "channels")}
    start = time.perf_counter()
    samples = open_samples("x", DataSpec(use="folder", resolution=args.side, channels=3), Folder(**options))
    opened = time.perf_counter() - start
    batches = Batches(samples, args.batch, 0, torch.device(args.device), torch.float32)
    shape = tuple(batches.at(0)["x"].shape)
    seconds = time.perf_counter() - start
    streamed = batches.reader is not None
    batches.close()
    return {
        "pictures": len(samples.table), "streamed": streamed, "first_batch_s": round(seconds, 2),
        "of_which_open_s": round(opened, 2), "first_batch": list(shape),
    }  # fmt: skip


def training(args: argparse.Namespace) -> dict[str, object]:
    """Train, reading memory and the wait for data on the way."""
    import torch

    import latentkit as lk

    if args.threads:
        torch.set_num_threads(args.threads)

    class Watch(lk.Observer):
        def __init__(self) -> None:
            self.memory: list[tuple[int, float, float, int]] = []
            self.waits: list[float] = []
            self.start = self.seconds = 0.0

        @lk.hookimpl
        def latentkit_step_done(self, event: object) -> None:
            step = event.step  # type: ignore[attr-defined]
            if step == args.every:
                self.start = time.perf_counter()
            if step % args.every == 0:
                self.seconds = time.perf_counter() - self.start
                mine, others = resident(os.getpid()), [resident(child) for child in children(os.getpid())]
                self.memory.append((step, mine, sum(others), len(others)))

        @lk.hookimpl
        def latentkit_evaluated(self, figures: dict[str, float]) -> None:
            self.waits.append(figures.get("data-wait", 0.0))

    watch = Watch()
    overrides = {f"data.{key}": value for key, value in spec(args).items()}
    overrides |= {"train.batch": args.batch, "train.log_every": args.every, "train.checkpoint_every": 10 * args.every}
    with tempfile.TemporaryDirectory() as folder:
        lk.train(
            args.recipe, Path(folder) / "run", steps=args.steps, overrides=overrides, observers=[watch],
            device=args.device,
        )  # fmt: skip
    later = watch.waits[1:]  # the first one has the start in it
    return {
        "recipe": args.recipe, "batch": args.batch, "steps": args.steps, "threads": torch.get_num_threads(),
        "step_ms": round(1000 * watch.seconds / (args.steps - args.every), 1),
        "data_wait_percent": round(100 * float(np.mean(later)), 2),
        "largest_data_wait_percent": round(100 * float(np.max(later)), 2),
        "memory": [{"step": step, "process_mb": round(mine), "workers_mb": round(theirs), "workers": count}
                   for step, mine, theirs, count in watch.memory],
    }  # fmt: skip


def children(pid: int) -> list[int]:
    """Processes that this one has started and that are still there."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return found


def resident(pid: int) -> float:
    """Memory in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) / 1000 for line in lines if line.startswith("VmRSS:")), 0.0)


def table(found: dict[str, object]) -> str:
    """As a person reads it."""
    memory: list[dict[str, float]] = found.pop("memory")  # type: ignore[assignment]
    lines = ["| | |", "|---|---|", *(f"| {key.replace('_', ' ')} | {value} |" for key, value in found.items())]
    lines += ["", "| step | process (MB) | workers (MB) |", "|---|---|---|"]
    return "\n".join(lines + [f"| {m['step']} | {m['process_mb']} | {m['workers_mb']} |" for m in memory])


if __name__ == "__main__":
    main()
