"""``edit``: images along directions of a model."""

from __future__ import annotations

from collections import abc
from typing import TYPE_CHECKING, Annotated

import typer

from latentkit.errors import LatentkitError
from latentkit_cli.amounts import (
    Attributes,
    DirectionsFile,
    Given,
    Places,
    asked_edits,
    asked_places,
    given_to_decode,
    known_directions,
)
from latentkit_cli.options import AsJson, Device, RunPath, Weights
from latentkit_cli.using import Picture, loaded, result_file, wrote

if TYPE_CHECKING:
    from torch import Tensor

    from latentkit import Direction, Edit, Model

Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="IMAGES", show_default=False,
        help="Image files, folders of them, or seeds of draws: 3, or 1,2,5.",
    ),
]  # fmt: skip
Along = Annotated[
    str | None,
    typer.Option(
        "--along", metavar="NAME[=LOW:HIGH]", show_default=False,
        help="A strip per image, at even places along a direction: over the range that was seen, or from LOW to HIGH.",
    ),
]  # fmt: skip
StripSteps = Annotated[int, typer.Option("--steps", metavar="N", min=2, help="Images of a strip.")]


def edit(
    run: RunPath,
    inputs: Inputs,
    attributes: Attributes = None,
    places: Places = None,
    along: Along = None,
    steps: StripSteps = 7,
    file: DirectionsFile = None,
    given: Given = None,
    out: Picture = None,
    weights: Weights = "average",
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Move images along directions of the model, as one picture.

    Each image's reconstruction stands above what becomes of it. With --along it is a strip per image instead. Amounts
    are in the direction's unit (`latentkit directions list RUN`). A sign says where to: smile=+2, smile=-1. A name that
    ends in .gif makes the strips move.

    \b
    Example:
      latentkit edit runs/ogan-01 scan.png --attribute horizontal-shift=+0.2
      latentkit edit runs/alae-mlp-01 faces/ -a smile=+2 -a age=-1
      latentkit edit runs/stylealae-01 1,2,3 --along component-0 --steps 9
      latentkit edit runs/ogan-01 1,2,3,4 --along zoom --steps 20 --out zoom.gif
      latentkit edit runs/biggan-01 1,2,3 --along zoom=-0.4:0.4 --given y=2
    """
    file_out = result_file(run, out, "edited.png", ".gif")
    if along is None and not attributes and not places:
        raise LatentkitError("expected --attribute NAME=AMOUNT, --at NAME=PLACE or --along NAME; found none of them")
    moves = file_out.suffix.lower() == ".gif"
    if moves and along is None:
        raise LatentkitError(f"--out {out}: an animation goes along a direction; give --along NAME, or a .png")
    model = loaded(run, weights, device)
    from latentkit import edited, pictures
    from latentkit.animation import frames, save_animation, there_and_back
    from latentkit.runs.observing import as_array, value_range
    from latentkit_cli.ends import codes_of

    known = known_directions(model, run, file)
    edits = asked_edits(known, attributes, places)
    values = given_to_decode(model, given)
    strip = None if along is None else _strip(known, along, steps)
    codes = codes_of(model, inputs)
    if strip is None:
        before, after = (edited(model, codes, chosen, given=values) for chosen in ([], edits))
        pictures.save_png(pictures.pairs(as_array(before), as_array(after), value_range(model)), file_out)
    else:
        rows = as_array(_strips(model, codes, edits, strip, values))
        if moves:
            save_animation(there_and_back(frames(rows, value_range(model))), file_out)
        else:
            pictures.save_png(pictures.strip(*rows, range=value_range(model)), file_out)
    wrote(file_out, as_json, n=len(codes), attributes=attributes or [], at=places or [], along=along)


def _strip(known: abc.Mapping[str, Direction], along: str, steps: int) -> list[Edit]:
    """Edits to even places along a direction."""
    from latentkit import Edit

    name, places = asked_places(known, along, steps, f"--along {along}")
    return [Edit(direction=known[name], amount=place, absolute=True) for place in places.tolist()]


def _strips(
    model: Model, codes: Tensor, edits: abc.Sequence[Edit], strip: abc.Sequence[Edit],
    values: abc.Mapping[str, Tensor | float],
) -> Tensor:  # fmt: skip
    """Images of every code at all places, [n, steps, channels, height, width]."""
    import torch

    from latentkit import edited

    return torch.stack([edited(model, codes, [*edits, last], given=values) for last in strip], 1)
