"""Metrics of a run, or of a model in memory."""

from __future__ import annotations

import json
import math
from collections import abc
from pathlib import Path
from typing import Any, Literal

import attrs

from latentkit.engine.samples import Samples
from latentkit.errors import DataError, LatentkitError, RegistryError, RunError
from latentkit.evaluation.subjects import NO_DATA, samples_of
from latentkit.interfaces import Metric
from latentkit.model import Model
from latentkit.registry.manager import Registry, default_registry
from latentkit.runs.folder import Folder
from latentkit.runs.loading import load

Choice = Literal["average", "raw", "both"]


@attrs.frozen(kw_only=True)
class Result:
    """A figure of a model, or the reason why a metric has none."""

    name: str
    """Of the figure; of the metric where there is no figure."""
    value: float | None
    weights: str
    """``average``, ``raw``, or ``given`` for a model in memory."""
    step: int
    protocol: dict[str, object] = attrs.field(factory=dict)
    reason: str = ""

    def record(self) -> dict[str, Any]:
        """The line of ``metrics.jsonl``."""
        line = {"evaluation": self.name, "value": self.value, "weights": self.weights, "step": self.step}
        return {**line, "protocol": self.protocol, **({"reason": self.reason} if self.reason else {})}


def evaluate(
    run: str | Path | Model,
    metrics: abc.Sequence[str] | None = None,
    *,
    weights: Choice = "both",
    n: int = 2000,
    seed: int = 0,
    options: abc.Mapping[str, object] | None = None,
    device: str = "cpu",
    registry: Registry | None = None,
) -> list[Result]:
    """Take metrics of a run and append the figures to its ``metrics.jsonl``.

    Args:
        run: a run folder, a ``model.safetensors``, or a model in memory (for which nothing is written).
        metrics: their names; by default all that are registered, but for slow ones.
        weights: the averaged ones, the raw ones, or both where the recipe averages; no choice for a model in memory.
        n: how many samples are drawn, or held-out images taken, at most.
        seed: of the draws.
        options: of the metrics; each gets those that it has, ``{"samples": 1000}`` for ``nll``.
        device: where a run is loaded to.
        registry: where metrics are found.

    Returns:
        Figures, and a result with a reason for each metric that does not apply. Where metrics were not named, one
        that fails with a LatentkitError (a package is missing, its plugin is broken) is such a result too.

    Raises:
        RegistryError: no such metric.
        RunError: not a run, damaged, or ``metrics.jsonl`` cannot be written.
        LatentkitError: ``n`` is below 1; an option that no metric has, or with a value that it refuses.
    """
    registry = registry or default_registry()
    if n < 1:
        raise LatentkitError(f"n: expected 1 or more, found {n}")
    chosen = _metrics(metrics, options or {}, registry)
    results: list[Result] = []
    samples: Samples | None = None
    fault: str | None = None
    for number, (label, model) in enumerate(_models(run, weights, device, registry)):
        if number == 0:
            samples, fault = _opened(model)
        for name, metric in chosen.items():
            results += _measured(model, label, name, metric, samples, fault, n, seed, metrics is not None)
    if not isinstance(run, Model) and Path(run).is_dir():
        _append(Folder(Path(run)), [result for result in results if result.value is not None])
    return results


def _metrics(
    names: abc.Sequence[str] | None, options: abc.Mapping[str, object], registry: Registry
) -> dict[str, Metric | str]:
    """Metrics by name; where they were not named, the reason in place of one that cannot be used."""
    found: dict[str, Metric | str] = {}
    if names is not None:
        found |= {name: _metric(name, options, registry) for name in names}
    else:
        for name in [entry.name.removeprefix("core.") for entry in registry.of_kind("metric")]:
            try:
                metric = _metric(name, options, registry)
            except RegistryError as error:
                found[name] = str(error)
            else:
                found |= {} if metric.slow else {name: metric}
    for option in options:
        if not any(option in _options(type(metric)) for metric in found.values()):
            raise LatentkitError(f"no metric that is taken has the option '{option}': {', '.join(found)}")
    return found


def _metric(name: str, options: abc.Mapping[str, object], registry: Registry) -> Metric:
    kind = registry.load(name, ("metric",))
    try:
        metric: Metric = kind(**{key: value for key, value in options.items() if key in _options(kind)})
    except TypeError as error:  # abstract, an option without default, or one of another type
        raise RegistryError(f"the metric '{name}' cannot be made: {_said(error)}") from error
    except ValueError as error:
        raise LatentkitError(f"{name}: {_said(error)}") from None
    return metric


def _said(error: Exception) -> object:
    return next(iter(error.args), "")  # validators of attrs add the field and the value, which are in the text already


def _options(kind: type) -> set[str]:
    return {field.name for field in attrs.fields(kind)} if attrs.has(kind) else set()


def _models(
    run: str | Path | Model, weights: Choice, device: str, registry: Registry
) -> abc.Iterator[tuple[str, Model]]:
    if weights not in ("average", "raw", "both"):
        raise RunError(f"weights: expected 'average', 'raw' or 'both', found {weights!r}")
    if isinstance(run, Model):
        yield "given", run
        return
    inference = load(run, "average", device, registry)
    averaged = bool(inference.wiring.recipe.average)
    if weights != "raw" or not averaged:
        yield ("average" if averaged else "raw"), inference
    if averaged and (weights == "raw" or (weights == "both" and Path(run).is_dir())):
        yield "raw", load(run, "raw", device, registry)


def _opened(model: Model) -> tuple[Samples | None, str | None]:
    try:
        return samples_of(model), None
    except DataError as error:
        return None, str(error)


def _measured(
    model: Model, weights: str, name: str, metric: Metric | str, samples: Samples | None, fault: str | None, n: int,
    seed: int, named: bool,
) -> list[Result]:  # fmt: skip
    def none(reason: str, of: str = name) -> Result:
        return Result(name=of, value=None, weights=weights, step=model.step, reason=reason)

    if isinstance(metric, str):
        return [none(metric)]
    reason = metric.applies(model, samples)
    if reason:
        return [none(fault if fault and reason == NO_DATA else reason)]
    try:
        figures = metric.measure(model, samples, n=n, seed=seed)
    except LatentkitError as error:
        if named:
            raise
        return [none(str(error))]
    return [
        Result(name=figure.name, value=figure.value, weights=weights, step=model.step, protocol=figure.protocol)
        if math.isfinite(figure.value)
        else none("is not finite", figure.name)
        for figure in figures
    ]


def _append(folder: Folder, results: abc.Sequence[Result]) -> None:
    lines = "".join(json.dumps(result.record()) + "\n" for result in results)
    try:
        with folder.metrics.open("a", encoding="utf-8") as file:
            file.write(lines)
    except OSError as error:
        raise RunError(f"{folder.metrics}: cannot be written ({error.strerror})") from None
