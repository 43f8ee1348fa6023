"""What check proves: faults of other people's trainers, written as recipes, are found before training."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import latentkit as lk
from latentkit._building import wired
from latentkit.engine.training import Training
from latentkit.registry.manager import default_registry

SMALL: dict[str, object] = {"parts.E.channels_base": 4, "parts.G.channels_base": 4, "data.resolution": 8}
SMALL_ALAE: dict[str, object] = {"parts.E.hidden": 16, "parts.G.hidden": 16, "data.resolution": 8, "draw.z.dim": 6}


def problems(recipe: str, overrides: dict[str, object]) -> list[str]:
    return [str(problem) for problem in lk.check(recipe, overrides).problems]


@pytest.mark.parametrize("name", sorted(lk.recipes()))
def test_every_shipped_recipe_is_proved(name: str) -> None:
    report = lk.check(name)
    assert report.ok
    assert len(report.proved) == 3


def test_a_term_without_gradient_is_named() -> None:
    (found,) = problems("ogan", {**SMALL, "phase.generate.loss.style": "mean(square(x))"})
    assert "[phase.generate] loss.style: this term reaches no part that the phase trains (G)" in found


def test_a_perceptual_term_that_is_logged_but_cut_off_is_named() -> None:
    cut = {"use": "l2", "of": "E.features(detach(x_fake))", "to": "E.features(x)"}
    (found,) = problems("alae-mlp", {**SMALL_ALAE, "phase.generate.loss.perceptual": cut})
    assert "loss.perceptual: this term reaches no part" in found
    assert "a detach() or sign() cuts the way" in found


def test_a_trained_part_that_no_term_reaches_is_named() -> None:
    changes = {"train": ["E", "D", "F"], "loss": {"adversarial": {"fake": "D(E(detach(x_fake)))"}}}
    (found,) = problems("alae-mlp", {**SMALL_ALAE, "phase.discriminate": changes})
    assert "[phase.discriminate] train: 'F' is trained here, but no term's gradient reaches it" in found


def test_a_part_that_nobody_trains_is_named() -> None:
    untrained = {"phase.generate.train": ["G"], "phase.reciprocate.train": ["E", "G"]}
    (found,) = problems("alae-mlp", {**SMALL_ALAE, **untrained})
    assert "[parts] F: 'F' has weights, but no phase trains it" in found
    assert "frozen = true" in found


def test_a_part_without_parameters_cannot_be_trained() -> None:
    (found,) = problems("ogan", {**SMALL, "phase.encode.train": ["E", "D"]})
    assert "'D' has no parameters" in found


def test_value_ranges_must_agree() -> None:
    found = problems("ogan", {**SMALL, "data.range": [0.0, 1.0]})
    assert any("[0, 1]" in text and "[-1, 1]" in text for text in found)


def test_illegal_sizes_are_found_without_data() -> None:
    found = problems("ogan", {**SMALL, "data.resolution": 28})
    assert any("8, 16, 32, 64" in text for text in found)


def test_a_gradient_that_is_not_finite_is_found_by_the_probe() -> None:
    found = problems("ogan", {**SMALL, "phase.generate.loss.more": "sqrt(mean(x_fake) - mean(x_fake))"})
    assert any("[phase.generate]: a gradient is not finite on the probe batch" in text for text in found)


def test_a_zero_gradient_is_reported_as_not_seen() -> None:
    report = lk.check("ogan", {**SMALL, "phase.generate.loss": {"critic": {"weight": 0}, "latent": {"weight": 0}}})
    assert report.ok
    assert any("phase 'generate': no gradient seen at G." in warning for warning in report.warnings)


def test_check_opens_no_data() -> None:
    assert lk.check("ogan", {**SMALL, "data.use": "idx", "data.images": "not/there.gz"}).ok


@pytest.mark.parametrize("name", sorted(set(lk.recipes()) - {"ogan-128"}))
def test_gradients_go_to_trained_parts_and_nowhere_else(name: str) -> None:
    small = SMALL_ALAE if name.startswith("alae") else SMALL
    wiring = wired(name, {**small, "data.count": 16})
    training = Training(wiring, default_registry(), None, batch=4)
    phases = {phase.name: set(phase.spec.train) for phase in wiring.phases}
    joint = wiring.recipe.together
    values: dict[str, dict[str, Any]] = {phase: {"x": torch.rand(4, 1, 8, 8)} for phase in phases}
    for part in training.modules.values():
        for parameter in part.parameters():
            assert parameter.grad is None
    before = {part: [p.detach().clone() for p in module.parameters()] for part, module in training.modules.items()}
    seen: list[tuple[str, set[str]]] = []

    def watch(program: Any, _slots: Any, _outcome: Any) -> None:
        moved = {
            part for part, module in training.modules.items()
            if any(not torch.equal(a, b) for a, b in zip(before[part], module.parameters(), strict=True))
        }  # fmt: skip
        seen.append((program.plan.phases[0].name, moved))

    training.watch = watch
    training.step(values)
    done: set[str] = set()
    for phase, moved in seen:  # seen before the phase's own update
        assert moved == done
        done |= set().union(*phases.values()) if joint else phases[phase]
    assert all(parameter.grad is None for part in training.modules.values() for parameter in part.parameters())
