"""What check proves: faults of other people's trainers, written as recipes, are found before training."""

from __future__ import annotations

from collections import abc
from typing import Any, ClassVar

import attrs
import pytest
import torch
from torch import Tensor, nn

import latentkit as lk
from latentkit._building import wired
from latentkit.engine.training import Training
from latentkit.proof.synthetic import Synthetic
from latentkit.registry.catalogue import read_catalogue, shipped_catalogue
from latentkit.registry.manager import Registry, default_registry

SMALL: dict[str, object] = {"parts.E.channels_base": 4, "parts.G.channels_base": 4, "data.resolution": 8}
SMALL_ALAE: dict[str, object] = {"parts.E.hidden": 16, "parts.G.hidden": 16, "data.resolution": 8, "draw.z.dim": 6}


TOO_COSTLY = ("biggan-128", "gaia-128")
"""Recipes of which no step is probed."""


def problems(recipe: str, overrides: dict[str, object]) -> list[str]:
    return [str(problem) for problem in lk.check(recipe, overrides).problems]


@pytest.mark.parametrize("name", sorted(lk.recipes()))
def test_every_shipped_recipe_is_proved(name: str) -> None:
    staged = "stage" in lk.read(name).tables
    report = lk.check(name, thorough=not staged and name not in TOO_COSTLY)  # these would take half a minute and more
    assert report.ok
    assert len(report.graph) == 4
    assert len(report.shapes) == (3 if staged else 2)
    assert len(report.probe) == (0 if name in TOO_COSTLY else 3)
    assert report.warnings == ()


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


@pytest.mark.parametrize(
    ("key", "value"),
    [("spectral_norm", True), ("init", {"use": "normal-init"}), ("constraint", {"use": "clip-weights"})],
)
def test_what_acts_on_weights_needs_some(key: str, value: object) -> None:
    (found,) = problems("ogan", {**SMALL, f"parts.D.{key}": value})
    assert f"[parts] D.{key}: 'D' has no parameters that it could act on" in found
    assert f"take {key} out" in found


def test_value_ranges_must_agree() -> None:
    found = problems("ogan", {**SMALL, "data.range": [0.0, 1.0]})
    assert any("[0, 1]" in text and "[-1, 1]" in text for text in found)


def test_illegal_sizes_are_found_without_data() -> None:
    found = problems("ogan", {**SMALL, "data.resolution": 28})
    assert any("8, 16, 32, 64" in text for text in found)


def test_a_trained_part_of_illegal_sizes_is_not_taken_for_one_without_parameters() -> None:
    generator, discriminator = problems("gan", {"data.resolution": 12})
    assert "[parts] G: dcgan.generator: dcgan: image of 12 x 12; expected a square of side 8" in generator
    assert "[parts] D: dcgan.discriminator: dcgan: image of 12 x 12; expected a square of side 8" in discriminator


def test_a_gradient_that_is_not_finite_is_found_by_the_probe() -> None:
    found = problems("ogan", {**SMALL, "phase.generate.loss.more": "sqrt(mean(x_fake) - mean(x_fake))"})
    assert any("[phase.generate]: a gradient is not finite on the probe batch" in text for text in found)


def test_a_division_by_black_pixels_is_found_by_the_probe() -> None:
    (found,) = problems("alae-mlp", {**SMALL_ALAE, "phase.generate.loss.more": "mean(square(x_fake) / x)"})
    assert "[phase.generate] loss.more: is not finite on the probe batch" in found


def test_a_zero_gradient_is_reported_as_not_seen() -> None:
    report = lk.check("ogan", {**SMALL, "phase.generate.loss": {"critic": {"weight": 0}, "latent": {"weight": 0}}})
    assert report.ok
    assert any("phase 'generate': no gradient seen at G." in text for text in report.not_seen)
    assert not any("G." in text for text in report.warnings)  # not seen is not proved to be absent


def test_check_opens_no_data() -> None:
    assert lk.check("ogan", {**SMALL, "data.use": "idx", "data.images": "not/there.gz"}).ok


@pytest.mark.parametrize("name", sorted(set(lk.recipes()) - {"ogan-128"}))
def test_gradients_go_to_trained_parts_and_nowhere_else(
    name: str, narrow: abc.Callable[..., dict[str, object]]
) -> None:
    wiring = wired(name, narrow(name))
    training = Training(wiring, default_registry(), None, batch=4)
    phases = {phase.name: set(phase.spec.train) for phase in wiring.phases}
    joint = wiring.recipe.together
    synthetic = Synthetic(wiring, 4, torch.device("cpu"), torch.float32)
    data = {value: synthetic.of_space(space) for value, space in wiring.data_spaces.items()}
    values: dict[str, dict[str, Any]] = dict.fromkeys(phases, data)
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
    training.step(values, repeats=1)
    done: set[str] = set()
    for phase, moved in seen:  # seen before the phase's own update
        assert moved == done
        done |= set().union(*phases.values()) if joint else phases[phase]
    assert all(parameter.grad is None for part in training.modules.values() for parameter in part.parameters())


# -- faults inside of parts, which only shapes or a probe can show


class Cutting(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.layer = nn.Linear(size, size)

    def forward(self, h: Tensor) -> Tensor:
        with torch.no_grad():
            result: Tensor = self.layer(h)
        return result


class Mixing(nn.Module):
    def forward(self, h: Tensor) -> Tensor:
        return h - h.mean(0)


class Meddling(nn.Module):
    """Changes weights that are not its own."""

    victim: ClassVar[list[nn.Linear]] = []

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)
        if self.layer.weight.device.type != "meta":
            self.victim.append(self.layer)

    def forward(self, h: Tensor) -> Tensor:
        with torch.no_grad():
            for layer in self.victim[:1]:
                layer.weight.data.mul_(1.01)
        result: Tensor = self.layer(h)
        return result


class Counting(nn.Module):
    """Carries something from step to step that no checkpoint has."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()), persistent=False)

    def forward(self, h: Tensor) -> Tensor:
        self.calls: Tensor
        self.calls += 1
        return h + 0 * self.calls


SHARED = nn.Linear(6, 6, device="meta")


@attrs.frozen(kw_only=True)
class Faulty(lk.Mapping):
    """A mapping from latent to latent with the fault of one's choice."""

    ports: ClassVar[str] = "h: latent[dim] -> g: latent[dim]"
    independent: ClassVar[bool] = True
    dim: int | None = None
    fault: str = ""

    def build(self) -> nn.Module:
        if self.fault == "shared":
            return SHARED
        made = {"cut": lambda: Cutting(6), "mix": Mixing, "meddle": Meddling, "size": lambda: nn.Linear(6, 5),
                "drop": nn.Dropout, "count": Counting}  # fmt: skip
        return made[self.fault]()  # type: ignore[no-any-return]


@attrs.frozen(kw_only=True)
class Normalizing(lk.Mapping):
    """Batch norm, and perhaps a mean over the batch besides."""

    ports: ClassVar[str] = "h: latent[dim] -> g: latent[dim]"
    batch_norm_only: ClassVar[bool] = True
    dim: int | None = None
    mixes: bool = False

    def build(self) -> nn.Module:
        assert self.dim is not None
        return nn.Sequential(nn.BatchNorm1d(self.dim), Mixing() if self.mixes else nn.Identity())


class FaultyPlugin:
    @lk.hookimpl
    def latentkit_components(self) -> dict[str, object]:
        return {"part": Faulty, "normalizing": Normalizing}


@pytest.fixture
def faulty() -> abc.Callable[..., lk.Report]:
    """Checks a small ALAE whose mapping is followed by faulty parts."""
    Meddling.victim.clear()
    registry = Registry(read_catalogue(shipped_catalogue()))
    registry.add("faulty", FaultyPlugin(), "tests", "0")

    def checked(changes: dict[str, object]) -> lk.Report:
        return lk.check("alae-mlp", {**SMALL_ALAE, **changes}, registry=registry)

    return checked


def part(fault: str, **more: object) -> dict[str, object]:
    return {"use": "faulty.part", "fault": fault, **more}


def texts(report: lk.Report) -> list[str]:
    return [str(problem) for problem in report.problems]


def test_a_perceptual_term_whose_network_cuts_the_gradient_is_found_on_shapes(
    faulty: abc.Callable[..., lk.Report],
) -> None:
    # It would be logged and never change anything: the network runs its layers under no_grad.
    term = {"use": "l2", "of": "C(E(x_fake))", "to": "C(E(x))"}
    report = faulty({"parts.C": part("cut", frozen=True), "phase.generate.loss.perceptual": term})
    (found,) = texts(report)
    assert "[phase.generate] loss.perceptual: no gradient of this term arrives at a part that the phase trains" in found
    assert "C cuts the way: no_grad(), detach() or .data inside the part" in found


def test_a_trained_part_behind_a_part_that_cuts_is_found_on_shapes(faulty: abc.Callable[..., lk.Report]) -> None:
    trained = {"phase.reciprocate.train": ["E", "G", "F", "C"], "phase.reciprocate.loss.latent.of": "C(E(x_fake))"}
    report = faulty({"parts.C": part("cut"), **trained})
    assert any("[phase.reciprocate] loss.latent: no gradient of this term arrives" in text for text in texts(report))


def test_weights_that_two_parts_share_are_found(faulty: abc.Callable[..., lk.Report]) -> None:
    shared = {"parts.A": part("shared"), "parts.B": part("shared"), "flow.w": "B(A(F(z)))"}
    report = faulty(
        {**shared, "phase.generate.train": ["F", "G", "A"], "phase.reciprocate.train": ["E", "G", "F", "B"]}
    )
    assert any(
        "B.weight and A.weight are one tensor, so training one part changes the other" in t for t in texts(report)
    )


def test_a_part_that_changes_the_weights_of_another_is_seen_by_the_probe(faulty: abc.Callable[..., lk.Report]) -> None:
    two = {"parts.A": part("meddle"), "parts.B": part("meddle", frozen=True), "flow.w": "F(z)"}
    moved = {"flow.real": "D(B(A(E(x))))", "phase.discriminate.train": ["E", "D", "A"]}
    report = faulty({**two, **moved})
    assert any("weights of 'A' changed in a phase that does not train it" in text for text in texts(report))


def test_a_part_that_mixes_samples_must_not_declare_that_it_keeps_them_apart(
    faulty: abc.Callable[..., lk.Report],
) -> None:
    report = faulty({"parts.M": part("mix"), "flow.w": "M(F(z))"})
    (found,) = texts(report)
    assert "[parts] M: 'M': declares independent = True, but a sample's result depends on the others" in found


def test_a_part_that_mixes_samples_must_not_declare_that_only_batch_norm_does(
    faulty: abc.Callable[..., lk.Report],
) -> None:
    trained = {"phase.generate.train": ["F", "G", "M"]}
    normalizing = {"use": "faulty.normalizing"}
    assert texts(faulty({"parts.M": normalizing | {"mixes": False}, "flow.w": "M(F(z))", **trained})) == []
    (found,) = texts(faulty({"parts.M": normalizing | {"mixes": True}, "flow.w": "M(F(z))", **trained}))
    fact = "declares batch_norm_only = True, but a sample's result depends on the others in its batch"
    assert f"[parts] M: 'M': {fact}, not by batch norm alone" in found
    assert "let Normalizing declare batch_norm_only = False" in found


def test_a_part_with_dropout_must_declare_that_it_draws(faulty: abc.Callable[..., lk.Report]) -> None:
    (found,) = texts(faulty({"parts.M": part("drop"), "flow.w": "M(F(z))"}))
    assert "[parts] M: 'M': draws random numbers of its own, but does not declare it" in found
    assert "let Faulty declare stochastic = True" in found


def test_what_a_part_carries_from_step_to_step_must_be_saved(faulty: abc.Callable[..., lk.Report]) -> None:
    (found,) = texts(faulty({"parts.M": part("count"), "flow.w": "M(F(z))"}))
    assert "[parts] M: 'M': buffer 'calls' changes in training, but is registered with persistent=False" in found


def test_a_part_with_other_sizes_than_it_declares_is_found_on_shapes(faulty: abc.Callable[..., lk.Report]) -> None:
    wrong = {"parts.S": part("size"), "phase.generate.loss.size": "0.01 * mean(square(S(w)))"}
    report = faulty({**wrong, "phase.generate.train": ["F", "G", "S"]})
    assert any("declares latent[6], but its result has sizes [4, 5]" in text for text in texts(report))


def test_a_discriminator_loss_that_is_computed_and_never_used_is_named() -> None:
    # A trainer computed the loss of its second critic each step, and never called backward on it.
    unused = {"parts.D2": {"use": "alae.mlp-discriminator"}, "flow.loss_d2": "softplus(-D2(E(x)))"}
    (found,) = problems("alae-mlp", {**SMALL_ALAE, **unused})
    assert "[parts] D2: no expression uses the part 'D2'" in found
    logged = {**SMALL_ALAE, **unused, "monitor.d2": "batch_mean(loss_d2)"}
    (found,) = problems("alae-mlp", logged)
    assert "'D2' has weights, but no phase trains it" in found
    (found,) = problems("alae-mlp", {**logged, "phase.discriminate.train": ["E", "D", "D2"]})
    assert "[phase.discriminate] train: 'D2' is trained here, but no term's gradient reaches it" in found
    used = {"phase.discriminate.train": ["E", "D", "D2"], "phase.discriminate.loss.second": "loss_d2"}
    assert problems("alae-mlp", {**logged, **used}) == []


def test_two_phases_of_one_joint_step_cannot_share_an_optimizer() -> None:
    (found,) = problems("ogan", {**SMALL, "phase.generate.train": ["G", "E"]})
    assert "'E' is trained by 'encode' too, with the same optimizer in the same step (together = true)" in found
    own = {"phase.generate.optimizer": {"use": "adam", "lr": 1e-4}}
    assert problems("ogan", {**SMALL, "phase.generate.train": ["G", "E"], **own}) == []


def test_a_system_too_large_to_probe_is_shown_on_shapes_and_said_not_to_be_probed() -> None:
    report = lk.check("ogan", {"data.resolution": 512})
    assert report.ok
    assert report.probe == ()
    (said,) = report.not_seen
    assert "nothing was probed numerically: a step on 2 samples takes" in said


def test_one_players_gradients_never_reach_the_others_step() -> None:
    # Both players' terms depend on both players; each execution's gradient is taken for its own part only.
    report = lk.check("ogan", SMALL)
    assert "each phase changed weights of the parts that it trains, and of no other" in report.probe
