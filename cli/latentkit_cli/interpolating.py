"""``interpolate``: ways between images or draws, as a strip, a grid or an animation."""

from __future__ import annotations

from collections import abc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from latentkit.errors import LatentkitError
from latentkit_cli.options import AsJson, Device, RunPath, Weights
from latentkit_cli.using import loaded, result_file, wrote

if TYPE_CHECKING:
    from torch import Tensor

    from latentkit import Model

_STEPS, _FRAMES = 9, 30
_SECONDS = 3.0

Start = Annotated[
    str,
    typer.Argument(
        metavar="A", show_default=False,
        help="An image file, or a number: the draw of this seed. Several: a folder of images, or 1,2,5.",
    ),
]  # fmt: skip
End = Annotated[str, typer.Argument(metavar="B", help="Likewise, as many.", show_default=False)]
LowerStart = Annotated[
    str | None, typer.Argument(metavar="C", help="With D, the lower corners of a grid.", show_default=False)
]
LowerEnd = Annotated[str | None, typer.Argument(metavar="D", help="Opposite of A.", show_default=False)]
PathSteps = Annotated[
    int | None,
    typer.Option(
        "--steps", metavar="N", min=2, show_default=False,
        help=f"Images from A to B, both included.  [default: {_STEPS}; {_FRAMES} in an animation]",
    ),
]  # fmt: skip
PathMode = Annotated[
    str,
    typer.Option(
        "--mode", metavar="linear|spherical|normalized",
        help="Straight; along the arc between the codes; or straight and normalised all along (mean 0, standard "
        "deviation 1), for models whose codes are.",
    ),
]  # fmt: skip
Animate = Annotated[
    bool, typer.Option("--animate", help="An animated GIF, or PNG if --out says so, there and back for ever.")
]
Duration = Annotated[
    float | None,
    typer.Option(
        "--duration", metavar="S", show_default=False,
        help=f"Seconds of an animation, there and back.  [default: {_SECONDS:g}]",
    ),
]  # fmt: skip
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="FILE", help="FILE.png, or .gif.  [default: here, named after the run]"),
]


def interpolate(
    run: RunPath,
    a: Start,
    b: End,
    c: LowerStart = None,
    d: LowerEnd = None,
    steps: PathSteps = None,
    mode: PathMode = "linear",
    animate: Animate = False,
    duration: Duration = None,
    out: Out = None,
    weights: Weights = "average",
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Go from A to B in latent space, as a strip of images.

    Several A and as many B make a row for each pair. Four ends are the corners of a grid: A and B above, C and D
    below. With --animate, or a name that ends in .gif, all pairs move at once, there and back.

    \b
    Example:
      latentkit interpolate runs/ogan-01 1 2
      latentkit interpolate runs/ogan-01 ann.jpg ben.jpg --steps 7 --mode spherical
      latentkit interpolate runs/ogan-01 1,2,3 4,5,6
      latentkit interpolate runs/ogan-01 ann.jpg ben.jpg 1 2 --out grid.png
      latentkit interpolate runs/ogan-01 1,2,3,4 5,6,7,8 --out way.gif --duration 4
    """
    moves = animate or (out is not None and out.suffix.lower() == ".gif")
    suffixes = (".gif", ".png") if moves else (".png", ".gif")
    file = result_file(run, out, f"interpolation{suffixes[0]}", suffixes[1])
    ends = [end for end in (a, b, c, d) if end is not None]
    _check(ends, moves, duration)
    model = loaded(run, weights, device)
    from latentkit import pictures
    from latentkit.animation import frames, save_animation, there_and_back
    from latentkit.interpolating import interpolate, interpolate_grid
    from latentkit.runs.observing import as_array, value_range

    codes, number, values = _codes(model, ends), steps or (_FRAMES if moves else _STEPS), value_range(model)
    between = interpolate if len(codes) == 2 else interpolate_grid
    images = as_array(between(model, *codes, steps=number, mode=mode))
    facts: dict[str, object] = {"ends": ends, "pairs": len(images), "steps": number, "mode": mode}
    if moves:
        shown, seconds = there_and_back(frames(images, values)), _SECONDS if duration is None else duration
        save_animation(shown, file, seconds)
        facts |= {"frames": len(shown), "duration": seconds}
    elif len(codes) == 2:
        pictures.save_png(pictures.strip(*images, range=values), file)
    else:
        pictures.save_png(pictures.grid(images[0].reshape(-1, *images.shape[-3:]), values, columns=number), file)
    wrote(file, as_json, **facts)


def _check(ends: abc.Sequence[str], moves: bool, duration: float | None) -> None:
    if len(ends) == 3:
        raise LatentkitError(
            "expected two ends, A and B, or four corners of a grid, found 3; several A are one word: 1,2"
        )
    if moves and len(ends) == 4:
        raise LatentkitError("an animation goes from A to B, found four ends; two A and two B are two words: 1,2 3,4")
    if duration is not None and not moves:
        raise LatentkitError("--duration: is of an animation, so it needs --animate, or --out FILE.gif")


def _codes(model: Model, ends: abc.Sequence[str]) -> list[Tensor]:
    """Codes of two ends, as many of each, or of four corners, one of each."""
    model.node("decode")  # said before anything is read
    from latentkit_cli.ends import codes_of

    codes = [codes_of(model, [end]) for end in ends]
    if len(codes) == 4:
        for end, found in zip(ends, codes, strict=True):
            if len(found) != 1:
                raise LatentkitError(f"'{end}' is {len(found)} images or seeds: a corner of a grid is one")
    elif len(codes[0]) != len(codes[1]):
        raise LatentkitError(
            f"A, '{ends[0]}', is {len(codes[0])} images or seeds, and B, '{ends[1]}', is {len(codes[1])}: expected as "
            "many, as each row goes from one A to one B"
        )
    return codes
