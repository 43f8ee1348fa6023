"""What finders of directions promise."""

from __future__ import annotations

import functools
import tempfile
from collections import abc
from pathlib import Path

import torch

import latentkit as lk
from latentkit.errors import LatentkitError
from latentkit.interfaces.directions import Direction, DirectionFinder, Examples
from latentkit.latent.codes import codes_to_search
from latentkit.latent.direction_files import read_directions, write_directions
from latentkit.latent.edits import Edit, edited
from latentkit.model import Model
from latentkit.testing.checks import Nonconforming, NotExercised, require, said
from latentkit.testing.stand_ins import AUTOENCODER, VARIATIONAL
from latentkit.testing.subjects import Subject
from latentkit.testing.workplace import seeded

_CODES = 40


def finder_checks(subject: Subject) -> dict[str, abc.Callable[[], None]]:
    """The properties of one finder, ready to be looked at."""
    return {
        "answers whether it applies": functools.partial(answers, subject),
        "finds directions that can be used": functools.partial(finds, subject),
    }


def answers(subject: Subject) -> None:
    """``applies()`` tells why nothing can be found, or nothing."""
    finder = _made(subject)
    for model in _models(subject):
        try:
            reason = finder.applies(model)
        except Exception as error:
            raise Nonconforming(f"applies() raises {said(error)}; expected a reason, or nothing") from error
        require(isinstance(reason, str), f"applies() gives {reason!r}; expected a reason, or an empty string")


def finds(subject: Subject) -> None:
    """Directions are the same for the same seed, change images, and come back from a file."""
    finder, looked = _made(subject), []
    for model in _models(subject):
        reason = finder.applies(model)
        if reason:
            looked.append(reason)
            continue
        try:
            codes = codes_to_search(model, _CODES, 0)
        except LatentkitError as error:
            looked.append(str(error))
            continue
        first, second = (_found(finder, model, codes) for _ in range(2))
        require(bool(first), "find() gives no direction")
        for name, direction in first.items():
            again = second.get(name)
            same = again is not None and torch.equal(direction.vector, again.vector)
            require(same, f"the same seed gives another direction '{name}'")
        _usable(subject, model, first, codes)
        return
    raise NotExercised(f"it applies to no stand-in: {'; '.join(dict.fromkeys(looked))}")


def _usable(subject: Subject, model: Model, found: dict[str, Direction], codes: torch.Tensor) -> None:
    for name, direction in found.items():
        try:
            before = edited(model, codes[:2], [])
            after = edited(model, codes[:2], [Edit(direction=direction, amount=0.3)])
        except LatentkitError as error:
            raise Nonconforming(f"the direction '{name}' cannot be used: {error}") from error
        require(before.shape == after.shape, f"an edit along '{name}' changes the images' shape")
    with tempfile.TemporaryDirectory(dir=subject.workplace.folder) as folder:
        path = Path(folder) / "directions.safetensors"
        write_directions(path, found, model)
        require(list(read_directions(path, model)) == list(found), "directions do not come back from a file")


def _found(finder: DirectionFinder, model: Model, codes: torch.Tensor) -> dict[str, Direction]:
    having = torch.stack([codes[:, 0] > codes[:, 0].median(), codes[:, 1] > codes[:, 1].median()], 1).to(codes)
    examples = Examples(codes=codes, attributes=having, names=("one", "two"))
    try:
        with seeded():
            return finder.find(model, examples=examples if finder.supervised else None, seed=0)
    except LatentkitError as error:
        raise NotExercised(f"nothing can be found here: {error}") from error
    except Exception as error:
        raise Nonconforming(f"find() raises {said(error)}") from error


def _made(subject: Subject) -> DirectionFinder:
    try:
        made = subject.kind(**subject.example.options)
    except LatentkitError as error:
        raise NotExercised(f"it cannot be made: {error}") from error
    except Exception as error:
        raise Nonconforming(f"cannot be made without options: {said(error)}") from error
    assert isinstance(made, DirectionFinder)
    return made


def _models(subject: Subject) -> list[Model]:
    return [lk.compose(tables, registry=subject.workplace.registry, seed=0) for tables in (AUTOENCODER, VARIATIONAL)]
