"""Images a second of training on an accelerator, beside loops of the official form.

    python benchmarks/accelerator.py --json gpu.json            # on cuda, all of it, in less than eight minutes
    python benchmarks/accelerator.py --device cpu --tiny        # whether it runs

The loops are those of baselines/, in the form of the released code: every phase makes what it needs by forward passes
of its own, an optimizer goes from parameter to parameter, float32, no autocast. The library trains the same recipes at
the same sizes in float32, in TF32, in bfloat16, compiled, and with each phase captured as a CUDA graph. Blocks
alternate, warm; ratios are taken within a round. A setting that does not work here is a line with the reason.
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
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))

from measuring import loops, rows
from measuring.contenders import Contender, built, looping, of_library
from measuring.loops import Loop
from measuring.noise import median_of
from measuring.rounds import alternate, ratios, warmed
from measuring.systems import HAND, System, styled
from measuring.variants import OF_A_RUN, Variant, captured

LIMIT = 420.0
"""Seconds after which no further contender and no further system is begun."""
VARIANTS: dict[str, Variant] = {
    "float32": OF_A_RUN["float32"],
    "TF32": OF_A_RUN["medium"],
    "bfloat16": OF_A_RUN["bfloat16"],
    "bfloat16 + channels-last": OF_A_RUN["bfloat16 + channels-last"],
    "float32, compiled": OF_A_RUN["float32, compiled"],
    "bfloat16 + channels-last, compiled": OF_A_RUN["bfloat16 + channels-last, compiled"],
    "float32, captured": captured("float32"),
    "bfloat16 + channels-last, captured": captured("bfloat16 + channels-last"),
    "bfloat16 + channels-last, compiled, captured": captured("bfloat16 + channels-last, compiled"),
}
Row = dict[str, Any]


def systems(tiny: bool) -> list[System]:
    """MLP-ALAE, O-GAN at 64, StyleALAE at 128 with published widths; or the same with next to nothing in them."""
    count = {"data.count": 100 if tiny else 2000}
    narrow = {f"parts.{part}.hidden": 16 for part in "EG"} | {"train.batch": 8} if tiny else {}
    thin = {f"parts.{part}.channels_base": 2 for part in "EG"} | {"train.batch": 8} if tiny else {}
    sizes = (2, 1, 4, 8) if tiny else (32, 64, 512, 512)
    return [
        System(name="alae-mlp", recipe="alae-mlp", loop=loops.alae, overrides={**count, **narrow}),
        System(name="ogan-64", recipe="ogan", loop=loops.ogan, overrides={**count, **thin, "data.resolution": 64}),
        styled("stylealae-128", 128, *sizes, **count, **{"data.channels": 3, "parts.F.layers": 8}),
    ]


def official(loop: Loop) -> Loop:
    """Its optimizers go from parameter to parameter, as those of the released code."""
    for value in vars(loop).values():
        optimizer = getattr(value, "adam", value)
        for group in optimizer.param_groups if isinstance(optimizer, torch.optim.Optimizer) else ():
            group.update(foreach=False, **({"fused": False} if "fused" in group else {}))
    return loop


def makers(system: System, device: str, names: abc.Collection[str]) -> dict[str, abc.Callable[[], Contender]]:
    """What builds each contender; the loop first."""
    hand = functools.partial(built, system.maker(HAND), device)
    found = {HAND: lambda: looping(HAND, official(hand()), device)}
    for name in names:
        found[name] = functools.partial(of_library, system, name, VARIANTS[name], device)
    return found


def measured(system: System, asked: argparse.Namespace, end: float) -> list[Row]:
    """A row for each contender; those that do not work have a reason."""
    contenders, steps, reasons = [], {}, {}
    for name, make in makers(system, asked.device, asked.variants).items():
        if time.perf_counter() > end:
            reasons[name] = "no time was left"
            continue
        try:
            item = make()
            steps[name] = warmed(item, asked.seconds)
            contenders.append(item)
        except Exception as error:  # a compiler or a device without something; the others are measured
            if name == HAND:
                raise
            reasons[name] = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}"
    times = alternate(contenders, steps, asked.rounds)
    batch = system_batch(system)
    found = []
    for item in contenders:
        ms = times[item.name]
        ratio = median_of(ratios(times[HAND], ms))
        found.append({
            "system": system.name, "setting": item.name, "images a second": batch / statistics.median(ms) * 1e3,
            "to hand-written": ratio.value, "low": ratio.low, "high": ratio.high, "ms of rounds": ms, "batch": batch,
            "notes": list(item.notes),
        })  # fmt: skip
    return found + [{"system": system.name, "setting": name, "reason": reason} for name, reason in reasons.items()]


def system_batch(system: System) -> int:
    """Images of a step."""
    batch: int = loops.wired(system.recipe, system.overrides).recipe.train.batch
    return batch


def table(found: abc.Sequence[Row]) -> str:
    """In Markdown."""
    lines = ["| system | setting | images / s | times as fast as hand-written | 95 % |", "|---" * 5 + "|"]
    for row in found:
        if "reason" in row:
            lines.append(f"| {row['system']} | {row['setting']} | – | {row['reason']} | |")
            continue
        lines.append(
            f"| {row['system']} | {row['setting']} | {row['images a second']:,.0f} | {row['to hand-written']:.2f} | "
            f"{row['low']:.2f}–{row['high']:.2f} |"
        )
    notes = [f"{row['system']}, {row['setting']}: {note}" for row in found for note in row.get("notes", ())]
    return "\n".join([*lines, "", *notes])


def parsed(given: abc.Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="next to nothing to compute, two rounds")
    parser.add_argument("--variants", nargs="*", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=0.5, help="of a block")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(given)
    if asked.tiny:
        asked.rounds, asked.seconds = 2, 0.01
    return asked


def main() -> None:
    asked = parsed()
    end, found = time.perf_counter() + LIMIT, []
    for system in systems(asked.tiny):
        print(f"{system.name}:", file=sys.stderr, flush=True)
        if time.perf_counter() > end:
            found.append({"system": system.name, "setting": HAND, "reason": "no time was left"})
            continue
        found += measured(system, asked, end)
        if asked.json:
            asked.json.write_text(json.dumps({"machine": rows.machine(asked.device), "rows": found}, indent=1))
    print(table(found))


if __name__ == "__main__":
    main()
