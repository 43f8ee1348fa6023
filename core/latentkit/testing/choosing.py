"""Options that have a few values: each of them chosen in turn."""

from __future__ import annotations

import contextlib
from collections import abc

import attrs

from latentkit.errors import LatentkitError
from latentkit.spaces import Space
from latentkit.testing.bench import Bench, all_finite, named, result, signed, with_finite_values
from latentkit.testing.cases import Case
from latentkit.testing.checks import Nonconforming, require, said
from latentkit.testing.kinds import few
from latentkit.testing.values import Draw, disagreement, floats


def choices(bench: Bench, case: Case) -> abc.Iterator[tuple[str, Case]]:
    """The case with each other value of the options that have a few, ``"activation = 'tanh'"``.

    Values that are refused in words are left out.
    """
    base = bench.subject.options()
    for name, kind in bench.subject.types().items():
        for value in few(kind):
            component, _ = bench.subject.configured({**base, name: value})
            if component is None or getattr(component, name) == getattr(case.part, name):
                continue
            with contextlib.suppress(LatentkitError, ValueError):
                changed = case.changed(attrs.evolve(case.part, **{name: getattr(component, name)}))
                yield f"{name} = {value!r}", changed


def every_choice_works(bench: Bench) -> None:
    """Options that are true or false, or one of a few words, work whatever is chosen."""
    for case, entry in bench.runs():
        with_finite_values(case, entry, Draw(signed=signed(case)))
    for what, case in choices(bench, bench.cases()[-1]):
        for entry, signature in case.signatures.items():
            batch = 5 if case.batched(entry) else None
            try:
                value = result(case, entry, Draw(signed=signed(case)))
            except LatentkitError:
                continue
            except Exception as error:
                raise Nonconforming(f"{what}: {named(entry)} raises {said(error)}") from error
            space = signature.output
            assert isinstance(space, Space)
            fault = disagreement(value, space, batch)
            require(not fault, f"{what}: {named(entry)} declares {space}, but its result is {fault}")
            require(all_finite(floats(value)), f"{what}: {named(entry)} is not finite")
