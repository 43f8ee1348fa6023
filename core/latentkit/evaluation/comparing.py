"""Figures of several runs side by side, where they were taken alike."""

from __future__ import annotations

from collections import abc
from pathlib import Path
from typing import Literal, Protocol

import attrs

from latentkit.errors import LatentkitError, RegistryError, RunError
from latentkit.registry.manager import Registry, default_registry
from latentkit.runs.folder import Folder

DECISIVE = (
    "unit", "network", "network_sha256", "trained_on", "n", "training", "held_out", "split", "resolution",
    "images_sha256", "range", "quantisation", "largest", "crop", "where", "epsilon", "path", "k", "subsets",
    "subset_size", "samples", "likelihood",
)  # fmt: skip
"""Keys of a protocol that two figures must agree in. The rest is the model's own (its code, a fitted prior), chance
(the seed), or a finding (a standard error)."""
_DIGITS = 12
"""Of a checksum, in a message."""


class Taken(Protocol):
    """A figure with the way it was taken: a result, or a row."""

    @property
    def name(self) -> str:
        """Of the figure."""

    @property
    def protocol(self) -> abc.Mapping[str, object]:
        """How it was taken."""


@attrs.frozen(kw_only=True)
class Row:
    """A figure of a run, as its ``metrics.jsonl`` has it."""

    run: str
    name: str
    """Of the figure."""
    value: float
    weights: str
    """``average`` or ``raw``."""
    step: int
    protocol: dict[str, object]


def comparable(results: abc.Sequence[Taken], labels: abc.Sequence[str] = ()) -> str:
    """Why some of these figures must not stand side by side; empty where all may.

    Figures of one name must agree in network, weights of the network, number and choice of images, resolution, split,
    quantisation, and whatever else of their protocols is in ``DECISIVE``. Others are not compared with each other.

    Args:
        results: of :func:`latentkit.evaluate`, or rows.
        labels: whose they are, for the message; as many.
    """
    first: dict[str, tuple[str, Taken]] = {}
    for label, result in zip(labels or [""] * len(results), results, strict=True):
        of, known = first.setdefault(result.name, (label, result))
        differences = [
            f"{key} is {_shown(known, key)}{_for(of)} and {_shown(result, key)}{_for(label)}"
            for key in DECISIVE
            if _plain(known.protocol.get(key)) != _plain(result.protocol.get(key))
        ]
        if differences:
            return f"{result.name}: figures that were not taken alike: {'; '.join(differences)}"
    return ""


def refuse_mixed(results: abc.Sequence[Taken], labels: abc.Sequence[str] = ()) -> None:
    """Raise where :func:`comparable` has a reason.

    Raises:
        LatentkitError: two figures of a name were not taken alike; all that differs is named.
    """
    reason = comparable(results, labels)
    if reason:
        raise LatentkitError(f"{reason}\n  take them again with the same options, data and network")


def compare_figures(
    runs: abc.Sequence[str | Path],
    metric: str,
    *,
    weights: Literal["average", "raw"] = "average",
    protocol: abc.Mapping[str, object] | None = None,
    registry: Registry | None = None,
) -> list[Row]:
    """Figures that ``latentkit eval`` has added to several runs, refused where they were not taken alike.

    Args:
        runs: run folders.
        metric: a metric, for all its figures, or one figure.
        weights: averaged ones where a run has such figures, or raw ones.
        protocol: take the last figure whose protocol has these entries (``{"network": "inception-v3"}``), and not the
            last one of all.
        registry: where metrics are found.

    Returns:
        Rows in the order of the runs, and of the metric's figures within.

    Raises:
        LatentkitError: figures of a name differ in their protocols.
        RunError: not a run, or one without such a figure.
    """
    names = _figures(metric, registry or default_registry())
    rows = [row for run in runs for row in _rows(Path(run), metric, names, weights, protocol or {})]
    refuse_mixed(rows, [row.run for row in rows])
    return rows


def _figures(metric: str, registry: Registry) -> abc.Sequence[str]:
    """Names of a metric's figures where it tells them, else what it is called by."""
    try:
        kind = registry.load(metric, ("metric",))
    except RegistryError:  # a figure's name, then, or none at all, which shows in the run
        return (metric,)
    figures: abc.Sequence[str] = getattr(kind, "figures", (metric,))
    return figures


def _rows(
    run: Path, metric: str, names: abc.Sequence[str], weights: str, protocol: abc.Mapping[str, object]
) -> list[Row]:
    folder = Folder(run)
    if not folder.is_run():
        raise RunError(f"{run}: is no run folder")
    found: dict[str, dict[str, Row]] = {}
    for record in folder.records():
        has = record.get("protocol", {})
        if record.get("evaluation") in names and all(_plain(has.get(key)) == _plain(protocol[key]) for key in protocol):
            row = Row(
                run=str(run), name=record["evaluation"], value=record["value"], weights=record["weights"],
                step=record["step"], protocol=has,
            )  # fmt: skip
            found.setdefault(row.weights, {})[row.name] = row
    chosen = found.get(weights) or (found.get("raw") if weights == "average" else None)
    if not chosen:
        alike = f" of {weights} weights" if found else " with such a protocol" if protocol else ""
        raise RunError(f"{run}: has no figure of '{metric}'{alike}; latentkit eval {run} --metric NAME adds it")
    return list(chosen.values())


def _plain(value: object) -> object:
    """As JSON has it, where a tuple is a list."""
    return list(value) if isinstance(value, tuple) else value


def _shown(result: Taken, key: str) -> str:
    value = result.protocol.get(key)
    if key.endswith("sha256") and isinstance(value, str):
        return value[:_DIGITS]
    return "not told" if value is None else str(value)


def _for(label: str) -> str:
    return f" ({label})" if label else ""
