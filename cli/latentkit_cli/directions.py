"""``directions find`` and ``directions list``: directions in a model's latent space, kept beside the run."""

from __future__ import annotations

from collections import abc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from latentkit_cli.amounts import DirectionsFile, Given, directions_file, given_to_decode, known_directions
from latentkit_cli.measuring import measure
from latentkit_cli.options import AsJson, Device, RunPath, Seed, Weights, overrides
from latentkit_cli.output import emit, near, note, rows, say
from latentkit_cli.using import loaded

if TYPE_CHECKING:
    from latentkit import Direction, Model

Finder = Annotated[
    str,
    typer.Argument(
        metavar="FINDER", show_default=False,
        help="How: trajectories, principal-components, closed-form, ... (`latentkit list direction`).",
    ),
]  # fmt: skip
Options = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="OPTION=VALUE", show_default=False,
        help="An option of the finder, e.g. transformation=zoom (`latentkit show FINDER`). May be repeated.",
    ),
]  # fmt: skip
Out = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", metavar="FILE", show_default=False,
        help="FILE.safetensors, to which they are added.  [default: directions.safetensors of the run]",
    ),
]  # fmt: skip
Chunks = Annotated[
    str | None,
    typer.Option(
        "--chunks", metavar="SIZE,SIZE,...|auto", show_default=False,
        help="Length of each direction in every piece of the code, for generators that take it in pieces; auto looks "
        "where decode cuts it.",
    ),
]  # fmt: skip

directions = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Find directions in a model's latent space, list and measure them.",
)


@directions.command("find")
def find(
    run: RunPath,
    finder: Finder,
    options: Options = None,
    given: Given = None,
    out: Out = None,
    seed: Seed = 0,
    weights: Weights = "average",
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Find directions without labels, and keep them beside the run.

    `trajectories` finds along what images shift, grow, turn or brighten, and how far codes have to go for how much;
    `principal-components` and `closed-form` find those along which the model itself varies the most. With labels see
    `latentkit attributes fit`. What was found is used by name: `latentkit edit`, `latentkit sample`.

    \b
    Example:
      latentkit directions find runs/ogan-01 trajectories --set transformation=horizontal-shift
      latentkit directions find runs/beta-vae-01 trajectories --set transformation=zoom --set count=100
      latentkit directions find runs/stylealae-01 principal-components --set count=5
      latentkit directions find runs/biggan-01 trajectories --set 'classes=[0, 1, 2]'
    """
    from latentkit.latent.finding import find_directions

    file = file_to_keep(run, out)
    model = loaded(run, weights, device)
    values = given_to_decode(model, given)
    found = find_directions(
        model, finder, overrides(options), given=values, seed=seed, progress=None if as_json else say
    )
    keep_and_tell(file, found, model, as_json)


@directions.command("list")
def listed(
    run: RunPath,
    file: DirectionsFile = None,
    chunks: Chunks = None,
    given: Given = None,
    weights: Weights = "average",
    as_json: AsJson = False,
) -> None:
    """List the directions that are kept beside a run: where each applies, how it was found, its unit and its range.

    \b
    Example:
      latentkit directions list runs/ogan-01
      latentkit directions list runs/biggan-01 --chunks auto
    """
    model = loaded(run, weights, "cpu")
    found = known_directions(model, run, file)
    sizes = None if chunks is None else _sizes(model, chunks, given)
    if as_json:
        emit([_facts(name, direction) | _pieces(direction, sizes) for name, direction in found.items()])
        return
    pieces = "" if sizes is None else f"\n\n{_piece_table(found, sizes)}"
    typer.echo(f"{_table(found)}{pieces}")


directions.command("measure")(measure)


def file_to_keep(run: Path, out: Path | None) -> Path:
    """The file that was named for directions, or the run's own.

    Raises:
        LatentkitError: a name of another kind.
    """
    from latentkit.errors import LatentkitError

    if out is not None and out.suffix != ".safetensors":
        raise LatentkitError(f"--out {out}: expected a name that ends in .safetensors")
    return directions_file(run, out)


def keep_and_tell(file: Path, found: abc.Mapping[str, Direction], model: Model, as_json: bool, **facts: object) -> None:
    """Add directions to a file, and say so: as a table, or as JSON with further facts."""
    from latentkit.latent.finding import keep_directions

    replaced = keep_directions(file, found, model)
    if as_json:
        told = [_facts(name, direction) for name, direction in found.items()]
        emit({"file": str(file), "replaced": replaced, **facts, "directions": told})
        return
    typer.echo(_table(found))
    if replaced:
        note(f"replaced: {', '.join(replaced)}")
    typer.echo(f"added to {near(file)}")


def _sizes(model: Model, chunks: str, given: abc.Sequence[str] | None) -> list[int]:
    """Of the code's pieces, as they were said, or as ``decode`` reads them."""
    from latentkit.errors import LatentkitError
    from latentkit.latent.codes import codes_to_search
    from latentkit.latent.readers import pieces_of_code

    if chunks == "auto":
        values = given_to_decode(model, given)
        return pieces_of_code(model, codes_to_search(model, _PROBES, 0, values), values, 0)
    pieces = [piece.strip() for piece in chunks.split(",")]
    if not all(piece.isdecimal() for piece in pieces):
        raise LatentkitError(f"--chunks {chunks}: expected sizes, such as 20,20,20, or auto")
    return [int(piece) for piece in pieces]


_PROBES = 8


def _pieces(direction: Direction, sizes: abc.Sequence[int] | None) -> dict[str, object]:
    from latentkit.latent.editing import chunk_norms

    if sizes is None or direction.space != "code":
        return {}
    return {"chunks": list(sizes), "chunk_norms": chunk_norms(direction.u, sizes).tolist()}


def _piece_table(found: abc.Mapping[str, Direction], sizes: abc.Sequence[int]) -> str:
    ends = [sum(sizes[: index + 1]) for index in range(len(sizes))]
    names = [f"{end - size}-{end - 1}" for size, end in zip(sizes, ends, strict=True)]
    lines = [["length of u in", *names]]
    for name, direction in found.items():
        norms = _pieces(direction, sizes).get("chunk_norms", [])
        if isinstance(norms, list) and norms:
            lines.append([name, *(f"{norm:.3f}" for norm in norms)])
    return rows(lines)


def _table(found: abc.Mapping[str, Direction]) -> str:
    lines = [("name", "where", "found by", "unit", "seen from ... to", "")]
    for name, direction in found.items():
        low, high = direction.range or ("", "")
        seen = f"{low:.3g} ... {high:.3g}" if direction.range else ""
        more = ", ".join(f"{key} {_brief(value)}" for key, value in direction.details.items() if key in _SHOWN)
        lines.append((name, _where(direction), direction.found, direction.unit, seen, more))
    return rows(lines)


_SHOWN = ("kept", "explained", "strength", "accuracy", "examples")
"""Details that a line has room for; --json has all."""


def _brief(value: object) -> object:
    return f"{value:.3g}" if isinstance(value, float) else value


def _where(direction: Direction) -> str:
    layers = direction.layers
    return f"styles {', '.join(map(str, layers))}" if layers else direction.space


def _facts(name: str, direction: Direction) -> dict[str, object]:
    return {
        "name": name, "space": direction.space, "layers": list(direction.layers), "found": direction.found,
        "unit": direction.unit, "range": direction.range, "scaled": direction.scale is not None,
        "vector": direction.vector.tolist(), "details": dict(direction.details),
    }  # fmt: skip
