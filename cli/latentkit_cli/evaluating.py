"""``eval``: figures of a finished run."""

from __future__ import annotations

from collections import abc
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, cast

import typer

from latentkit_cli.options import AsJson, Device, RunPath, Seed
from latentkit_cli.output import emit, heading, near, rows

if TYPE_CHECKING:
    from latentkit.evaluation.evaluate import Choice, Result

Metrics = Annotated[
    list[str] | None,
    typer.Option(
        "--metric", metavar="NAME", show_default=False,
        help="One of `latentkit list metric`; may be repeated.  [default: all but those that take minutes: nll, "
        "classifier-frechet, sample-class, interpolation, convexity, frechet, kernel-distance, manifold, path-length, "
        "perceptual]",
    ),
]  # fmt: skip
BothWeights = Annotated[
    str,
    typer.Option("--weights", metavar="average|raw|both", help="Which weights, where the recipe averages them."),
]
Count = Annotated[int, typer.Option("-n", metavar="N", min=1, help="Draws, or held-out images, at most.")]
Codes = Annotated[
    int | None,
    typer.Option("--samples", metavar="K", min=1, help="Of nll: codes per image.  [default: 200]", show_default=False),
]
Prior = Annotated[
    str | None,
    typer.Option(
        "--prior", metavar="gmm", show_default=False,
        help="Of distances of samples: decode draws of a prior that is fitted to the codes of training images.",
    ),
]  # fmt: skip
Components = Annotated[
    int | None,
    typer.Option("--components", metavar="K", min=1, help="Of that prior.  [default: 10]", show_default=False),
]
Features = Annotated[
    str | None,
    typer.Option(
        "--features", metavar="FILE", show_default=False,
        help="Of frechet, kernel-distance, manifold: weights of FID's Inception-v3; of path-length, perceptual: of "
        "VGG16 with the heads of LPIPS.  [default: a classifier that is trained on the run's own data]",
    ),
]  # fmt: skip


def evaluate(
    run: RunPath,
    metrics: Metrics = None,
    weights: BothWeights = "both",
    count: Count = 2000,
    seed: Seed = 0,
    samples: Codes = None,
    prior: Prior = None,
    components: Components = None,
    features: Features = None,
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Measure a run.

    The figures are added to its metrics.jsonl, each with the way it was taken.

    \b
    Example:
      latentkit eval runs/ogan-01
      latentkit eval runs/ogan-01 --metric latent-reconstruction --weights raw -n 500
      latentkit eval runs/ogan-01 --metric classifier-frechet
      latentkit eval runs/ogan-01 --metric frechet --features inception.safetensors
    """
    from latentkit import evaluate as measured

    given = {"samples": samples, "prior": prior, "components": components, "features": features}
    results = measured(
        run, metrics or None, weights=cast("Choice", weights), n=count, seed=seed, device=device,
        options={name: value for name, value in given.items() if value is not None},
    )  # fmt: skip
    if as_json:
        emit([result.record() for result in results])
        return
    typer.echo("\n\n".join(_section(of, list(group)) for of, group in groupby(results, key=lambda item: item.weights)))
    if run.is_dir() and any(result.value is not None for result in results):
        typer.echo(f"\nAdded to {near(run / 'metrics.jsonl')}")


def _section(weights: str, results: abc.Sequence[Result]) -> str:
    named = {"average": "averaged weights", "raw": "raw weights"}.get(weights, weights)
    title = heading(f"{named}, step {results[0].step:,}")
    figures = [(item.name, f"{item.value:.4g}", _protocol(item)) for item in results if item.value is not None]
    missing = [(item.name, f"none: {item.reason}") for item in results if item.value is None]
    return "\n".join(filter(None, [title, rows(figures), rows(missing)]))


def _protocol(result: Result) -> str:
    return ", ".join(f"{key} {_brief(key, value)}" for key, value in result.protocol.items() if value is not None)


def _brief(key: str, value: object) -> object:
    if key.endswith("_sha256"):
        return str(value)[:12]  # metrics.jsonl has all of it
    return f"{value:.4g}" if isinstance(value, float) else value
