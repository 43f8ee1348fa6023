"""``invert``: codes of pictures by search, where there is no encoder or it is not exact enough."""

from __future__ import annotations

import contextlib
import sys
from collections import abc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from latentkit.errors import LatentkitError
from latentkit_cli.options import AsJson, Device, Images, RunPath, Seed, Weights
from latentkit_cli.output import near, say
from latentkit_cli.using import Picture, loaded, result_file, wrote

if TYPE_CHECKING:
    from torch import Tensor

    from latentkit import Model
    from latentkit.latent.inversion import Inversion

Start = Annotated[
    str | None,
    typer.Option(
        "--start", metavar="encoder|mean", show_default=False,
        help="Where the search begins: what the encoder says, or the mean of drawn codes.  "
        "[default: the encoder's, if any]",
    ),
]  # fmt: skip
Steps = Annotated[int, typer.Option("--steps", metavar="N", min=1, help="Updates.")]
Rate = Annotated[float, typer.Option("--rate", metavar="R", min=0.0, help="Learning rate, of Adam.")]
Error = Annotated[
    str,
    typer.Option(
        "--error", metavar="filtered|pixel", help="What is made small; behind a Gaussian filter texture costs little."
    ),
]  # fmt: skip
Sigma = Annotated[float, typer.Option("--sigma", metavar="S", help="Of that filter, in pixels.")]
Bounded = Annotated[
    bool | None,
    typer.Option(
        "--bounded/--free", show_default=False,
        help="Keep codes within the root of their dimension in length.  "
        "[default: bounded where codes are drawn as they are]",
    ),
]  # fmt: skip
Reject = Annotated[
    int | None,
    typer.Option("--reject", metavar="K", min=2, show_default=False, help="Leave out the worst one in K."),
]
CodesFile = Annotated[
    Path | None,
    typer.Option(
        "--codes", metavar="FILE", help="Also write the codes: FILE.npz, .safetensors or .csv.", show_default=False
    ),
]

_MEAN_OF = 1000
_AT_ONCE = 256
_TOLD_EVERY = 10


def invert(
    run: RunPath,
    images: Images,
    start: Start = None,
    steps: Steps = 200,
    rate: Rate = 0.05,
    error: Error = "filtered",
    sigma: Sigma = 1.0,
    bounded: Bounded = None,
    reject: Reject = None,
    codes: CodesFile = None,
    out: Picture = None,
    seed: Seed = 0,
    weights: Weights = "average",
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Search the codes whose images come nearest to yours, all at once.

    The picture has each image above the one of its code. Where there is an encoder, the search begins with what it
    says and makes it exact; otherwise with the mean code.

    \b
    Example:
      latentkit invert runs/stylegan-01 photos/
      latentkit invert runs/alae-mlp-01 scan.png --steps 500 --error pixel --codes codes.npz
      latentkit invert runs/ogan-01 photos/ --reject 10
    """
    file = result_file(run, out, "inverted.png")
    if codes is not None:
        result_file(run, codes, "codes.npz", ".safetensors", ".csv", option="--codes")
    if error not in ("filtered", "pixel"):
        raise LatentkitError(f"--error {error}: expected filtered or pixel")
    model = loaded(run, weights, device)
    from latentkit import pictures
    from latentkit.latent.codes import is_normal
    from latentkit.latent.filtered import FilteredError, squared_error
    from latentkit.latent.inversion import Inversion
    from latentkit.latent.records import kept
    from latentkit.runs.observing import as_array, value_range
    from latentkit_cli.codes import write_codes
    from latentkit_cli.images import read_images

    if bounded is None:
        bounded = is_normal(model)
    measure = FilteredError(sigma=sigma) if error == "filtered" else squared_error
    how = Inversion(steps=steps, rate=rate, error=measure, bounded=bounded)
    targets, names = read_images(model, images)
    found, errors = _searched(model, targets, _begun(model, targets, start, seed), how, seed)
    chosen = kept(errors, reject) if reject is not None else errors.isfinite()
    left = [name for name, keep in zip(names, chosen.tolist(), strict=True) if not keep]
    if not chosen.any():
        raise LatentkitError(f"none of {len(names)} searches found a code; try a smaller --rate, or --start mean")
    names = [name for name, keep in zip(names, chosen.tolist(), strict=True) if keep]
    found, errors, targets = found[chosen], errors[chosen], targets[chosen]
    made = model.decode(found)
    pictures.save_png(pictures.pairs(as_array(targets), as_array(made), value_range(model)), file)
    facts: dict[str, object] = {"n": len(names), "images": names, "left_out": left, "error": float(errors.mean())}
    if codes is not None:
        write_codes(codes, as_array(found), names)
        facts["codes"] = str(codes)
    wrote(file, as_json, **facts)
    if not as_json:
        typer.echo(f"mean error {float(errors.mean()):.4g} ({error}) of {len(names)} images")
        if left:
            typer.echo(f"left out: {', '.join(left)}")
        if codes is not None:
            typer.echo(f"wrote {near(codes)}")


def _begun(model: Model, targets: Tensor, start: str | None, seed: int) -> Tensor:
    """Where each search begins, [n, dim]."""
    if start is None:
        start = "encoder" if "encode" in model.roles else "mean"
    if start == "encoder":
        return model.encode(targets)
    if start != "mean":
        raise LatentkitError(f"--start {start}: expected encoder or mean")
    from latentkit.latent.codes import drawn_codes

    drawn = drawn_codes(model, _MEAN_OF, seed, instead="use --start encoder")
    return drawn.mean(0, keepdim=True).expand(len(targets), -1)


def _searched(model: Model, targets: Tensor, start: Tensor, how: Inversion, seed: int) -> tuple[Tensor, Tensor]:
    import torch

    from latentkit.latent import inversion

    found = []
    for first in range(0, len(targets), _AT_ONCE):
        piece = slice(first, first + _AT_ONCE)
        with _progress(how.steps, f"{first + 1}-{min(first + _AT_ONCE, len(targets))}") as told:
            found.append(inversion.invert(model, targets[piece], start[piece], how, seed=seed, progress=told))
    return torch.cat([item.codes for item in found]), torch.cat([item.errors for item in found])


@contextlib.contextmanager
def _progress(steps: int, which: str) -> abc.Iterator[abc.Callable[[int, Tensor], None]]:
    """A bar with the mean error on a terminal; a line now and then elsewhere."""
    if not sys.stderr.isatty():
        every = max(steps // 4, 1)

        def line(step: int, errors: Tensor) -> None:
            if step % every == 0:
                say(f"images {which}: update {step} of {steps}, mean error {float(errors.mean()):.4g}")

        yield line
        return
    from rich.console import Console
    from rich.progress import Progress, TextColumn

    columns = (*Progress.get_default_columns(), TextColumn("{task.fields[error]}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"images {which}", total=steps, error="")

        def drawn(step: int, errors: Tensor) -> None:
            if step % _TOLD_EVERY == 0 or step == steps:  # asking for a number waits for the device
                bar.update(task, completed=step, error=f"error {float(errors.mean()):.4g}")

        yield drawn
