"""``mix``: the styles of some images in layers of others."""

from __future__ import annotations

from typing import Annotated

import typer

from latentkit_cli.options import AsJson, Device, RunPath, Weights
from latentkit_cli.using import Picture, loaded, result_file, wrote

Sources = Annotated[
    list[str],
    typer.Option(
        "--source", metavar="S", show_default=False,
        help="An image file, a folder of them, or seeds of draws: 3, or 1,2,5. May be repeated.",
    ),
]  # fmt: skip
Destinations = Annotated[
    list[str], typer.Option("--destination", metavar="D", help="Likewise: what is changed.", show_default=False)
]
Layers = Annotated[
    list[str] | None,
    typer.Option(
        "--layers", metavar="L", show_default=False,
        help="coarse, middle, fine, or A-B, counted from 0. May be repeated.  [default: all three, in turn]",
    ),
]  # fmt: skip


def mix(
    run: RunPath,
    sources: Sources,
    destinations: Destinations,
    layers: Layers = None,
    out: Picture = None,
    weights: Weights = "average",
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Copy the styles of sources into layers of destinations, as one picture.

    Sources stand above the columns, destinations beside the rows. Each image between them is that row's destination
    with that column's styles in some layers: coarse ones are pose and shape, fine ones colours and strokes. The run's
    model has to be one with styles (stylealae, stylegan).

    \b
    Example:
      latentkit mix runs/stylealae-01 --source 1,2,3,4,5 --destination 11,12
      latentkit mix runs/stylealae-01 --source ann.jpg --destination faces/ --layers coarse
      latentkit mix runs/stylealae-01 --source 1,2,3 --destination 4,5 --layers 0-1 --layers 2-7
    """
    file = result_file(run, out, "mixing.png")
    model = loaded(run, weights, device)
    from latentkit import pictures
    from latentkit.mixing import chosen_layers, named_layers, style_layers
    from latentkit.mixing import mix as mixed
    from latentkit.runs.observing import as_array, value_range
    from latentkit_cli.ends import codes_of

    number = style_layers(model)
    bands = {name: chosen_layers(name, number) for name in layers or named_layers(number)}
    source, destination = codes_of(model, sources), codes_of(model, destinations)
    cells = [as_array(mixed(model, source, destination, band)) for band in bands.values()]
    heads, sides = as_array(model.decode(source)), as_array(model.decode(destination))
    pictures.save_png(pictures.crossed(heads, sides, *cells, range=value_range(model)), file)
    told = {name: [band[0], band[-1]] for name, band in bands.items()}
    wrote(file, as_json, sources=len(source), destinations=len(destination), layers=told)
    if not as_json:
        typer.echo("layers from above: " + ", ".join(f"{name} {band[0]}-{band[-1]}" for name, band in bands.items()))
