"""``directions measure``: what images show along directions, and how precisely."""

from __future__ import annotations

import math
from collections import abc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import attrs
import typer

from latentkit.errors import LatentkitError
from latentkit_cli.amounts import (
    DirectionsFile,
    Given,
    asked_places,
    directions_file,
    given_to_decode,
    known_directions,
)
from latentkit_cli.options import AsJson, Device, RunPath, Seed, Weights, overrides
from latentkit_cli.output import emit, near, rows
from latentkit_cli.using import loaded

if TYPE_CHECKING:
    from latentkit.latent.measuring import Measured

Names = Annotated[
    list[str],
    typer.Argument(
        metavar="NAME[=LOW:HIGH]...", show_default=False,
        help="Directions of the run, at even places over the range that was seen, or from LOW to HIGH.",
    ),
]  # fmt: skip
SaliencyName = Annotated[
    str,
    typer.Option(
        "--saliency", metavar="COMPONENT",
        help="From an image to a map of what is seen in it: a function or a network (`latentkit list function`).",
    ),
]  # fmt: skip
SaliencyOptions = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="OPTION=VALUE", show_default=False, help="An option of it. May be repeated."),
]
Draws = Annotated[int, typer.Option("-n", metavar="N", min=2, help="Codes, none of which the finder has seen.")]
MeasureSteps = Annotated[int, typer.Option("--steps", metavar="N", min=3, help="Places along each direction.")]
Chart = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="FILE.png", show_default=False, help="A chart of the distributions."),
]


def measure(
    run: RunPath,
    names: Names,
    saliency: SaliencyName = "brightness",
    options: SaliencyOptions = None,
    count: Draws = 50,
    steps: MeasureSteps = 11,
    given: Given = None,
    file: DirectionsFile = None,
    out: Chart = None,
    seed: Seed = 0,
    weights: Weights = "average",
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Measure what images show along directions, and how precisely.

    Codes are put to even places along a direction, and of what is salient in their images the barycentre (x, y, from
    -0.5 to 0.5) and the mean are measured: whether they follow (Spearman's correlation, R2 of a line, and of the line
    that the unit promises), how far draws differ at a place (deviation), and by how much the other factors change
    (drift). The figures are kept with the direction.

    `brightness` is exact for bright shapes on black; for photographs name a saliency network of a plugin.

    \b
    Example:
      latentkit directions measure runs/beta-vae-01 horizontal-shift zoom --out chart.png
      latentkit directions measure runs/beta-vae-01 horizontal-shift=-0.2:0.2 -n 200
      latentkit directions measure runs/stylegan-01 zoom --saliency mine.network --set weights=net.safetensors
    """
    if out is not None and out.suffix.lower() != ".png":
        raise LatentkitError(f"--out {out}: expected a name that ends in .png")
    model = loaded(run, weights, device)
    from latentkit.latent.codes import codes_to_measure
    from latentkit.latent.finding import keep_directions
    from latentkit.latent.measuring import measure as measured
    from latentkit.latent.saliency import saliency_of

    known = known_directions(model, run, file)
    places = dict(asked_places(known, text, steps, text) for text in names)
    maps = saliency_of(saliency, model, overrides(options))
    values = given_to_decode(model, given)
    codes = codes_to_measure(model, count, seed, values)
    found = {
        name: measured(model, known[name], codes, there, saliency=maps, given=values, seed=seed)
        for name, there in places.items()
    }
    better = {
        name: attrs.evolve(known[name], range=it.range, details={**known[name].details, **it.details()})
        for name, it in found.items()
    }
    if out is not None:
        from latentkit.latent.charts import save_chart

        save_chart(out, {name: (it, known[name].unit) for name, it in found.items()})
    kept = directions_file(run, file)
    keep_directions(kept, better, model)
    if as_json:
        chart = {"chart": str(out)} if out is not None else {}
        emit({"file": str(kept), **chart, "directions": [_facts(name, it) for name, it in found.items()]})
        return
    typer.echo(_table(found))
    typer.echo(f"added to {near(kept)}" + (f"; wrote {near(out)}" if out is not None else ""))


_HEAD = ("name", "moves", "Spearman", "of each", "R2", "R2 of unit", "deviation", "seen", "drift of the others")


def _table(found: abc.Mapping[str, Measured]) -> str:
    lines: list[tuple[str, ...]] = [_HEAD]
    for name, measured in found.items():
        own = measured.control()
        others = ", ".join(f"{it.factor} {it.drift:.3g}" for it in measured.controls() if it.factor != own.factor)
        figures = (own.spearman, own.spearman_each, own.r2, own.r2_identity, own.std)
        lines.append((name, own.factor, *map(_brief, figures), f"{measured.detected:.0%}", others))
    return rows(lines)


def _brief(value: float | None) -> str:
    return "" if value is None else "none" if math.isnan(value) else f"{value:.3g}"


def _facts(name: str, measured: Measured) -> dict[str, object]:
    factors = [{key: _number(value) for key, value in attrs.asdict(it).items()} for it in measured.controls()]
    return {
        "name": name, "moves": measured.moves, "places": measured.places.tolist(), "range": measured.range,
        "draws": measured.draws, "detected": measured.detected, "factors": factors,
    }  # fmt: skip


def _number(value: object) -> object:
    """JSON has no word for what is no number."""
    if isinstance(value, tuple):
        return [_number(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
