"""What metrics, observers and converters promise."""

from __future__ import annotations

import functools
import json
import math
import tempfile
from collections import abc
from pathlib import Path
from typing import Any

import torch

import latentkit as lk
from latentkit.errors import LatentkitError, RegistryError
from latentkit.evaluation.subjects import samples_of
from latentkit.interfaces import Converter, Figure, Metric
from latentkit.model import Model
from latentkit.testing.checks import Nonconforming, NotExercised, require, said
from latentkit.testing.stand_ins import AUTOENCODER, GENERATOR, VARIATIONAL
from latentkit.testing.subjects import Subject
from latentkit.testing.workplace import Workplace, seeded

N = 16
"""Samples that a metric is given to draw."""


def metric_checks(subject: Subject) -> dict[str, abc.Callable[[], None]]:
    """The properties of one metric, ready to be looked at."""
    return {
        "answers whether it applies": functools.partial(answers, subject),
        "measures finite figures": functools.partial(measures, subject),
    }


def observer_checks(subject: Subject) -> dict[str, abc.Callable[[], None]]:
    """The properties of one observer."""
    return {"watches a run": functools.partial(watches_a_run, subject)}


def converter_checks(workplace: Workplace, name: str) -> dict[str, abc.Callable[[], None]]:
    """The properties of one converter."""
    return {"refuses what it does not know": functools.partial(refuses_the_unknown, workplace, name)}


def _made(subject: Subject) -> Any:
    """An object of a class whose options all have defaults."""
    try:
        return subject.kind()
    except LatentkitError as error:
        raise NotExercised(f"it cannot be made: {error}") from error
    except Exception as error:
        raise Nonconforming(f"cannot be made without options: {said(error)}") from error


def _models(subject: Subject) -> list[Model]:
    registry = subject.workplace.registry
    return [lk.compose(tables, registry=registry, seed=0) for tables in (AUTOENCODER, VARIATIONAL, GENERATOR)]


def answers(subject: Subject) -> None:
    """``applies()`` tells why a metric cannot be taken, or nothing, with data and without."""
    metric: Metric = _made(subject)
    for model in _models(subject):
        for samples in (samples_of(model), None):
            try:
                reason = metric.applies(model, samples)
            except Exception as error:
                raise Nonconforming(f"applies() raises {said(error)}; expected a reason, or nothing") from error
            require(isinstance(reason, str), f"applies() gives {reason!r}; expected a reason, or an empty string")


def measures(subject: Subject) -> None:
    """Figures are finite, have a protocol of JSON values, and are the same for the same seed."""
    metric: Metric = _made(subject)
    looked: list[str] = []
    for model in _models(subject):
        samples = samples_of(model)
        reason = metric.applies(model, samples)
        if reason:
            looked.append(reason)
            continue
        first, second = (_figures(metric, model, samples) for _ in range(2))
        require(first == second, "the same seed gives other figures")
        for figure in first:
            require(isinstance(figure, Figure), f"measure() gives {type(figure).__name__}, not a Figure")
            require(math.isfinite(figure.value), f"'{figure.name}' is {figure.value}")
            try:
                json.dumps(figure.protocol)
            except (TypeError, ValueError) as error:
                raise Nonconforming(f"the protocol of '{figure.name}' is not JSON: {error}") from error
        return
    raise NotExercised(f"it applies to no stand-in: {'; '.join(dict.fromkeys(looked))}")


def _figures(metric: Metric, model: Model, samples: Any) -> list[Figure]:
    try:
        with seeded():
            return list(metric.measure(model, samples, n=N, seed=0))
    except LatentkitError as error:
        raise NotExercised(f"it cannot be taken here: {error}") from error
    except Exception as error:
        raise Nonconforming(f"measure() raises {said(error)}") from error


def watches_a_run(subject: Subject) -> None:
    """It can be made without options, has hooks that exist, and does not fail in a run."""
    observer = _made(subject)
    told: list[str] = []
    with tempfile.TemporaryDirectory(dir=subject.workplace.folder) as folder:
        try:
            lk.train(
                AUTOENCODER, Path(folder) / "run", observers=[observer], registry=subject.workplace.registry,
                say=told.append,
            )  # fmt: skip
        except RegistryError as error:
            raise Nonconforming(str(error)) from error
    failed = [text for text in told if text.startswith(f"observer '{type(observer).__name__}'")]
    require(not failed, "\n".join(failed))


def refuses_the_unknown(workplace: Workplace, name: str) -> None:
    """It can be made without options, and what is not its layout is a LatentkitError that says so."""
    try:
        converter: Converter = workplace.registry.converter(name)
    except LatentkitError as error:
        raise Nonconforming(str(error)) from error
    contents: tuple[dict[str, object], ...] = ({}, {"weight": torch.zeros(2, 3)}, {"models": {}, "epoch": 3})
    for content in contents:
        what = f"a checkpoint with {', '.join(content) or 'nothing in it'}"
        try:
            converter.convert(content, {})
        except LatentkitError as error:
            require(bool(str(error)), f"{what}: is refused without a message")
        except Exception as error:
            raise Nonconforming(f"{what}: convert() raises {said(error)}; expected a LatentkitError") from error
        else:
            raise Nonconforming(f"{what}: is taken for its own layout")
