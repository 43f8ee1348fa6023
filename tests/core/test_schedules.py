"""Numbers in recipes: every schedule at its start, middle, end and outside, and every message about a wrong one."""

from __future__ import annotations

import math

import pytest

from latentkit.recipe.quantities import Constant, Formula, Ramp, Stairs, is_static, read_quantity

RAMP = {"from": 1.0, "to": 16.0, "over": 100}
MIDDLES = {"linear": 8.5, "cosine": 8.5, "sine": 8.5, "exponential": 4.0}
QUARTERS = {
    "linear": 4.75,
    "cosine": 1 + 15 * math.sin(math.pi / 8) ** 2,
    "sine": 1 + 15 * math.sin(math.pi / 8) ** 2,
    "exponential": 2.0,
}


def value(text: object, step: int = 0, images: int = 0) -> float:
    quantity = read_quantity(text)
    assert not isinstance(quantity, Formula)
    return quantity.at(step, images)


@pytest.mark.parametrize("shape", MIDDLES)
@pytest.mark.parametrize("start", [0, 40])
@pytest.mark.parametrize("unit", ["steps", "images"])
def test_ramp_runs_from_start_to_end_and_is_constant_outside(shape: str, start: int, unit: str) -> None:
    table = {**RAMP, "shape": shape, "start": start, "unit": unit}
    wanted = {-30: 1.0, 0: 1.0, 25: QUARTERS[shape], 50: MIDDLES[shape], 100: 16.0, 101: 16.0, 10**9: 16.0}
    for after, number in wanted.items():
        clock = {"step": start + after, "images": 7} if unit == "steps" else {"step": 7, "images": start + after}
        assert value(table, **clock) == pytest.approx(number, rel=1e-12)


def test_ramp_is_linear_from_step_0_by_default() -> None:
    assert read_quantity(RAMP) == Ramp(
        start_value=1.0, end_value=16.0, over=100.0, shape="linear", start=0.0, unit="steps"
    )
    assert value(RAMP, step=10) == pytest.approx(2.5)
    assert value(RAMP, step=10, images=5000) == pytest.approx(2.5)


@pytest.mark.parametrize("shape", MIDDLES)
def test_ramp_may_fall(shape: str) -> None:
    falling = {"from": 16.0, "to": 1.0, "over": 100, "shape": shape}
    assert value(falling) == 16.0
    assert value(falling, step=50) == pytest.approx(MIDDLES[shape])
    assert value(falling, step=200) == pytest.approx(1.0)


@pytest.mark.parametrize("shape", ["cosine", "sine"])
def test_half_wave_is_slow_at_both_ends(shape: str) -> None:
    table = {"from": 0.0, "to": 1.0, "over": 100, "shape": shape}
    rises = [value(table, step=step + 1) - value(table, step=step) for step in (0, 49, 99)]
    assert rises[0] == pytest.approx(rises[2])
    assert rises[1] > 50 * rises[0]


def test_exponential_ramp_has_equal_ratios_and_may_be_negative() -> None:
    table = {"from": -1.0, "to": -8.0, "over": 3, "shape": "exponential"}
    assert [value(table, step=step) for step in range(4)] == pytest.approx([-1.0, -2.0, -4.0, -8.0])


@pytest.mark.parametrize("shape", ["linear", "cosine", "sine"])
def test_ramp_may_pass_through_zero(shape: str) -> None:
    assert value({"from": -1, "to": 1, "over": 10, "shape": shape}, step=5) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("unit", ["steps", "images"])
def test_stairs_change_at_their_times(unit: str) -> None:
    table = {"steps": [[10, 0.5], [20, 0.25], [30, 2]], "unit": unit}
    wanted = {0: 0.5, 9: 0.5, 10: 0.5, 19: 0.5, 20: 0.25, 29: 0.25, 30: 2, 10**9: 2}
    for clock, number in wanted.items():
        at = {"step": clock, "images": 15} if unit == "steps" else {"step": 15, "images": clock}
        assert value(table, **at) == number


def test_stairs_count_steps_by_default() -> None:
    assert read_quantity({"steps": [[0, 1.0]]}) == Stairs(steps=((0.0, 1.0),), unit="steps")
    assert value({"steps": [[0, 1.0], [5, 2.0]]}, step=4, images=500) == 1.0


@pytest.mark.parametrize("number", [0, 3, -2.5, 1e-3])
def test_number_is_the_same_at_any_time(number: float) -> None:
    assert read_quantity(number) == Constant(number)
    assert value(number, step=10**6, images=10**9) == number


def test_text_is_an_expression_where_one_may_stand() -> None:
    assert read_quantity("2 * beta") == Formula("2 * beta")


@pytest.mark.parametrize(
    ("table", "static"),
    [
        (3, True),
        (3.0, False),
        ({"steps": [[0, 1], [100, 2]]}, True),
        ({"steps": [[0, 1], [100, 2.0]]}, False),
        ({"from": 1, "to": 2, "over": 100}, False),
        ("beta", False),
    ],
)
def test_only_whole_numbers_may_choose_structure(table: object, static: bool) -> None:
    assert is_static(read_quantity(table)) is static


EXPECTED = "expected a number, a schedule { from, to, over } or { steps = [[at, value], ...] }"
MESSAGES = [
    (True, f"{EXPECTED}, or an expression; found true"),
    (None, f"{EXPECTED}, or an expression; found None"),
    ([0.1], f"{EXPECTED}, or an expression; found [0.1]"),
    ({"to": 1, "over": 2}, f"{EXPECTED}, or an expression; found {{ to = 1, over = 2 }}"),
    ({"steps": 3}, "expected steps = [[at, value], ...], found 3"),
    ({"steps": []}, "expected steps = [[at, value], ...], found []"),
    ({"steps": [3]}, "expected a pair [at, value] in 'steps', found 3"),
    ({"steps": [[0, 1, 2]]}, "expected a pair [at, value] in 'steps', found [0, 1, 2]"),
    ({"steps": [["0", 1]]}, "'steps' must be a finite number, found \"0\""),
    ({"steps": [[0, True]]}, "'steps' must be a finite number, found true"),
    ({"steps": [[0, math.inf]]}, "'steps' must be a finite number, found inf"),
    ({"steps": [[5, 1], [5, 2]]}, "the times in 'steps' must increase, found 5 after 5"),
    ({"steps": [[5, 1], [4, 2]]}, "the times in 'steps' must increase, found 4 after 5"),
    ({"steps": [[0, 1]], "unit": "epochs"}, "'unit' must be one of steps, images; found \"epochs\""),
    ({"steps": [[0, 1]], "shape": "linear"}, "a schedule has no key 'shape'; it has steps, unit"),
    ({"steps": [[0, 1]], "from": 1}, "a schedule has no key 'from'; it has steps, unit"),
    ({"from": 1}, "a schedule with 'from' also needs 'to' and 'over'"),
    ({"from": 1, "over": 2}, "a schedule with 'from' also needs 'to'"),
    ({"from": 1, "to": 2}, "a schedule with 'from' also needs 'over'"),
    (
        {**RAMP, "until": 3, "a": 1},
        "a schedule has no key 'a'; it has from, over, shape, start, to, unit",
    ),
    ({**RAMP, "from": "1"}, "'from' must be a finite number, found \"1\""),
    ({**RAMP, "to": math.nan}, "'to' must be a finite number, found nan"),
    ({**RAMP, "over": False}, "'over' must be a finite number, found false"),
    ({**RAMP, "start": [0]}, "'start' must be a finite number, found [0]"),
    ({**RAMP, "over": 0}, "'over' must be positive, found 0"),
    ({**RAMP, "over": -2.5}, "'over' must be positive, found -2.5"),
    (
        {**RAMP, "shape": "step"},
        "'shape' must be one of linear, cosine, exponential, sine; found \"step\"",
    ),
    ({**RAMP, "unit": "epochs"}, "'unit' must be one of steps, images; found \"epochs\""),
    (
        {**RAMP, "shape": "exponential", "from": 0},
        "an exponential schedule needs 'from' and 'to' of one sign, neither of them 0",
    ),
    (
        {**RAMP, "shape": "exponential", "to": -1},
        "an exponential schedule needs 'from' and 'to' of one sign, neither of them 0",
    ),
]


@pytest.mark.parametrize(("table", "message"), MESSAGES)
def test_wrong_number_is_refused_with_what_was_expected(table: object, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is compared in full
        read_quantity(table)
    assert str(caught.value) == message


def test_expression_is_refused_where_only_time_may_decide() -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is compared in full
        read_quantity("beta", formula=False)
    assert str(caught.value) == f'{EXPECTED}; found "beta"'
