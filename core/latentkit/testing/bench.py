"""A part under test: its cases, and calls of them."""

from __future__ import annotations

import functools
from collections import abc
from typing import Any

import torch
from torch import Tensor, nn

from latentkit.testing.cases import Case, Found, search
from latentkit.testing.checks import NotExercised, said
from latentkit.testing.subjects import Subject
from latentkit.testing.values import Draw, floats
from latentkit.testing.workplace import seeded

OBJECTIVES = ("loss", "regularizer")


class Bench:
    """A part under test, with the cases that were found.

    Attributes:
        subject: the part's class with its options.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject

    @functools.cached_property
    def found(self) -> Found:
        """What the search for sizes came to."""
        return search(self.subject)

    def cases(self) -> tuple[Case, ...]:
        """The sizes to look at.

        Raises:
            NotExercised: none were found.
        """
        if not self.found.cases:
            if self.found.faults:
                raise NotExercised("it could not be built: see [builds]")
            tried = "; ".join(self.found.refusals) or "nothing"
            raise NotExercised(f"no sizes were found that it takes; tried: {tried}; give some in latentkit_examples")
        return self.found.cases

    def runs(self) -> list[tuple[Case, str]]:
        """The cases and their entries.

        Raises:
            NotExercised: no sizes were found, or a call with ordinary values fails.
        """
        runs = [(case, entry) for case in self.cases() for entry in case.signatures]
        if self._fault:
            raise NotExercised(f"{self._fault}: see [agrees with its ports]")
        return runs

    @functools.cached_property
    def _fault(self) -> str:
        return next(filter(None, map(_raised, self.cases())), "")


def call(module: nn.Module, entry: str, inputs: abc.Sequence[Any]) -> Any:
    """The module itself, or an entry of it."""
    return (getattr(module, entry) if entry else module)(*inputs)


def result(case: Case, entry: str, how: Draw, mode: str = "train", seed: int = 0) -> Any:
    """What a fresh module makes of values, without a graph.

    Args:
        case: sizes and options.
        entry: empty for the part itself.
        how: the values.
        mode: ``train`` or ``eval``.
        seed: of the generators of numpy and Python; torch's is the same for all.
    """
    with seeded(seed), torch.no_grad():
        torch.manual_seed(0)
        return call(case.build().train(mode == "train"), entry, case.inputs(entry, how))


def _raised(case: Case) -> str:
    """What calls with ordinary values raise; empty where they do not."""
    for entry in case.signatures:
        try:
            result(case, entry, Draw(signed=signed(case)))
        except Exception as error:
            return f"{named(entry)} raises {said(error)}"
    return ""


def works(case: Case) -> bool:
    """Whether it can be built and called with ordinary values."""
    return not _raised(case)


def with_finite_values(case: Case, entry: str, how: Draw) -> None:
    """Go on where these values give finite results.

    Raises:
        NotExercised: they do not, which another check tells.
    """
    if not all_finite(floats(result(case, entry, how))):
        raise NotExercised("its values are not finite: see [finite values]")


def signed(case: Case) -> bool:
    """Whether scores have both signs: those that objectives are given do."""
    return case.part.kind in OBJECTIVES


def named(entry: str) -> str:
    """An entry, or the part's own call, in words."""
    return f"'{entry}'" if entry else "forward"


def all_finite(values: abc.Iterable[Tensor]) -> bool:
    """Whether no number is infinite or not a number."""
    return all(bool(value.isfinite().all()) for value in values)
