"""Images a second of VAE training: latentkit, a hand-written loop, and pythae's own trainer, with the same networks.

    python benchmarks/versus_pythae.py FOLDER      # FOLDER has the two t10k-* files of MNIST

All train the perceptrons that pythae builds by default (784-512-16 and back), batch 128, Adam, Bernoulli likelihood,
on the same 8,000 digits. Blocks of one epoch alternate in one process; ratios are taken within a round. latentkit is
there twice: with its default precision, which takes another library's matrix products where they are as exact as
float32's, and with those of plain float32, as the two others have. What pythae does between epochs (it copies the best
model) is not counted; its progress bar is switched off. pythae is installed, without touching this environment, into
a folder that is thrown away (``--pythae FOLDER`` keeps it).
"""

from __future__ import annotations

import os

os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import argparse
import functools
import logging
import statistics
import subprocess
import sys
import tempfile
import time
from collections import abc
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))

from baselines.vae import Baseline
from measuring.loops import VAE, training

from latentkit.settings import Settings


def installed(folder: Path) -> str:
    """Install pythae, without the packages that this environment has, and return its version."""
    if not (folder / "pythae").is_dir():
        with_dependencies = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder)]
        subprocess.run([*with_dependencies, "--no-deps", "pythae"], check=True)
        subprocess.run([*with_dependencies, "pydantic"], check=True)
        subprocess.run([*with_dependencies, "--no-deps", "imageio", "cloudpickle", "tqdm"], check=True)
    sys.path.append(str(folder))  # last, so that torch and numpy are those of this environment
    return next(folder.glob("pythae-*.dist-info")).name.removesuffix(".dist-info").split("-")[1]


def pythae_epoch(images: torch.Tensor, dim: int, batch: int, rate: float, folder: Path) -> abc.Callable[[], object]:
    """One epoch of pythae's trainer on images in [0, 1], each call the next."""
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    from pythae.trainers.training_callbacks import ProgressBarCallback

    logging.getLogger("pythae.trainers.base_trainer.base_trainer").setLevel(logging.ERROR)
    config = VAEConfig(input_dim=tuple(images.shape[1:]), latent_dim=dim, reconstruction_loss="bce")
    settings = BaseTrainerConfig(
        output_dir=str(folder), per_device_train_batch_size=batch, learning_rate=rate, num_epochs=1, no_cuda=True
    )
    trainer: Any = BaseTrainer(VAE(config), BaseDataset(images, torch.zeros(len(images))), training_config=settings)
    trainer.prepare_training()
    trainer.callback_handler.callbacks = [
        mine for mine in trainer.callback_handler.callbacks if not isinstance(mine, ProgressBarCallback)
    ]
    return functools.partial(trainer.train_step, 1)


def repeated(step: abc.Callable[[], object], times: int, settings: Settings | None = None) -> abc.Callable[[], object]:
    """Something that takes so many steps under a setting."""

    def run() -> None:
        with (settings or Settings()).matrix_products():
            for _ in range(times):
                step()

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--pythae", type=Path, help="where pythae is, or is installed to")
    arguments = parser.parse_args()
    overrides: dict[str, object] = {
        "data.use": "idx", "data.images": str(arguments.folder / "t10k-images-idx3-ubyte.gz"),
        "data.labels": str(arguments.folder / "t10k-labels-idx1-ubyte.gz"), "data.split": {"seed": 0, "train": 8000},
    }  # fmt: skip
    mine = training(VAE, Settings(), overrides)
    auto = training(VAE, Settings(precision="auto"), overrides)
    parts, images = mine.wiring.parts, mine.data["data"].tensors["image"]
    rate = mine.wiring.recipe.optimizer.lr.at(0, 0)
    hand = Baseline(images, mine.batch, parts["E"].dim, parts["E"].hidden, rate)
    steps = len(images) // mine.batch
    with tempfile.TemporaryDirectory() as temporary:
        version = installed(arguments.pythae or Path(temporary) / "packages")
        theirs = pythae_epoch(images.float() / 255, parts["E"].dim, mine.batch, rate, Path(temporary) / "runs")
        contenders: dict[str, tuple[abc.Callable[[], object], int]] = {
            "hand-written": (repeated(hand.step, steps), steps * mine.batch),
            "latentkit, precision auto": (repeated(auto.step, steps, auto.settings), steps * mine.batch),
            "latentkit": (repeated(mine.step, steps), steps * mine.batch),
            f"pythae {version}": (theirs, len(images)),
        }
        report(compare(contenders, arguments.rounds))
    print(f"\ntorch {torch.__version__}, {torch.get_num_threads()} threads, {arguments.rounds} rounds of an epoch")


def compare(contenders: abc.Mapping[str, tuple[abc.Callable[[], object], int]], rounds: int) -> dict[str, list[float]]:
    """Images a second of each contender, by round."""
    for run, _ in contenders.values():
        run()
    speeds: dict[str, list[float]] = {name: [] for name in contenders}
    for round_ in range(rounds):
        order = list(contenders) if round_ % 2 == 0 else list(contenders)[::-1]
        for name in order:
            run, count = contenders[name]
            start = time.perf_counter()
            run()
            speeds[name].append(count / (time.perf_counter() - start))
    return speeds


def report(speeds: abc.Mapping[str, abc.Sequence[float]]) -> None:
    """Median speeds, and medians over rounds, with the range from 10 to 90 %, of latentkit's ratios to each."""
    print("| | images / s | latentkit, precision auto / this | latentkit / this |\n|---|---|---|---|")
    for name, theirs in speeds.items():
        columns = [_ratio(speeds[mine], theirs) for mine in ("latentkit, precision auto", "latentkit")]
        print(f"| {name} | {statistics.median(theirs):,.0f} | {' | '.join(columns)} |")


def _ratio(mine: abc.Sequence[float], theirs: abc.Sequence[float]) -> str:
    ratios = sorted(a / b for a, b in zip(mine, theirs, strict=True))
    low, high = ratios[len(ratios) // 10], ratios[-1 - len(ratios) // 10]
    return f"{statistics.median(ratios):.2f} × ({low:.2f}–{high:.2f})"


if __name__ == "__main__":
    main()
