"""Recipes that hypothesis has changed: each is refused in words, or trains its first step.

Some hundred in the ordinary tests. ``LATENTKIT_FUZZ=20000 pytest tests/core/test_fuzz_recipes.py`` takes as many,
other ones each time, so that two at once (with ``-k mutated`` and ``-k grown``) share the work.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import math
import os
import re
import signal
import sys
from collections import abc
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import attrs
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import latentkit as lk
from latentkit.engine.monitoring import monitored
from latentkit.engine.samples import open_samples
from latentkit.engine.training import Training
from latentkit.errors import DataError, LatentkitError
from latentkit.proof import prove
from latentkit.recipe.source import read
from latentkit.registry.manager import Registry, default_registry
from latentkit.testing.narrowing import short_stages
from latentkit.wiring.assemble import assemble

EXAMPLES = int(os.environ.get("LATENTKIT_FUZZ", "300"))
LONGEST = 20
"""Seconds that one recipe may take; more is a hang."""
COMMON: dict[str, object] = {
    "train.batch": 4, "train.steps": 1, "data.resolution": 8, "data.count": 24, "draw.z.dim": 6,
}  # fmt: skip
WIDTHS = {"channels_base": 2, "max_channels": 8, "levels": 2, "hidden": 8}


def _beside(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"latentkit_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


MUTATIONS, GROWING = _beside("mutations"), _beside("growing")
PROGRAM = re.compile(
    r"(Assertion|Key|Attribute|Index|Type|NotImplemented|Overflow|ZeroDivision)Error|NoneType|object at 0x"
)
"""Words of a program that broke, not of one that refuses."""


@functools.cache
def tiny() -> dict[str, dict[str, Any]]:
    """The tables of every shipped recipe, narrow."""
    found = {}
    for name in lk.recipes():
        wiring = assemble(read(name, {}, default_registry().recipes), default_registry())
        widths = {f"parts.{part}.{option}": width for part, value in wiring.parts.items()
                  for option, width in WIDTHS.items() if option in attrs.fields_dict(type(value))}  # fmt: skip
        overrides = {**COMMON, **widths, **short_stages(wiring.source.whole, 8)}
        found[name] = dict(lk.read(name, overrides).tables)
    return found


class Hang(BaseException):
    """Not an Exception, so that nothing takes it for a fault of the recipe."""


class Watchdog:
    """Raises where a recipe takes too long."""

    def __enter__(self) -> None:
        signal.signal(signal.SIGALRM, self._bark)
        signal.alarm(LONGEST)

    def __exit__(self, *_: object) -> None:
        signal.alarm(0)

    def _bark(self, _: int, frame: FrameType | None) -> None:
        raise Hang(f"longer than {LONGEST} s")


def in_words(problems: abc.Iterable[lk.Problem]) -> None:
    """Each fault says where it is and what is wrong, without the words of a program that broke."""
    for problem in problems:
        assert problem.where.strip()
        assert problem.fact.strip()
        assert not PROGRAM.search(str(problem)), str(problem)


def judged(recipe: object, registry: Registry) -> str:
    """What becomes of a recipe: ``refused``, ``no data`` or ``trained``.

    Anything else is an error of the library: an exception that is no LatentkitError, or a recipe that is accepted and
    then does not train its first step.
    """
    try:
        source = read(recipe, {}, registry.recipes)  # type: ignore[arg-type]
        wiring = assemble(source, registry)
    except LatentkitError as error:
        in_words(getattr(error, "problems", ()))
        return "refused"
    report = prove(wiring, registry)
    in_words(report.problems)
    if not report.ok:
        return "refused"
    if any(getattr(found, "count", 0) > 100_000 for found in wiring.data.values()):
        return "no data"  # it may be made, and takes its time
    try:
        samples = {name: open_samples(name, wiring.recipe.data[name], found) for name, found in wiring.data.items()}
        training = Training(wiring, registry, samples)
    except DataError:
        return "no data"
    terms = training.step(repeats=2)
    assert all(math.isfinite(float(value)) for value in terms.values()), terms
    monitored(training)
    return "trained"


RANDOM = st.randoms(use_true_random=False)
OPTIONS = settings(
    max_examples=EXAMPLES, deadline=None, database=None, derandomize="LATENTKIT_FUZZ" not in os.environ,
    suppress_health_check=list(HealthCheck), report_multiple_bugs=False,
)  # fmt: skip


@pytest.fixture(scope="module")
def components() -> list[str]:
    return [entry.name for entry in default_registry().of_kind()]


@pytest.fixture(scope="module")
def kinds() -> dict[str, list[str]]:
    """The names of all components, by kind."""
    found: dict[str, list[str]] = {}
    for entry in default_registry().of_kind():
        found.setdefault(str(entry.kind), []).append(entry.name)
    return found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("how", ["mutated", "grown"])
def test_a_changed_recipe_is_refused_in_words_or_trains(
    how: str, components: list[str], kinds: dict[str, list[str]]
) -> None:
    ends: dict[str, int] = {}

    @OPTIONS
    @given(st.data())
    def one(data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(tiny())))
        rng = data.draw(RANDOM)
        grow = how == "grown"
        tables = GROWING.grown(tiny()[name], rng, kinds) if grow else MUTATIONS.mutated(tiny()[name], rng, components)
        torch.manual_seed(0)
        try:
            with Watchdog():
                end = judged(tables, default_registry())
        except BaseException as error:
            error.add_note(f"from {name}: {json.dumps(tables, default=str)}")
            raise
        ends[end] = ends.get(end, 0) + 1

    one()
    print(f"\n{sum(ends.values())} recipes: {ends}")
    assert ends["trained"] > EXAMPLES / 50  # mutations that break everything would test nothing
    assert ends["refused"] > EXAMPLES / 4


def test_a_damaged_file_is_refused_in_words_or_trains(tmp_path: Path) -> None:
    ends: dict[str, int] = {}
    file = tmp_path / "mine.toml"
    texts = {name: default_registry().recipes[name].read_text() for name in lk.recipes() if name != "ogan-128"}

    @OPTIONS
    @given(st.data())
    def one(data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(texts)))
        file.write_bytes(MUTATIONS.damaged(texts[name], data.draw(RANDOM)))
        try:
            with Watchdog():
                source = read(file, {}, default_registry().recipes)
                assemble(source, default_registry())
            end = "read"
        except LatentkitError as error:
            in_words(getattr(error, "problems", ()))
            end = "refused"
        ends[end] = ends.get(end, 0) + 1

    one()
    assert ends["refused"] > EXAMPLES / 4
