"""``compose``: assemble, prove, train, and say what was made."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from latentkit_cli.options import AsJson, Assignments, overrides
from latentkit_cli.output import emit, heading, near, rows, say

if TYPE_CHECKING:
    from latentkit import Run
    from latentkit.settings import Precision
    from latentkit_cli.progress import Position

INTERRUPTED = 130
"""As shells report a process that Ctrl-C ended."""

Recipe = Annotated[
    str | None,
    typer.Argument(
        metavar="RECIPE", show_default=False,
        help="A shipped recipe's name, or a .toml file. May be left out with --resume.",
    ),
]  # fmt: skip
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="DIR", help="The run folder; new, or empty.  [default: runs/RECIPE-NN]"),
]
Steps = Annotated[
    int | None,
    typer.Option("--steps", metavar="N", min=1, help="Training steps in all.  [default: the recipe's]"),
]
RunSeed = Annotated[int | None, typer.Option("--seed", metavar="N", help="The run's seed.  [default: the recipe's]")]
RunDevice = Annotated[str | None, typer.Option("--device", metavar="D", help="cpu, cuda, cuda:1, ...  [default: cpu]")]
RunPrecision = Annotated[
    str | None,
    typer.Option(
        "--precision", metavar="P",
        help="float32; medium (torch's medium float32 matrix products, faster on many CPUs); auto (medium where it is "
        "as exact here, else float32); bfloat16 (autocast); float64.  [default: float32]",
    ),
]  # fmt: skip
ChannelsLast = Annotated[
    bool | None,
    typer.Option("--channels-last/--no-channels-last", show_default=False,
                 help="Channels-last memory layout; often faster with convolutions."),
]  # fmt: skip
Compiled = Annotated[
    bool | None,
    typer.Option("--compile/--no-compile", show_default=False,
                 help="Compile each phase; takes a while at the start, less the next time."),
]  # fmt: skip
Captured = Annotated[
    bool | None,
    typer.Option("--capture/--no-capture", show_default=False,
                 help="Launch each phase and its update as one; on a GPU."),
]  # fmt: skip
Threads = Annotated[
    str | None,
    typer.Option("--threads", metavar="N|auto", show_default=False,
                 help="CPU threads; auto: the cores that are free.  [default: as torch has it]"),
]  # fmt: skip
Observers = Annotated[
    list[str] | None,
    typer.Option(
        "--observer", metavar="NAME", show_default=False,
        help="Tell this observer of the run, e.g. tensorboard (see `latentkit list observer`). May be repeated.",
    ),
]  # fmt: skip
Resume = Annotated[bool, typer.Option("--resume", help="Continue the run in --out where its last checkpoint is.")]


def compose(
    recipe: Recipe = None,
    out: Out = None,
    steps: Steps = None,
    assignments: Assignments = None,
    seed: RunSeed = None,
    device: RunDevice = None,
    precision: RunPrecision = None,
    channels_last: ChannelsLast = None,
    compiled: Compiled = None,
    captured: Captured = None,
    threads: Threads = None,
    resume: Resume = False,
    observers: Observers = None,
    as_json: AsJson = False,
) -> None:
    """Train a recipe, and write a run folder.

    The recipe is assembled and proved to be sound first. The folder has the weights, the complete recipe, figures,
    and pictures of samples and reconstructions. Ctrl-C finishes the step, saves, and says how to continue; a second
    Ctrl-C ends at once.

    \b
    Example:
      latentkit compose ogan
      latentkit compose alae-mlp --out runs/a --steps 500 --set train.batch=32
      latentkit compose alae-mlp --set data.use=idx --set data.images=train-images-idx3-ubyte.gz
      latentkit compose --out runs/a --steps 1000 --resume
      torchrun --nproc-per-node 2 -m latentkit compose alae-mlp --out runs/b
    """
    overlay = overrides(assignments)
    from latentkit import Interrupted, train
    from latentkit.engine.launching import follows
    from latentkit_cli.progress import Position, watching

    position, silent = Position(), follows()  # of several processes one talks
    try:
        with watching(quiet=as_json or silent) as (shown, tell):
            run = train(
                recipe, out, steps=steps, overrides=overlay, seed=seed, resume=resume, device=device,
                precision=cast("Precision | None", precision), channels_last=channels_last,
                compile=compiled, capture=captured, threads=_threads(threads),
                observers=[position, *shown, *(observers or ())],
                say=None if silent else tell,
            )  # fmt: skip
    except Interrupted as stop:
        if silent:
            return
        say(f"\n{stop.by}: stopped after step {stop.step:,} of {stop.steps:,}, which is saved. Continue with:")
        say(_again(stop.path))
        if as_json:
            emit({"run": str(stop.path), "step": stop.step, "steps": stop.steps, "stopped": stop.by})
        return
    except KeyboardInterrupt:
        if not silent:
            say(_interruption(position))
        raise typer.Exit(INTERRUPTED) from None
    if not silent:
        emit(_result(run)) if as_json else typer.echo(_report(run))


def _threads(text: str | None) -> int | Literal["auto"] | None:
    if text is None or text == "auto":
        return text  # type: ignore[return-value]
    return int(text) if text.isdecimal() else cast("int", text)  # what is no number is refused where numbers are


def _interruption(position: Position) -> str:
    if position.path is None:
        return "\ninterrupted before the first step"
    again = _again(position.path)
    if position.saved is None:
        return f"\ninterrupted at step {position.step}, before the first checkpoint. Start over with:\n{again}"
    known = f"the checkpoint of step {position.saved} is on disk"
    return f"\ninterrupted at step {position.step}; {known}. Continue with:\n{again}"


def _again(path: Path) -> str:
    return f"  latentkit compose --out {shlex.quote(near(path))} --resume"


def made(run: Run) -> dict[str, Path]:
    """The files of a run that are there, by what they are."""
    step = f"{run.model.step:08d}.png"
    pictures = {file.parent.name: file for file in sorted(run.path.glob(f"*/{step}"))}
    files = {
        "weights": run.path / "model.safetensors", **pictures, "figures": run.path / "metrics.jsonl",
        "card": run.path / "card.md",
    }  # fmt: skip
    return {what: file for what, file in files.items() if file.is_file()}


def _result(run: Run) -> dict[str, object]:
    readings = [record for record in run.metrics if "evaluation" not in record]
    last = {key: value for key, value in readings[-1].items() if key not in ("step", "images")} if readings else {}
    return {
        "run": str(run.path), "name": run.model.name, "step": run.model.step, "images": run.model.images,
        "seconds": round(run.seconds, 3), "files": {what: str(file) for what, file in made(run).items()},
        "last": last,
    }  # fmt: skip


def _report(run: Run) -> str:
    minutes, seconds = divmod(round(run.seconds), 60)
    took = f"{minutes} min {seconds} s" if minutes else f"{run.seconds:.1f} s"
    trained = f"trained in {took}" if run.seconds else "nothing left to train"
    where = shlex.quote(near(run.path))
    title = heading(f"{run.model.name}: {run.model.step:,} steps, {run.model.images:,} images; {trained}")
    files = rows([("run", near(run.path)), *[(what, near(file)) for what, file in made(run).items()]])
    return f"{title}\n{files}\n\nNext:\n{rows(next_commands(run, where))}"


def next_commands(run: Run, where: str) -> list[tuple[str, str]]:
    """What can be done with a run, and the command of each; ``where`` is its folder as typed."""
    from latentkit.evaluation.subjects import data_needed
    from latentkit.runs.observing import can_sample

    model = run.model
    drawn = "decode" in model.roles and model.wiring.code is not None and not data_needed([model.wiring.code])
    samples, rebuilds = can_sample(model), "reconstruct" in model.roles
    commands = [
        (samples, f"latentkit sample {where} -n 64 --seed 1", "more samples"),
        (drawn, f"latentkit interpolate {where} 1 2", "the way from one draw to another"),
        (rebuilds, f"latentkit reconstruct {where} PICTURES", "your own pictures, or a folder of them"),
        (drawn and not rebuilds, f"latentkit invert {where} PICTURES", "codes of your own pictures, by search"),
        (samples or "encode" in model.roles, f"latentkit eval {where}", "figures"),
    ]
    return [(command, what) for can, command, what in commands if can]
