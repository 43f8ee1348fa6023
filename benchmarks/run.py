"""Time of a training step, side by side with a hand-written loop of the same system: ratios from alternating blocks.

python benchmarks/run.py                      # every system and setting, the table of benchmarks/README.md
python benchmarks/run.py ogan --rounds 30     # one system, more rounds
python benchmarks/run.py stylealae-64 --rounds 10 --steps 2
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
from baselines.stylealae import Baseline as StyleBaseline

from latentkit._building import wired
from latentkit.engine.batches import Samples, open_samples
from latentkit.engine.training import Training
from latentkit.registry.manager import default_registry
from latentkit.settings import Settings
from latentkit.wiring.wiring import Wiring

Overrides = abc.Mapping[str, object]
Stepping = abc.Callable[[], object]


def r1_every(steps: int) -> Overrides:
    return {"phase.discriminate.loss.r1.every": steps}


@attrs.frozen
class Setting:
    """How the library's side runs: settings of a run, and options of its recipe."""

    settings: Settings = attrs.field(factory=Settings)
    overrides: Overrides = attrs.field(factory=dict)
    period: int = 1
    """Steps after which the same work comes again."""


BOTH = Settings(precision="bfloat16", channels_last=True)
OF_A_RUN = {
    "float32": Setting(),
    "medium": Setting(Settings(precision="medium")),
    "bfloat16": Setting(Settings(precision="bfloat16")),
    "channels-last": Setting(Settings(channels_last=True)),
    "bfloat16 + channels-last": Setting(BOTH),
}
LAZY = {
    "R1 every 4 steps": Setting(overrides=r1_every(4), period=4),
    "R1 every 16 steps": Setting(overrides=r1_every(16), period=16),
    "bfloat16 + channels-last + R1 every 16 steps": Setting(BOTH, r1_every(16), 16),
}
"""Beside a loop that takes R1 in every step."""
SETTINGS = OF_A_RUN | LAZY


@attrs.frozen
class Contender:
    """Something that takes training steps, under a setting."""

    name: str
    step: Stepping
    settings: Settings = attrs.field(factory=Settings)
    period: int = 1

    def block(self, steps: int) -> float:
        """Milliseconds a step, over a block of so many steps or a few more, up to whole periods."""
        steps = -(-steps // self.period) * self.period
        with self.settings.matrix_products():
            start = time.perf_counter()
            for _ in range(steps):
                self.step()
            return (time.perf_counter() - start) / steps * 1e3


PLAIN: Overrides = {"parts.E.normalization": "none", "parts.G.normalization": "none"}


def opened(wiring: Wiring) -> dict[str, Samples]:
    return {name: open_samples(name, wiring.recipe.data[name], source) for name, source in wiring.data.items()}


def training(recipe: str, settings: Settings, overrides: Overrides | None = None) -> Training:
    wiring = wired(recipe, overrides)
    return Training(wiring, default_registry(), opened(wiring), settings)


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


def style(side: int, batch: int, base: int, most: int, dim: int) -> Overrides:
    """StyleALAE held at one resolution, all levels there."""
    widths = {"levels": (side // 4).bit_length(), "channels_base": base, "max_channels": most}
    sizes = {f"parts.{part}.{option}": value for part in "GE" for option, value in widths.items()}
    stage = {"steps": 1, "set": {"data.resolution": side, "train.batch": batch}}
    return {**sizes, "draw.z.dim": dim, "parts.F.layers": 4, "stage": [stage]}


def style_baseline(overrides: Overrides, fused: bool = True) -> StyleBaseline:
    wiring = wired("stylealae", overrides)
    images, recipe, e = torch.from_numpy(opened(wiring)["data"].array("image")), wiring.recipe, wiring.parts["E"]
    rate, layers = recipe.optimizer.lr.at(0, 0), wiring.parts["F"].layers
    batch = recipe.train.batch
    return StyleBaseline(images, batch, e.dim, layers, e.channels_base, e.max_channels, rate, fused=fused)


@attrs.frozen
class System:
    """A shipped recipe, and what it is compared with."""

    recipe: str
    overrides: Overrides
    baseline: abc.Callable[[], AlaeBaseline | OganBaseline | StyleBaseline]
    settings: abc.Collection[str] = tuple(OF_A_RUN)
    unfused: abc.Callable[[], StyleBaseline] | None = None
    """The same loop with torch's Adam as it is by default."""

    @classmethod
    def styled(cls, *sizes: int) -> System:
        overrides = style(*sizes)
        loop = functools.partial(style_baseline, overrides)
        return cls("stylealae", overrides, loop, tuple(SETTINGS), functools.partial(loop, fused=False))

    def contenders(self, names: abc.Collection[str]) -> abc.Iterator[Contender]:
        """The loop first, then the library under each of these settings."""
        yield Contender("hand-written", self.baseline().step)
        if self.unfused is not None:
            yield Contender("hand-written, unfused Adam", self.unfused().step)
        for name in filter(self.settings.__contains__, names):
            setting = SETTINGS[name]
            mine = training(self.recipe, setting.settings, {**self.overrides, **setting.overrides})
            yield Contender(name, mine.step, setting.settings, setting.period)


SYSTEMS = {
    "alae-mlp": System("alae-mlp", {}, alae_baseline),
    "alae-mlp, R1 every 16 steps": System("alae-mlp", r1_every(16), functools.partial(alae_baseline, lazy=16)),
    "ogan": System("ogan", {}, ogan_baseline),
    "ogan without batch norm": System("ogan", PLAIN, functools.partial(ogan_baseline, norms=False)),
    "stylealae-32": System.styled(32, 32, 16, 64, 64),
    "stylealae-32, published widths": System.styled(32, 16, 64, 256, 32),
    "stylealae-64": System.styled(64, 16, 16, 64, 64),
}


def compare(system: str, names: abc.Collection[str], rounds: int, steps: int) -> list[dict[str, object]]:
    """Alternate blocks of every contender; ratios are taken within a round."""
    contenders = list(SYSTEMS[system].contenders(names))
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
