"""What one step does: repeats, lazy terms, one forward, draws, kept values, states, rates, constraints."""

from __future__ import annotations

from collections import abc
from typing import Any

import pytest
import torch
from torch import Tensor

from latentkit.engine.monitoring import monitored
from latentkit.engine.training import Training
from latentkit.errors import LatentkitError, RecipeError

Start = abc.Callable[..., Training]
Tables = dict[str, object]


def values(training: Training, steps: int = 1) -> list[dict[str, Any]]:
    """Per execution, the values that came from outside by name, and ``phase``."""
    seen: list[dict[str, Any]] = []

    def watch(program: Any, slots: Any, _outcome: Any) -> None:
        given = {value[1]: slots[slot] for slot, value, _ in program.inputs if isinstance(value[1], str)}
        seen.append({"phase": program.plan.phases[0].name, **{key: copied(value) for key, value in given.items()}})

    training.watch = watch
    for _ in range(steps):
        training.step()
    return seen


def copied(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, Tensor) else value


def gradients(training: Training) -> list[dict[str, list[Tensor]]]:
    seen: list[dict[str, list[Tensor]]] = []
    training.watch = lambda _program, _slots, outcome: seen.append(outcome.gradients)
    training.step()
    return seen


def calls(training: Training, part: str) -> list[int]:
    """A list that grows by one with each call of the part."""
    found: list[int] = []
    training.modules[part].register_forward_hook(lambda *_: found.append(1))
    return found


def test_repeat_follows_its_schedule_on_fresh_data_and_draws(start: Start) -> None:
    training = start("wgan")
    positions, counts = [], []
    for _ in range(4):
        seen = values(training)
        critic = [item for item in seen if item["phase"] == "discriminate"]
        counts.append(len(critic))
        assert len(seen) == len(critic) + 1
        for name in ("x", "z"):
            different = {tuple(item[name].flatten().tolist()) for item in critic}
            assert len(different) == len(critic), name
        positions.append(training.positions["data"])
    assert counts == [7, 7, 5, 5]
    assert positions == [7, 14, 19, 24]


def test_first_execution_of_a_repeat_uses_the_batch_of_the_step(start: Start) -> None:
    seen = values(start("age"))
    assert [item["phase"] for item in seen] == ["encode", "generate", "generate"]
    overrides = {"flow.same": "x", "phase.generate.loss.data": "0 * sum(same)"}
    seen = values(start("age", overrides))
    assert torch.equal(seen[0]["x"], seen[1]["x"])
    assert not torch.equal(seen[1]["x"], seen[2]["x"])


def test_lazy_term_is_taken_on_its_steps_and_scaled(start: Start) -> None:
    lazy = start("gan-r1-lazy", {"phase.discriminate.loss.r1.every": 4})
    taken = [("discriminate", "r1") in lazy.step() for _ in range(9)]
    assert taken == [True, False, False, False, True, False, False, False, True]
    lazy, plain, without = (
        gradients(start("gan-r1-lazy", {"phase.discriminate.loss.r1": {"every": every, "weight": weight}}))
        for every, weight in ((4, 5), (1, 20), (1, 0))
    )
    for mine, wanted in zip(lazy[0]["discriminate"], plain[0]["discriminate"], strict=True):
        torch.testing.assert_close(mine, wanted)
    assert not torch.equal(lazy[0]["discriminate"][0], without[0]["discriminate"][0])


def test_phase_without_an_active_term_is_skipped(start: Start) -> None:
    training = start("gan", {"phase.generate.every": 2, "phase.discriminate.loss.adversarial.every": 3})
    phases = [[key[0] for key in training.step()] for _ in range(4)]
    assert phases == [["discriminate", "generate"], [], ["generate"], ["discriminate"]]
    slot = training.slots["", "G"]
    assert set(slot.steps) == {2}


def test_together_runs_each_part_once_per_different_input(start: Start) -> None:
    training = start("ogan")
    counted = {part: calls(training, part) for part in "EGD"}
    training.step()
    assert {part: len(found) for part, found in counted.items()} == {"E": 2, "G": 1, "D": 2}


def test_together_updates_after_all_gradients(start: Start) -> None:
    joint = start("ogan")
    before = {name: copied(tensor) for name, tensor in joint.modules["E"].state_dict().items()}
    seen = []
    joint.watch = lambda *_: seen.append(
        all(torch.equal(before[key], value) for key, value in joint.modules["E"].named_parameters())
    )
    joint.step()
    assert seen == [True]


def test_part_called_twice_on_equal_arguments_runs_once(start: Start) -> None:
    extra = {"parts.S": {"use": "toy.noisy-enc", "dim": 3}, "flow.a": "S(x)", "flow.b": "S(x)"}
    training = start("gan", extra | {"phase.discriminate.loss.s": "sum(square(a)) - sum(square(b)) + 0 * sum(S(x))"})
    counted = calls(training, "S")
    assert float(training.step()["discriminate", "s"]) == 0
    assert len(counted) == 1


def test_two_draws_make_two_calls(start: Start) -> None:
    extra = {"draw.z2": {"use": "normal", "dim": 6}, "flow.other": "G(z2)", "flow.again": "G(z)"}
    training = start("gan", extra | {"phase.generate.loss.s": "mean(square(x_fake - other)) + 0 * mean(again)"})
    counted = calls(training, "G")
    terms = training.step()
    assert float(terms["generate", "s"]) > 0
    assert len(counted) == 1 + 2


def test_another_draw_disturbs_no_draw_and_no_initial_weight(start: Start) -> None:
    extra = {"draw.a": {"use": "normal", "like": "x"}, "parts.Q": {"use": "toy.enc", "dim": 6}}
    extra |= {"phase.generate.loss.s": "0 * sum(Q(x_fake + a))"}
    plain, hybrid = start("gan"), start("gan", extra)
    for part in ("G", "D"):
        for mine, theirs in zip(plain.modules[part].parameters(), hybrid.modules[part].parameters(), strict=True):
            assert torch.equal(mine, theirs)
    for mine, theirs in zip(values(plain, 3), values(hybrid, 3), strict=True):
        assert mine["phase"] == theirs["phase"]
        assert all(torch.equal(mine[name], theirs[name]) for name in ("x", "z") if name in mine)


def test_draws_are_fresh_in_each_phase_unless_per_step(start: Start) -> None:
    first, second, *_ = values(start("gan"), 2)
    assert not torch.equal(first["z"], second["z"])
    first, second, third, _ = values(start("gan", {"draw.z.per": "step"}), 2)
    assert torch.equal(first["z"], second["z"])
    assert not torch.equal(first["z"], third["z"])


def test_data_per_phase_is_fresh_in_each_phase(start: Start) -> None:
    overrides = {"data.per": "phase", "phase.generate.loss.data": "0 * sum(x)"}
    training = start("gan", overrides)
    first, second = values(training)
    assert not torch.equal(first["x"], second["x"])
    assert training.positions == {"data": 2}


def test_kept_value_survives_the_update(start: Start) -> None:
    training = start("cyclegan")
    made: dict[str, Tensor] = {}
    given: dict[str, Tensor] = {}
    training.modules["G"].register_forward_hook(lambda _m, _a, result: made.setdefault("fake_b", result.detach()))
    generate, discriminate = values(training)
    given.update(discriminate)
    assert "fake_b" not in generate
    assert torch.equal(given["fake_b"], made["fake_b"])


@pytest.mark.parametrize("keep", ["p", "u"])
def test_kept_value_does_not_follow_the_state_or_parameter_it_was(keep: str, start: Start) -> None:
    overrides = {
        "parts.U": {"use": "core.parameter", "shape": [8, 6]}, "flow.u": "U()", "state.p": {"next": "p + 1"},
        "phase.discriminate": {"train": ["D", "U"], "keep": [keep], "loss": {"u": "sum(square(u)) + 0 * p"}},
        "phase.generate.loss.k": {"p": "p", "u": "mean(u)"}[keep],
    }  # fmt: skip
    training = start("gan", overrides)
    training.step()
    before = training.states["p"].clone() if keep == "p" else training.modules["U"].value.detach().clone()
    _, generate = values(training)
    assert torch.equal(generate[keep], before)


@pytest.mark.parametrize("key", ["every", "repeat"])
def test_keep_needs_a_phase_that_runs_in_every_step(key: str, start: Start) -> None:
    with pytest.raises(RecipeError, match=r"\[phase\.encode\] keep"):
        start("introvae", {f"phase.encode.{key}": {"every": 2, "repeat": {"steps": [[0, 1], [5, 0]]}}[key]})


def test_states_read_the_values_before_any_state_changed(start: Start) -> None:
    swap = {
        "state.a": {"start": 1, "next": "b", "after": ["generate"]},
        "state.b": {"start": 2, "next": "a", "after": ["generate"]},
    }  # fmt: skip
    training = start("gan", swap)
    training.step()
    assert {name: float(value) for name, value in training.states.items()} == {"a": 2, "b": 1}


def test_state_follows_every_execution_of_its_phases(start: Start) -> None:
    count = {"next": "s + 1"}
    training = start("sngan", {
        "state.s": count, "state.t": {"next": "t + 1", "after": ["generate"]},
        "state.u": {"next": "u + 1", "after": ["generate"], "every": 2},
    })  # fmt: skip
    for _ in range(3):
        training.step()
    assert {name: float(value) for name, value in training.states.items()} == {"s": 18, "t": 3, "u": 2}


def test_a_state_that_nothing_reads_has_the_size_of_its_next_value(start: Start) -> None:
    training = start("gan", {"state.s": {"next": "batch_mean(z)"}, "state.n": {"next": "0.5"}})
    training.step()
    assert training.states["s"].shape == (6,)
    assert float(training.states["n"]) == 0.5


def test_mean_and_sum_of_a_value_without_a_batch_are_over_all_of_it(start: Start) -> None:
    followed = {"next": "lerp(s, batch_mean(z), 1.0)"}
    training = start("gan", {"state.s": followed, "state.m": {"next": "mean(s)"}, "state.a": {"next": "sum(s)"}})
    for _ in range(2):
        before = training.states["s"].clone()
        training.step({phase.name: {"z": torch.ones(training.batch, 6)} for phase in training.wiring.phases})
    assert float(training.states["m"]) == 1.0
    assert float(training.states["a"]) == 6.0
    assert torch.equal(before, torch.ones(6))


def test_state_sees_the_values_before_the_update(start: Start) -> None:
    training = start("alae-mlp", {"state.w_avg.after": ["reciprocate"]})
    mapping = training.modules["F"]
    means: list[Tensor] = []
    mapping.register_forward_hook(lambda _m, _a, result: means.append(result.detach().mean(0)))
    training.step()
    torch.testing.assert_close(training.states["w_avg"], 0.005 * means[-1])


def test_weight_and_rate_expressions_carry_no_gradient(start: Start) -> None:
    free, constant = (
        start("gan", {"phase.generate.loss.adversarial": {"weight": weight}})
        for weight in ("2 + 0 * batch_mean(fake)", 2)
    )
    mine, wanted = (gradients(training)[1]["generate"] for training in (free, constant))
    assert all(torch.equal(a, b) for a, b in zip(mine, wanted, strict=True))


def test_rate_expression_follows_the_values_of_the_execution(start: Start) -> None:
    rates = {"optimizer.G.lr": "0 * batch_mean(fake)", "optimizer.D.lr": {"steps": [[0, 0.0], [1, 1e-3]]}}
    training = start("gan", rates)
    before = {name: [copied(p) for p in part.parameters()] for name, part in training.modules.items()}

    def moved() -> set[str]:
        return {
            name for name, part in training.modules.items()
            if any(not torch.equal(a, b) for a, b in zip(before[name], part.parameters(), strict=True))
        }  # fmt: skip

    training.step()
    assert moved() == set()
    training.step()
    assert moved() == {"D"}


def test_constraint_holds_after_each_update(start: Start) -> None:
    training = start("wgan", {"optimizer.lr": 0.1})
    training.step()
    assert max(float(p.detach().abs().max()) for p in training.modules["D"].parameters()) == pytest.approx(0.01)


def test_frozen_part_stays_in_evaluation_mode(start: Start) -> None:
    training = start("perceptual-vae")
    training.step()
    assert {name: part.training for name, part in training.modules.items()} == {"E": True, "G": True, "C": False}


def test_phase_with_its_own_optimizer_has_its_own_state(start: Start) -> None:
    training = start("aae")
    training.step()
    assert set(training.slots) == {("", "E"), ("", "G"), ("", "D"), ("confuse", "E")}
    assert not torch.equal(*(training.slots[owner, "E"].slots["momentum"][0] for owner in ("", "confuse")))


def test_average_follows_after_the_step(start: Start) -> None:
    training = start("gan-r1-lazy", {"average.slow.decay": 0.9})
    wanted = [copied(p) for p in training.modules["G"].parameters()]
    for _ in range(3):
        training.step()
        parameters = training.modules["G"].parameters()
        wanted = [torch.lerp(old, p.detach(), 0.1) for old, p in zip(wanted, parameters, strict=True)]
    found = [value for key, value in training.averages["slow"].tensors().items()]
    for mine, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_draw_that_nothing_shapes_is_one_number_per_sample(start: Start) -> None:
    assert values(start("wgan-gp"))[0]["t"].shape == (8,)


def test_draw_like_half_a_batch_has_half_a_batch(start: Start) -> None:
    (seen,) = values(start("gaia"))
    assert seen["t1"].shape == seen["t2"].shape == (4,)


def test_labels_are_one_hot_of_all_classes(start: Start) -> None:
    seen = values(start("biggan"))[0]
    assert seen["y"].shape == (8, 10)
    assert seen["y"].dtype == torch.float32
    assert torch.equal(seen["y"].sum(1), torch.ones(8))


def test_classes_that_no_sample_has_still_count(start: Start) -> None:
    start("biggan", {"data.count": 9}).step()


def test_static_scalar_chooses_structure_and_a_real_one_blends(start: Start) -> None:
    training = start("stylealae")
    upper = training.modules["G"].high[0].weight
    before = copied(upper)
    seen = values(training, 4)
    assert torch.equal(upper, before)
    assert all(type(item["lod"]) is int and item["lod"] == 0 for item in seen)
    seen = values(training, 1)
    assert not torch.equal(upper, before)
    assert seen[0]["lod"] == 1
    assert float(seen[0]["blend"]) == 0.25


def test_supplied_values_replace_sources_of_their_phase(start: Start) -> None:
    training, x, z = start("gan"), torch.zeros(8, 1, 8, 8), torch.ones(8, 6)
    seen: list[Any] = []
    training.watch = lambda program, slots, _outcome: seen.append(
        {value[1]: slots[slot] for slot, value, _ in program.inputs}
    )
    training.step({"discriminate": {"x": x, "z": z}})
    assert torch.equal(seen[0]["x"], x)
    assert torch.equal(seen[0]["z"], z)
    assert not torch.equal(seen[1]["z"], z)


@pytest.mark.parametrize("given", [{"discriminat": {"z": 0}}, {"discriminate": {"zz": 0}}])
def test_supplied_value_that_nothing_takes_is_refused(given: Any, start: Start) -> None:
    with pytest.raises(LatentkitError, match=r"discriminat|zz"):
        start("gan").step(given)


@pytest.mark.parametrize(
    "expression",
    ["exp(g)", "sigmoid(g)", "relu(g)", "detach(g)", "mean(g)", "batch_mean(g)", "clip(g, 0, 1)", "exp(0.5)"],
)
@pytest.mark.parametrize("number", [0.5, {"from": 0.5, "to": 1.0, "over": 10}])
def test_operations_take_plain_numbers_and_schedules_alike(expression: str, number: object, start: Start) -> None:
    training = start("gan", {"scalars.g": number, "flow.fake": f"D(x_fake) * {expression}"})
    training.step()
    training = start("gan", {"scalars.g": number, "phase.generate.loss.adversarial.weight": expression})
    training.step()


def test_monitor_leaves_training_as_it_is(start: Start) -> None:
    watched = start("ogan", {"monitor.m": "batch_mean(real)"})
    before = {key: copied(value) for key, value in watched.system.state_dict().items()}
    assert set(monitored(watched)) == {"m"}
    after = watched.system.state_dict()
    assert [key for key in before if not torch.equal(before[key], after[key])] == []
