"""``convert``: somebody else's checkpoint to a run folder, and what was made."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from latentkit.errors import RunError
from latentkit_cli.composing import Out, made, next_commands
from latentkit_cli.options import AsJson, Assignments, overrides
from latentkit_cli.output import emit, heading, near, rows, say

if TYPE_CHECKING:
    from latentkit import Run
    from latentkit.runs.origin import Origin

Name = Annotated[
    str | None,
    typer.Argument(metavar="NAME", show_default=False, help="A converter; leave it out to see which there are."),
]
CheckpointFile = Annotated[
    Path | None,
    typer.Argument(metavar="CHECKPOINT", show_default=False, help="A .safetensors file, or a .pth or .pt file."),
]  # fmt: skip


def convert(
    name: Name = None,
    checkpoint: CheckpointFile = None,
    out: Out = None,
    assignments: Assignments = None,
    as_json: AsJson = False,
) -> None:
    """Make a run folder from somebody else's checkpoint.

    Sizes are read from the weights. The run can be used like any other, and trained further on its recipe's data,
    which --set can change. Of the checkpoint nothing is imported or executed.

    `latentkit convert` alone lists the converters that are installed, as `latentkit plugins` does.

    \b
    Example:
      latentkit convert alae model_final.pth --out runs/alae
      latentkit convert alae model_final.pth --out runs/alae --set data.use=idx \\
        --set data.images=train-images-idx3-ubyte.gz
      latentkit compose --out runs/alae --resume --steps 1000
    """
    overlay = overrides(assignments)
    from latentkit.registry.converters import find_converter
    from latentkit.registry.manager import default_registry

    entry = find_converter(name or "", default_registry().converters)
    if checkpoint is None:
        raise RunError(f"which checkpoint? expected: latentkit convert {name} CHECKPOINT --out RUN")
    from latentkit import convert as make_run
    from latentkit.runs.origin import Origin

    bare = entry.name.partition(".")[2]
    run = make_run(bare, checkpoint, out, overrides=overlay, say=lambda fact: say(f"note: {fact}"))
    origin = Origin.read(run.path)
    assert origin is not None
    emit(_result(run, origin)) if as_json else typer.echo(_report(run, origin))


def _result(run: Run, origin: Origin) -> dict[str, object]:
    return {
        "run": str(run.path), "name": run.model.name, "step": run.model.step, "images": run.model.images,
        "converter": origin.converter, "checkpoint": origin.file, "sha256": origin.sha256,
        "notes": list(origin.notes), "files": {what: str(file) for what, file in made(run).items()},
    }  # fmt: skip


def _report(run: Run, origin: Origin) -> str:
    where = shlex.quote(near(run.path))
    title = heading(f"{run.model.name}: converted from {origin.file} by '{origin.converter}'")
    files = rows([("run", near(run.path)), *[(what, near(file)) for what, file in made(run).items()]])
    further = (f"latentkit compose --out {where} --resume --steps N", "train it further, to N steps in all")
    return f"{title}\n{files}\n\nNext:\n{rows([*next_commands(run, where), further])}"
