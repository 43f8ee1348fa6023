"""Directions that shift and scale sprites, in generators trained here, and the three claims of Plumerault et al. 2020.

    python benchmarks/directions.py                          # everything: 30 runs of one to five minutes, then figures
    python benchmarks/directions.py --seeds 1 beta-vae-8     # one system, one seed
    python benchmarks/directions.py --picture FILE.png       # and edits of two draws of the first system's first seed
    python benchmarks/directions.py --strip RUN RUN --picture FILE.png    # no more than edits of images, in any runs

beta-VAEs at three betas, VAE/GANs, InfoGANs and O-GANs are trained on sprites of 32 x 32
(``benchmarks/recipes/sprites-*.toml``), five seeds each; directions are found as ``latentkit directions find`` does,
and measured on codes that the finder has not seen. What is in ``--runs`` already is not done again, so that an
interrupted call continues. The tables go to standard output; docs/papers/controlling.md has them.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import abc
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

import latentkit as lk
from latentkit import pictures
from latentkit.evaluation.subjects import samples_of
from latentkit.latent.codes import codes_to_measure
from latentkit.latent.decoding import decoder
from latentkit.latent.direction_files import read_directions
from latentkit.latent.editing import coordinate
from latentkit.latent.edits import Edit, edited
from latentkit.latent.measuring import measure
from latentkit.model import Model
from latentkit.runs.observing import as_array, value_range

sys.path.insert(0, str(Path(__file__).parent))

from directions_claims import one_search_or_many, texture
from directions_page import page

RECIPES = Path(__file__).parent / "recipes"
SYSTEMS: dict[str, tuple[str, dict[str, object]]] = {
    **{f"beta-vae-{beta}": ("sprites-vae", {"phase.elbo.loss.kl.weight": float(beta)}) for beta in (2, 4, 8)},
    "vae-gan": ("sprites-vae-gan", {}), "infogan": ("sprites-infogan", {}), "ogan": ("sprites-ogan", {}),
}  # fmt: skip
"""By name: a recipe, and what is set in it."""
CHOICES: dict[str, tuple[list[float], float]] = {
    "horizontal-shift": ([0.0625, 0.125], 0.16), "vertical-shift": ([0.0625, 0.125], 0.16),
    "zoom": ([0.1, 0.2, 0.3], 0.35),
}  # fmt: skip
"""Per transformation the amounts that are searched, and how far to either side of the middle it is measured.

Centres of sprites are within 0.2 of the middle, so that what moves by more leaves what the generators know.
"""
DRAWS = 100
STRIP = {"horizontal-shift": 0.15, "zoom": 0.25}
STRIP_IMAGES, STRIP_SIDE = (0, 4, 14), 32


def trained(out: Path, system: str, seed: int) -> Model:
    """The model of a run; one that was interrupted continues."""
    if not (out / "done").is_file():
        recipe, overrides = SYSTEMS[system]
        if (out / "recipe.toml").is_file():
            lk.train(None, out, resume=True)
        else:
            lk.train(RECIPES / f"{recipe}.toml", out, overrides={**overrides, "train.seed": seed})
        (out / "done").touch()
    return lk.load(out)


def found(model: Model, name: str, seed: int) -> lk.Direction:
    """The direction of a transformation, with the finder's defaults but for the amounts."""
    options = {"transformation": name, "amounts": CHOICES[name][0]}
    return lk.find_directions(model, "trajectories", options, seed=seed)[name]


def places(direction: lk.Direction, codes: Tensor, reach: float, steps: int) -> Tensor:
    """Even places about the middle of these codes' own."""
    assert direction.scale is not None
    middle = float(direction.scale(coordinate(codes, direction.u)).median())
    return torch.linspace(middle - reach, middle + reach, steps)


def controlled(model: Model, seed: int) -> dict[str, object]:
    """Per transformation what was measured of every factor."""
    codes, figures = codes_to_measure(model, DRAWS, seed), {}
    for name, (_, reach) in CHOICES.items():
        direction = found(model, name, seed)
        result = measure(model, direction, codes, places(direction, codes, reach, 11))
        own = result.control()
        figures[name] = {
            "spearman": own.spearman, "each": own.spearman_each, "r2": own.r2, "r2-each": own.r2_each,
            "identity": own.r2_identity, "std": own.std, "moved": own.drift, "detected": result.detected,
            "drift": {it.factor: it.drift for it in result.controls() if it.factor != own.factor},
            "explained": direction.details["explained"],
        }  # fmt: skip
    return figures


def one(system: str, seed: int, runs: Path) -> dict[str, object]:
    """All figures of one run; kept beside it."""
    out = runs / f"{system}-{seed}"
    file = out / "directions.json"
    if not file.is_file():
        start = time.process_time()
        model = trained(out, system, seed)
        between = time.process_time()
        decode = decoder(model)
        codes = codes_to_measure(model, 8 * DRAWS, seed + 1000)
        figures = {
            "control": controlled(model, seed), "search": one_search_or_many(decode, codes, model.image_space),
            "texture": texture(decode, codes, model.image_space, seed),
            "seconds": {"training": between - start, "directions": time.process_time() - between},
        }  # fmt: skip
        file.write_text(json.dumps(figures, indent=1))
    return dict(json.loads(file.read_text()))


def picture(run: Path, target: Path) -> None:
    """Two draws along every direction, at places from one end of what was measured to the other."""
    model = lk.load(run)
    codes, rows = codes_to_measure(model, 2, 5), []
    middles = codes_to_measure(model, DRAWS, 0)
    for name, (_, reach) in CHOICES.items():
        direction = found(model, name, 0)
        edits = [
            Edit(direction=direction, amount=place, absolute=True)
            for place in places(direction, middles, reach, 9).tolist()
        ]
        rows += list(torch.stack([edited(model, codes, [edit]) for edit in edits], 1))
    strips = [as_array(row) for row in rows]
    pictures.save_png(pictures.strip(*strips, range=value_range(model)), target)


def strip(runs: abc.Sequence[Path], target: Path) -> None:
    """Of each run three held-out images, moved by a shift and by a zoom that were found before: a row per image."""
    rows = []
    for run in runs:
        model = lk.load(run)
        directions = read_directions(run / "directions.safetensors", model)
        samples = samples_of(model)
        assert samples is not None
        x = samples.field("x", samples.held_out[list(STRIP_IMAGES)], torch.float32)
        edits = [
            edited(model, model.encode(x), [Edit(direction=directions[name], amount=amount)])
            for name, reach in STRIP.items()
            for amount in torch.linspace(-reach, reach, 5).tolist()
        ]
        low, high = value_range(model)
        found = (torch.stack([x, *edits], 1).detach() - low) / (high - low)
        border = [(STRIP_SIDE - side) // 2 for side in found.shape[-2:]]
        rows += [as_array(F.pad(row, (border[1], border[1], border[0], border[0]))) for row in found]
    pictures.save_png(pictures.strip(*rows, range=(0.0, 1.0), scale=2), target)


def main(arguments: abc.Sequence[str] | None = None) -> None:
    """Train, find, measure, tell."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("systems", nargs="*", default=list(SYSTEMS), metavar="SYSTEM", help=", ".join(SYSTEMS))
    options.add_argument("--seeds", type=int, default=5)
    options.add_argument("--runs", type=Path, default=Path("runs/directions"))
    options.add_argument("--picture", type=Path, metavar="FILE.png")
    options.add_argument("--strip", type=Path, nargs="+", metavar="RUN")
    given = options.parse_args(arguments)
    if given.strip is not None:
        if given.picture is None:
            options.error("--strip: expected --picture FILE.png beside it")
        strip(given.strip, given.picture)
        return
    torch.set_num_threads(1)
    figures: dict[str, list[dict[str, object]]] = {}
    for seed in range(given.seeds):
        for system in given.systems:
            figures.setdefault(system, []).append(one(system, seed, given.runs))
            print(f"{system}, seed {seed}: done", file=sys.stderr, flush=True)
    print(page(figures))
    if given.picture is not None:
        picture(given.runs / f"{given.systems[0]}-0", given.picture)


if __name__ == "__main__":
    main()
