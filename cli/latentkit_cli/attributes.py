"""``attributes fit`` and ``attributes entanglement``: directions of known attributes, and how far they are mixed up."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from latentkit.errors import LatentkitError
from latentkit_cli.amounts import DirectionsFile, Given, given_to_decode, known_directions
from latentkit_cli.directions import Out, file_to_keep, keep_and_tell
from latentkit_cli.label_options import CodesOfImages, Folder, Labels, Unmatched
from latentkit_cli.options import AsJson, Device, RunPath, Seed, Weights, overrides
from latentkit_cli.output import emit, near, note
from latentkit_cli.using import loaded

Names = Annotated[
    list[str] | None,
    typer.Option(
        "--attribute", "-a", metavar="NAME", show_default=False,
        help="One of the columns. May be repeated.  [default: all]",
    ),
]  # fmt: skip
Measured = Annotated[
    list[str] | None,
    typer.Option(
        "--attribute", "-a", metavar="NAME", show_default=False,
        help="One of the columns. May be repeated.  [default: all that have a direction]",
    ),
]  # fmt: skip
FinderOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="OPTION=VALUE", show_default=False,
        help="An option of the finder, e.g. regularization=0.1 (`latentkit show linear-boundary`). May be repeated.",
    ),
]  # fmt: skip
By = Annotated[
    str | None,
    typer.Option(
        "--by", metavar="FINDER", show_default=False,
        help="least-squares, mean-difference, linear-boundary, or a plugin's.  [default: least-squares; of classes, "
        "which exclude each other, mean-difference]",
    ),
]  # fmt: skip
Above = Annotated[
    str | None,
    typer.Option(
        "--above", metavar="median|NUMBER", show_default=False,
        help="Make 0 and 1 of numbers: 1 is above the median of the images, or above this number.",
    ),
]  # fmt: skip
FitCount = Annotated[int, typer.Option("-n", metavar="N", min=2, help="Images, at most: the first ones.")]
EditCount = Annotated[int, typer.Option("-n", metavar="N", min=1, help="Held-out images that are edited, at most.")]
Amount = Annotated[
    float, typer.Option("--amount", metavar="A", help="Of a move, in standard deviations of the codes along it.")
]
HeatMap = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="FILE.png", show_default=False, help="Also draw the matrix as a heat map."),
]

attributes = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None,
    help="Directions of attributes that are known of images, and how far they are mixed up.",
)  # fmt: skip
_MOST_FILES = 25_000
"""Of a folder, of which a fifth is held out."""


@attributes.command("fit")
def fit(
    run: RunPath,
    labels: Labels,
    images: Folder = None,
    codes: CodesOfImages = None,
    names: Names = None,
    by: By = None,
    options: FinderOptions = None,
    above: Above = None,
    count: FitCount = 20_000,
    unmatched: Unmatched = "refuse",
    out: Out = None,
    seed: Seed = 0,
    weights: Weights = "average",
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Find the direction of each attribute from images that have it and images that have not.

    Codes are the encoder's, of the run's own training images or of yours. least-squares separates attributes that go
    together, mean-difference does not; linear-boundary is the normal of a support vector machine, or of a logistic
    regression (--set classifier=logistic). mean-difference and linear-boundary need attributes of 0 and 1. What was
    found is kept beside the run and used by name: `latentkit edit`, `latentkit sample`.

    \b
    Example:
      latentkit attributes fit runs/vae-01 --labels factors -a x -a scale
      latentkit attributes fit runs/vae-01 --labels label
      latentkit attributes fit runs/stylealae-01 --labels celeba.csv --images faces/ -a Smiling -a Male
      latentkit attributes fit runs/stylegan-01 --labels ages.csv --codes codes.npz --by linear-boundary --above 40
    """
    from latentkit.latent.finding import find_directions, finder_of
    from latentkit_cli.labels import Asked, to_fit

    file, bound = file_to_keep(run, out), _bound(above)
    asked = Asked(run=run, labels=labels, images=images, codes=codes, names=names or (), unmatched=unmatched)
    if by is None:
        by = "mean-difference" if labels == "label" and not asked.is_file else "least-squares"
    finder = finder_of(by, overrides(options))
    if not finder.supervised:
        raise LatentkitError(f"--by {by}: finds directions without labels: `latentkit directions find {run} {by}`")
    model = loaded(run, weights, device)
    labelled = to_fit(model, asked, count, bound)
    examples = labelled.examples(model, count)
    found = find_directions(model, finder, examples=examples, seed=seed)
    keep_and_tell(file, found, model, as_json, examples=len(examples.codes))


@attributes.command("entanglement")
def entanglement(
    run: RunPath,
    labels: Labels,
    images: Folder = None,
    codes: CodesOfImages = None,
    names: Measured = None,
    file: DirectionsFile = None,
    count: EditCount = 1000,
    amount: Amount = 1.0,
    unmatched: Unmatched = "refuse",
    given: Given = None,
    out: HeatMap = None,
    seed: Seed = 0,
    weights: Weights = "average",
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Measure how far the edit of one attribute moves the others.

    Codes of held-out images are moved along each direction that is named like an attribute, up and down, decoded, and
    all attributes are read off the results by a small network that was trained on the other images. A row is an edit:
    how far each attribute moved, as a share of the one that was meant, all in standard deviations of the attribute. So
    a row of a direction that moves nothing else has a 1 and zeros. How well the network reads each attribute off images
    that it has not seen stands below.

    \b
    Example:
      latentkit attributes entanglement runs/vae-01 --labels factors --out matrix.png
      latentkit attributes entanglement runs/stylealae-01 --labels celeba.csv --images faces/ --from old.safetensors
    """
    if out is not None and out.suffix.lower() != ".png":
        raise LatentkitError(f"--out {out}: expected a name that ends in .png")
    model = loaded(run, weights, device)
    from latentkit.latent.entangling import measure_entanglement
    from latentkit.latent.heat_maps import save_heat_maps
    from latentkit_cli.labels import Asked, to_read
    from latentkit_cli.matrices import matrix_facts, matrix_table

    known = known_directions(model, run, file)
    values = given_to_decode(model, given)
    asked = Asked(run=run, labels=labels, images=images, codes=codes, names=names or (), unmatched=unmatched)
    labelled = to_read(model, asked, _MOST_FILES)
    without = [name for name in asked.names if name not in known]
    if without:
        raise LatentkitError(
            f"--attribute {without[0]}: expected the name of a direction, one of {', '.join(known)}; `latentkit "
            f"attributes fit` finds it"
        )
    others = [name for name in known if name not in labelled.names]
    found = measure_entanglement(model, known, labelled, n=count, amount=amount, given=values, seed=seed)
    if others and not asked.names:
        note(f"left out, as no attribute has their name: {', '.join(others)}")
    if out is not None:
        save_heat_maps({f"{model.name}": found}, out)
    if as_json:
        emit(matrix_facts(found, out))
        return
    typer.echo(matrix_table(found))
    if out is not None:
        typer.echo(f"wrote {near(out)}")


def _bound(above: str | None) -> float | str | None:
    if above in (None, "median"):
        return above
    try:
        bound = float(str(above))
    except ValueError:
        bound = math.nan
    if not math.isfinite(bound):
        raise LatentkitError(f"--above {above}: expected median, or a number")
    return bound
