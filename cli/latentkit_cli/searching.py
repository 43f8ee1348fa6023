"""Codes of pictures by search: where it begins, all pictures in a few batches, and its progress."""

from __future__ import annotations

import contextlib
import sys
from collections import abc

import attrs
import torch
from rich.console import Console
from rich.progress import Progress, TextColumn
from torch import Tensor

from latentkit import Model
from latentkit.errors import LatentkitError
from latentkit.evaluation.protocols import of_network
from latentkit.latent import inversion
from latentkit.latent.codes import drawn_codes
from latentkit.latent.decoding import Decode
from latentkit.latent.features import feature_error
from latentkit.latent.filtered import ErrorOfImages, FilteredError, squared_error
from latentkit.latent.inversion import Inversion
from latentkit.latent.records import kept
from latentkit_cli.output import say

MEAN_OF = 1000
"""Drawn codes."""
AT_ONCE = 256
"""Images in one batch."""
SIGMA = 1.0
"""In pixels, of the filter where nothing else is said."""
_LINES = 4
_TOLD_EVERY = 10


@attrs.frozen(kw_only=True, eq=False)
class Searched:
    """What was found for n pictures.

    Attributes:
        codes: [n, dim].
        images: of these codes, [n, channels, height, width].
        errors: of these images, [n].
        before: errors where the search began, [n].
    """

    codes: Tensor
    images: Tensor
    errors: Tensor
    before: Tensor

    def only(self, chosen: Tensor) -> Searched:
        """Some of them, by a mask [n]."""
        return Searched(**{field.name: getattr(self, field.name)[chosen] for field in attrs.fields(Searched)})


def begun(model: Model, targets: Tensor, start: str | None, seed: int) -> Tensor:
    """Where each search begins, [n, dim]: ``encoder``, ``mean``, or what there is.

    Raises:
        LatentkitError: another word, no encoder, no codes that are drawn.
    """
    if start not in (None, "encoder", "mean"):
        raise LatentkitError(f"--start {start}: expected encoder or mean")
    encodes = "encode" in model.roles
    if start == "encoder" and not encodes:
        raise LatentkitError(f"--start encoder: '{model.name}' has none; take --start mean")
    if encodes and start != "mean":
        return model.encode(targets)
    instead = "take --start encoder" if encodes else "there is nowhere to begin"
    return drawn_codes(model, MEAN_OF, seed, instead=instead).mean(0, keepdim=True).expand(len(targets), -1)


def searched(decode: Decode, targets: Tensor, start: Tensor, how: Inversion) -> Searched:
    """The search for targets [n, channels, height, width] from codes [n, dim], with its progress on standard error."""
    pieces = []
    for first in range(0, len(targets), AT_ONCE):
        wanted, begin = targets[first : first + AT_ONCE], start[first : first + AT_ONCE]
        with _progress(how.steps, f"{first + 1}-{first + len(wanted)}") as told:
            found = inversion.invert(decode, wanted, begin, how, progress=told)
        with torch.no_grad():
            images, before = decode(found.codes), how.error(decode(begin), wanted, None)
        pieces.append(Searched(codes=found.codes, images=images, errors=found.errors, before=before))
    fields = [field.name for field in attrs.fields(Searched)]
    return Searched(**{name: torch.cat([getattr(piece, name) for piece in pieces]) for name in fields})


def measured_by(
    model: Model, error: str, sigma: float | None, features: str | None
) -> tuple[ErrorOfImages, dict[str, object]]:
    """The error of this name, and what is said of it; ``sigma`` and ``features`` are options of one each.

    Raises:
        LatentkitError: an option that is refused; no network.
    """
    if error == "pixel":
        return squared_error, {}
    if error == "filtered":
        filtered = FilteredError(sigma=SIGMA if sigma is None else sigma)
        return filtered, {"sigma": filtered.sigma}
    if features is None:
        say("comparing with a small classifier of the run's own data (trained once, in about 10 s)")
    seen = feature_error(model, features)
    return seen, of_network(seen.network)


def fits(errors: Tensor, reject: int | None) -> Tensor:
    """Which fits are kept, bool [n]: the finite ones, without the worst one in ``reject``.

    Raises:
        LatentkitError: none is left.
    """
    if not errors.isfinite().any():
        raise LatentkitError(
            f"none of {len(errors)} searches found a code: no error is finite; try a smaller --rate, or --start mean"
        )
    chosen = errors.isfinite() if reject is None else kept(errors, reject)
    if not chosen.any():
        raise LatentkitError(f"--reject {reject}: no error is below the others', so nothing would be left")
    return chosen


@contextlib.contextmanager
def _progress(steps: int, which: str) -> abc.Iterator[inversion.Progress]:
    """A bar with the mean error on a terminal; a line now and then elsewhere."""
    if not sys.stderr.isatty():
        every = max(steps // _LINES, 1)

        def line(step: int, errors: Tensor) -> None:
            if step % every == 0:
                say(f"images {which}: update {step} of {steps}, mean error {float(errors.mean()):.4g}")

        yield line
        return
    columns = (*Progress.get_default_columns(), TextColumn("{task.fields[error]}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"images {which}", total=steps, error="")

        def drawn(step: int, errors: Tensor) -> None:
            if step % _TOLD_EVERY == 0 or step == steps:  # asking for a number waits for the device
                bar.update(task, completed=step, error=f"error {float(errors.mean()):.4g}")

        yield drawn
