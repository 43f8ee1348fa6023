"""Time of a training step, side by side with a hand-written loop of the same system: ratios from alternating blocks.

python benchmarks/run.py                      # every system and setting, the table of benchmarks/README.md
python benchmarks/run.py ogan --rounds 30     # one system, more rounds
"""

from __future__ import annotations

import os

os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import argparse
import functools
import json
import statistics
import sys
import time
from collections import abc
from pathlib import Path

import attrs
import torch

sys.path.insert(0, str(Path(__file__).parent))

from baselines.alae_mlp import Baseline as AlaeBaseline
from baselines.ogan import Baseline as OganBaseline

from latentkit._building import wired
from latentkit.engine.batches import open_samples
from latentkit.engine.training import Training
from latentkit.registry.manager import default_registry
from latentkit.settings import Settings

SETTINGS = {
    "float32": Settings(),
    "medium": Settings(precision="medium"),
    "bfloat16": Settings(precision="bfloat16"),
    "channels-last": Settings(channels_last=True),
    "bfloat16 + channels-last": Settings(precision="bfloat16", channels_last=True),
}


@attrs.frozen
class Contender:
    """Something that takes training steps, under a setting."""

    name: str
    step: abc.Callable[[], object]
    settings: Settings = attrs.field(factory=Settings)

    def block(self, steps: int) -> float:
        """Milliseconds a step, over a block of steps."""
        with self.settings.matrix_products():
            start = time.perf_counter()
            for _ in range(steps):
                self.step()
            return (time.perf_counter() - start) / steps * 1e3


LAZY: dict[str, object] = {"phase.discriminate.loss.r1.every": 16}
PLAIN: dict[str, object] = {"parts.E.normalization": "none", "parts.G.normalization": "none"}


def training(recipe: str, settings: Settings, overrides: abc.Mapping[str, object] | None = None) -> Training:
    wiring = wired(recipe, overrides)
    samples = {name: open_samples(name, wiring.recipe.data[name], source) for name, source in wiring.data.items()}
    return Training(wiring, default_registry(), samples, settings)


def alae_baseline(lazy: int = 1) -> AlaeBaseline:
    mine = training("alae-mlp", Settings())
    parts = mine.wiring.parts
    return AlaeBaseline(mine.data["data"].tensors["image"], mine.batch, parts["E"].dim, parts["E"].hidden, lazy)


def ogan_baseline(norms: bool = True) -> OganBaseline:
    mine = training("ogan", Settings())
    phase = mine.wiring.recipe.phase["encode"]
    levels = (mine.wiring.parts["E"].height // 4).bit_length() - 1
    channels = [mine.wiring.parts["E"].channels_base << level for level in range(levels)]
    rate = mine.wiring.recipe.optimizer.lr.at(0, 0)
    weight = phase.loss["latent"].weight.value
    images, dim = mine.data["data"].tensors["image"], mine.wiring.parts["E"].dim
    return OganBaseline(images, mine.batch, dim, channels, weight, rate, norms)


SYSTEMS: dict[str, tuple[str, dict[str, object], abc.Callable[[], AlaeBaseline | OganBaseline]]] = {
    "alae-mlp": ("alae-mlp", {}, alae_baseline),
    "alae-mlp, R1 every 16 steps": ("alae-mlp", LAZY, functools.partial(alae_baseline, lazy=16)),
    "ogan": ("ogan", {}, ogan_baseline),
    "ogan without batch norm": ("ogan", PLAIN, functools.partial(ogan_baseline, norms=False)),
}


def compare(system: str, names: abc.Sequence[str], rounds: int, steps: int) -> list[dict[str, object]]:
    """Alternate blocks of every contender; ratios are taken within a round."""
    recipe, overrides, baseline = SYSTEMS[system]
    contenders = [Contender("hand-written", baseline().step)]
    contenders += [Contender(name, training(recipe, SETTINGS[name], overrides).step, SETTINGS[name]) for name in names]
    for contender in contenders:
        contender.block(steps)
    times: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for round_ in range(rounds):
        order = contenders if round_ % 2 == 0 else contenders[::-1]
        for contender in order:
            times[contender.name].append(contender.block(steps))
    reference = times["hand-written"]
    rows = []
    for name, mine in times.items():
        ratios = sorted(a / b for a, b in zip(mine, reference, strict=True))
        rows.append({
            "system": system, "setting": name, "ms": statistics.median(mine), "ratio": statistics.median(ratios),
            "low": ratios[len(ratios) // 10], "high": ratios[-1 - len(ratios) // 10], "rounds": rounds, "steps": steps,
        })  # fmt: skip
    return rows


def table(rows: abc.Sequence[dict[str, object]]) -> str:
    lines = ["| system | setting | ms / step | step time / hand-written | 10–90 % | speed-up |", "|---" * 6 + "|"]
    for row in rows:
        lines.append(
            f"| {row['system']} | {row['setting']} | {row['ms']:.1f} | {row['ratio']:.3f} | "
            f"{row['low']:.3f}–{row['high']:.3f} | {1 / row['ratio']:.2f} × |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("systems", nargs="*", metavar="SYSTEM", help=", ".join(SYSTEMS))
    parser.add_argument("--settings", nargs="*", default=list(SETTINGS), choices=SETTINGS)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--steps", type=int, default=10, help="steps of a block")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    arguments = parser.parse_args()
    rows = []
    for system in arguments.systems or SYSTEMS:
        found = compare(system, arguments.settings, arguments.rounds, arguments.steps)
        print(table(found), flush=True)
        rows += found
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))
    print(f"\ntorch {torch.__version__}, {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()
