"""What ships composes: every two choices of the matrix meet, and each system is accepted, or refused with a reason."""

from __future__ import annotations

import itertools
import math
import random
import re
import sys
from pathlib import Path

import attrs
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from composition.axes import AXES, Axes, Cell, Choice
from composition.cells import tables
from composition.covering import Allowed, covering, everything
from composition.page import Result, cause, page
from composition.shipped import shipped_axes
from composition.trials import Fault, trial
from composition.verdicts import Count, Judge, Refused, alike, choices, decide

from latentkit.proof.static import static_problems
from latentkit.registry.catalogue import read_catalogue, shipped_catalogue
from latentkit.registry.manager import Registry

GOOD = {
    "encoder": "mlp.encoder", "generator": "mlp.generator sigmoid", "range": "[0, 1]", "prior": "core.normal",
    "discriminator": "dcgan.discriminator", "adversarial": "logistic", "reciprocity": "core.l2 of latents",
    "regularizer": "none",
}  # fmt: skip
"""A system that is accepted."""
SLIPS = re.compile(r"unknown key|is no value|is missing|needs '|is called|cannot be|at least|expected")
"""What is said of recipes that were written wrongly, by the matrix itself."""


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry(read_catalogue(shipped_catalogue()), ())


@pytest.fixture(scope="module")
def axes(registry: Registry) -> Axes:
    return shipped_axes(registry)[0]


@pytest.fixture(scope="module")
def judge(axes: Axes, registry: Registry) -> Judge:
    return Judge(axes, registry)


@pytest.fixture(scope="module")
def thin(axes: Axes) -> Axes:
    """Two choices on four of the axes, of which some do not go together, and one on the others."""
    more = {
        "encoder": "dcgan.posterior", "prior": "core.uniform", "reciprocity": "core.kl of posteriors",
        "regularizer": "core.r1 on real (R1)",
    }  # fmt: skip
    return {axis: tuple(named(axes, axis, names[axis]) for names in (GOOD, more) if axis in names) for axis in AXES}


def named(axes: Axes, axis: str, name: str) -> Choice:
    (found,) = [choice for choice in axes[axis] if choice.name == name]
    return found


def cell(axes: Axes, **changes: str) -> Cell:
    return Cell(**{axis: named(axes, axis, name) for axis, name in (GOOD | changes).items()})


def reason(judge: Judge, asked: Cell) -> str:
    try:
        judge.wiring(asked)
    except Refused as error:
        return error.reason
    return ""


def test_every_two_choices_meet_in_a_system_that_is_accepted_or_refused_with_a_reason(axes: Axes, judge: Judge) -> None:
    met: set[tuple[tuple[int, Choice], ...]] = set()
    accepted = []
    for asked in covering(everything(axes)):
        met |= set(itertools.combinations(enumerate(choices(asked)), 2))
        why = reason(judge, asked)
        if not why:
            accepted.append(asked)
        assert not SLIPS.search(why), f"{asked}: {why}"
    assert len(met) == sum(len(axes[one]) * len(axes[two]) for one, two in itertools.combinations(AXES, 2))
    assert len(accepted) > 10
    for asked in accepted:
        assert static_problems(judge.wiring(asked)) == []


def test_components_that_ship_stand_on_an_axis_or_are_left_out_with_a_reason(registry: Registry) -> None:
    axes, left_out = shipped_axes(registry)
    used = {choice.use for axis in AXES for choice in axes[axis]}
    used |= {str(side) for choice in axes["adversarial"] for side in choice.options.values()}
    kinds = ("encoder", "generator", "discriminator", "prior", "loss", "regularizer")
    shipped = {entry.name for kind in kinds for entry in registry.of_kind(kind)}
    assert shipped - used == set(left_out)
    assert all(left_out.values())


def test_most_choices_are_accepted_beside_a_system_that_is(axes: Axes, judge: Judge) -> None:
    assert reason(judge, cell(axes)) == ""
    refused = {
        choice.name: reason(judge, attrs.evolve(cell(axes), **{axis: choice})) for axis in AXES for choice in axes[axis]
    }
    assert refused["core.index"] == "G wants w: latent, was given index"
    assert refused["cyclegan.generator"] == "G wants x: image in [-1, 1], was given latent"
    assert refused["mlp.generator tanh"] == "E wants x: image in [0, 1], was given image in [-1, 1]"
    assert refused["core.kl of posteriors"] == "kl wants of: posterior, was given latent"
    assert sum(not why for why in refused.values()) > 0.7 * len(refused)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"reciprocity": "core.kl of posteriors", "encoder": "dcgan.posterior"}, ""),
        ({"reciprocity": "none"}, "'E' has weights, but no phase trains it"),
        ({"reciprocity": "none", "discriminator": "dcgan.pair-discriminator"}, ""),
        ({"reciprocity": "none", "discriminator": "ogan.mean-score"}, ""),
        ({"reciprocity": "core.bernoulli-nll of pixels"}, ""),
        (
            {"reciprocity": "core.bernoulli-nll of pixels", "range": "[-1, 1]", "generator": "mlp.generator linear"},
            "bernoulli-nll wants to: image in [0, 1], was given image in [-1, 1]",
        ),
        (
            {"discriminator": "ogan.mean-score", "regularizer": "spectral norm"},
            "'D' has no parameters that it could act on",
        ),
    ],
)
def test_a_system_is_refused_for_what_is_wrong_with_it(
    axes: Axes, judge: Judge, changes: dict[str, str], expected: str
) -> None:
    assert reason(judge, cell(axes, **changes)) == expected


def test_choices_that_are_taken_for_alike_have_one_verdict(axes: Axes, judge: Judge) -> None:
    leaders = {axis: {choice: group[0] for group in alike(axes[axis]) for choice in group} for axis in AXES}
    draw = random.Random(0)
    for _ in range(150):
        asked = Cell(
            **{axis: draw.choice([it for it in axes[axis] if it.name != "cyclegan.generator"]) for axis in AXES}
        )
        leader = Cell(**{axis: leaders[axis][getattr(asked, axis)] for axis in AXES})
        assert bool(reason(judge, asked)) == bool(reason(judge, leader)), f"{asked}, beside {leader}"


def test_the_verdicts_of_a_small_matrix_are_those_of_its_cells(thin: Axes, registry: Registry) -> None:
    judge = Judge(thin, registry)
    counts = decide(judge)
    every = [Cell(*found) for found in itertools.product(*thin.values())]
    assert sum(count.cells for count in counts) == len(every) == math.prod(map(len, thin.values())) == 16
    allowed = Allowed(thin, counts)
    good = [asked for asked in every if not reason(judge, asked)]
    assert [asked for asked in every if asked in allowed] == good
    assert len(good) == 12  # all but a divergence of posteriors without them
    sample = covering(allowed)
    assert set(sample) <= set(good)
    met = {pair for asked in sample for pair in itertools.combinations(enumerate(choices(asked)), 2)}
    assert met == {pair for asked in good for pair in itertools.combinations(enumerate(choices(asked)), 2)}
    assert len(sample) < len(good)


def test_the_cause_of_a_refusal_is_what_no_accepted_system_has_together(thin: Axes, registry: Registry) -> None:
    counts = decide(Judge(thin, registry))
    refused, accepted = ([count for count in counts if bool(count.reason) == wanted] for wanted in (True, False))
    found = {axis: [choice.name for choice in them] for axis, them in cause(refused, accepted).items()}
    assert found == {"encoder": ["mlp.encoder"], "reciprocity": ["core.kl of posteriors"]}


def test_a_system_that_is_accepted_trains(axes: Axes, judge: Judge) -> None:
    assert trial(judge, cell(axes, regularizer="core.gradient-penalty two-sided")) is None


def test_a_trial_tells_at_which_stage_it_failed(axes: Axes, judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = trial(judge, cell(axes, prior="core.index"))
    assert refused == Fault(cell(axes, prior="core.index"), "wiring", "G wants w: latent, was given index")
    monkeypatch.setattr("composition.trials.weights_are_finite", lambda training: False)
    unsound = trial(judge, cell(axes))
    assert unsound == Fault(cell(axes), "numbers", "after step 1 a weight is not finite")


def test_the_page_has_the_counts_the_reasons_and_the_recipes_of_faults(thin: Axes, registry: Registry) -> None:
    judge = Judge(thin, registry)
    counts: list[Count] = decide(judge)
    fault = Fault(cell(thin), "step", "ZeroDivisionError: division by zero")
    result = Result(
        axes=thin, left_out={"x.y": "a loss with the ports -> score"}, counts=counts, wirings=judge.wirings,
        seconds=1.0, checked=5, sample=7, faults=[fault], trained=2.0, command="python benchmarks/matrix.py",
    )  # fmt: skip
    text = page(result, judge)
    assert "| systems | 16 |" in text
    assert "| accepted | 12 (75 %) |" in text
    assert "| encoder (2) | `mlp.encoder` 50 %, `dcgan.posterior` 100 % |" in text
    why = "kl wants of: posterior, was given latent"
    assert f"| 4 | {why} | encoder `mlp.encoder`; reciprocity `core.kl of posteriors` |" in text
    assert "- `x.y`: a loss with the ports -> score" in text
    assert "`step`: ZeroDivisionError: division by zero" in text
    assert str(tables(cell(thin), 8)["title"]) in text
    assert max(map(len, text.partition("|")[0].splitlines())) <= 120
