"""The entry: the commands by name, and what the exit status says (0 done, 2 the user's input is wrong, 1 the rest).

Nothing here or at the top of a command's module imports torch, so that help and lists appear at once.
"""

from __future__ import annotations

import os
import sys
import time
from collections import abc
from typing import Annotated

import typer

from latentkit.engine.launching import echoes, launched
from latentkit.errors import LatentkitError
from latentkit_cli.attributes import attributes
from latentkit_cli.checking import check, explain
from latentkit_cli.composing import compose
from latentkit_cli.converting import convert
from latentkit_cli.directions import directions
from latentkit_cli.editing import edit
from latentkit_cli.evaluating import evaluate
from latentkit_cli.faults import tell_faults
from latentkit_cli.interpolating import interpolate
from latentkit_cli.inverting import invert
from latentkit_cli.listing import components, plugins, recipes
from latentkit_cli.mixing import mix
from latentkit_cli.output import fail, fail_unexpectedly, warnings_as_notes
from latentkit_cli.scaffolding import plugin
from latentkit_cli.showing import show
from latentkit_cli.using import encode, reconstruct, sample

COMMANDS: dict[str, abc.Callable[..., None]] = {
    "compose": compose, "convert": convert, "check": check, "explain": explain,
    "list": components, "show": show, "recipes": recipes, "plugins": plugins,
    "sample": sample, "reconstruct": reconstruct, "encode": encode, "interpolate": interpolate,
    "mix": mix, "invert": invert, "edit": edit, "eval": evaluate,
}  # fmt: skip


_WRONG_USAGE: type[Exception] = typer.BadParameter.__bases__[0]
"""Of any kind. Typer has a name only for this one, and its own copy of click in newer versions."""


def main(arguments: abc.Sequence[str] | None = None) -> int:
    """Run one command line; ``sys.argv`` by default. Returns the exit status."""
    status = _run(arguments)
    tell_faults()
    if status and arguments is None and launched():
        _end_at_once(status)
    return status


def _end_at_once(status: int) -> None:
    """Without an orderly end of torch's process group, whose threads may wait for processes that are gone."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _run(arguments: abc.Sequence[str] | None) -> int:
    # libgomp reads this when torch is imported. Left alone, its threads spin while they wait for each other, which
    # on a machine with another busy process can make a step many times slower.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    command = typer.main.get_command(_app())
    given = None if arguments is None else list(arguments)
    try:
        with warnings_as_notes():
            # What is wrong with a command line is printed in standalone mode, and raised otherwise.
            status = command.main(args=given, prog_name="latentkit", standalone_mode=not echoes())
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except _WRONG_USAGE:
        time.sleep(2)  # torchrun ends all processes as soon as one has ended, also one that has not yet said why
        return 2
    except LatentkitError as error:
        return fail(error)
    except Exception as error:
        return fail_unexpectedly(error)
    return status if isinstance(status, int) else 0


def _app() -> typer.Typer:
    # Help by rich takes twice as long to appear as all the rest of `latentkit --help`.
    app = typer.Typer(
        add_completion=False, no_args_is_help=True, rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )  # fmt: skip
    app.callback()(_latentkit)
    for name, function in COMMANDS.items():
        app.command(name)(function)
    app.add_typer(attributes, name="attributes")
    app.add_typer(directions, name="directions")
    app.add_typer(plugin, name="plugin")
    return app


def _version(wanted: bool) -> None:
    if wanted:
        from latentkit.registry.manager import default_registry

        typer.echo(f"latentkit {default_registry().plugins['core'].version}")
        raise typer.Exit


def _latentkit(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Latent-space generative models from recipes: GANs that encode, autoencoders that generate.

    A RECIPE is the name of a shipped one (see `latentkit recipes`) or the path of a .toml file. A RUN is the folder
    that `latentkit compose` makes.

    \b
    Start here:
      latentkit recipes              what can be trained
      latentkit compose ogan         train it; ends with pictures
      latentkit COMMAND --help       what a command takes, with an example
    """
