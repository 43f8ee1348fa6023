"""What images show along a direction: moments, how they follow, what sees them, and the chart."""

from __future__ import annotations

import math
import sys
from collections import abc
from pathlib import Path
from typing import ClassVar

import attrs
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import latentkit as lk
from latentkit.components.saliency import brightness
from latentkit.data.sprite_shapes import AREAS, render
from latentkit.data.sprites import factors
from latentkit.errors import LatentkitError, RecipeError, RegistryError
from latentkit.interfaces import Direction, Function
from latentkit.latent.charts import save_chart
from latentkit.latent.codes import codes_to_measure, codes_to_search
from latentkit.latent.lattice import Lattice
from latentkit.latent.measuring import FACTORS, Measured, measure
from latentkit.latent.moments import moments
from latentkit.latent.saliency import saliency_of, salient
from latentkit.latent.scoring import correlation, determined, mean_correlation, same_slope
from latentkit.registry.manager import Registry

Blobs = abc.Callable[..., lk.Model]
SHIFT = 0.15
"""Of a blob, per unit of the code's first two coordinates, over the image's side."""


def along(*vector: float, transformation: str = "horizontal-shift") -> Direction:
    """A direction whose scale is that of the blobs' place."""
    slopes = torch.full((11,), SHIFT)
    return Direction(
        vector=torch.tensor(vector).float(), found="here", unit="image widths", range=(-1.0, 1.0),
        scale=Lattice(slopes=slopes, low=-6.0, high=6.0), details={"transformation": transformation},
    )  # fmt: skip


def draws(n: int = 40) -> Tensor:
    return 0.5 * torch.randn(n, 5, generator=torch.Generator().manual_seed(3))


def places(reach: float = 0.2, steps: int = 7) -> Tensor:
    return torch.linspace(-reach, reach, steps)


def test_moments_of_sprites_are_the_factors_they_are_made_of() -> None:
    known = factors(60, seed=1)
    found = moments(torch.from_numpy(render(known, 64, 64)[:, 0]).double() / 255)
    wide = 64 / 63  # places are counted from the first pixel's middle to the last one's
    np.testing.assert_allclose(found.x.numpy(), known[:, 3] / 2 * wide, atol=0.003)
    np.testing.assert_allclose(found.y.numpy(), known[:, 4] / 2 * wide, atol=0.003)
    area = np.array(AREAS)[known[:, 0].astype(int)] * (known[:, 1] / 2) ** 2  # over the image's
    np.testing.assert_allclose(found.mean.numpy(), area, rtol=0.03)
    assert found.visible.all()


def test_a_direction_of_one_factor_controls_it_exactly_and_leaves_the_others(blobs: Blobs) -> None:
    found = measure(blobs(), along(1, 0, 0, 0, 0), draws(), places())
    own, y, mean = found.control(), found.control("y"), found.control("mean")
    assert (found.moves, own.factor, found.detected, found.draws) == ("x", "x", 1.0, 40)
    assert own.spearman_each == pytest.approx(1)
    assert own.spearman > 0.98  # 7 groups of equal places: at most the root of 1 - 1/49
    assert own.r2 > 0.999
    assert own.r2_identity is not None
    assert 0.98 < own.r2_identity <= own.r2
    assert own.std < 0.005
    torch.testing.assert_close(torch.tensor(own.means).double(), places().double() * 16 / 15, atol=0.01, rtol=0)
    assert own.drift > 0.1
    assert max(y.drift, mean.drift) < 0.005
    assert y.r2_identity is None
    assert math.isclose(found.range[0], -0.2 / SHIFT, rel_tol=1e-5)


def test_a_direction_that_is_mixed_up_with_another_factor_drifts_in_it(blobs: Blobs) -> None:
    model = blobs()
    clean = measure(model, along(1, 0, 0, 0, 0), draws(), places())
    mixed = measure(model, along(1, 0.5, 1, 0, 0), draws(), places())
    for factor in ("y", "mean"):
        assert mixed.control(factor).drift > 10 * clean.control(factor).drift
    assert mixed.control().std > 10 * clean.control().std  # x is not put to a place, but what is mixed is
    assert {"measured", "spearman", "r2", "std", "drift-y", "drift-mean", "r2-identity", "draws"} == set(
        mixed.details()
    )


def test_of_a_direction_without_a_transformation_the_factor_is_the_one_that_follows(blobs: Blobs) -> None:
    direction = Direction(vector=torch.tensor([0.0, 0.0, 1.0, 0.0, 0.0]), found="closed-form", range=(-1.0, 1.0))
    found = measure(blobs(), direction, draws(), places(1.0))
    assert found.moves == "mean"
    assert found.control().r2_identity is None
    assert found.control().spearman_each == pytest.approx(1)
    still = Direction(vector=torch.tensor([0.0, 0.0, 0.0, 0.0, 1.0]), found="closed-form")
    nothing = measure(blobs(), still, draws(), places(1.0))
    assert math.isnan(nothing.control().spearman_each)
    assert nothing.control().drift < 1e-12
    assert "spearman_each" not in nothing.details()


def test_images_in_which_nothing_is_seen_are_left_out(blobs: Blobs) -> None:
    far = measure(blobs(), along(1, 0, 0, 0, 0), draws(), places(0.9, 7))
    seen = ~far.values["x"].isnan()
    assert seen[3].all()
    assert not seen[0].any()
    assert far.detected == pytest.approx(float(seen.double().mean()))
    assert far.range[1] < 0.9 / SHIFT
    assert far.control().spearman_each == pytest.approx(1)
    with pytest.raises(LatentkitError, match="nothing salient was detected in most of the images"):
        measure(blobs(), along(1, 0, 0, 0, 0), draws(), places() + 9)


def test_what_sees_may_be_any_function(blobs: Blobs) -> None:
    def upside_down(images: Tensor) -> Tensor:
        return images.mean(1).flip(1)

    vertical = along(0, 1, 0, 0, 0, transformation="vertical-shift")
    usual = measure(blobs(), vertical, draws(), places())
    other = measure(blobs(), vertical, draws(), places(), saliency=upside_down)
    assert other.control().spearman_each == pytest.approx(-1)
    torch.testing.assert_close(other.values["y"], -usual.values["y"])
    torch.testing.assert_close(other.values["x"], usual.values["x"])


def test_images_are_seen_in_0_to_1_whatever_their_range() -> None:
    told: list[Tensor] = []

    def look(images: Tensor) -> Tensor:
        told.append(images)
        return images[:, 0]

    maps = salient(torch.tensor([-1.0, 0.0, 1.5]).reshape(3, 1, 1, 1), (-1.0, 1.0), look)
    assert told[0].flatten().tolist() == [0, 0.5, 1]
    assert maps.shape == (3, 1, 1)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda x: x.flatten(1), r"expected maps \[n, h, w\] of images \[2, 1, 4, 4\], found \[2, 16\]"),
        (lambda x: x.expand(-1, 3, -1, -1), r"found \[2, 3, 4, 4\]"),
        (lambda x: "map", "found str"),
        (lambda x: x[:1, 0], "expected 2 maps of finite numbers of 0 or more"),
        (lambda x: x[:, 0] - 2, "expected 2 maps of finite numbers of 0 or more"),
        (lambda x: x[:, 0] * math.nan, "expected 2 maps of finite numbers of 0 or more"),
    ],
)
def test_what_is_no_map_is_refused(answer: abc.Callable[[Tensor], Tensor], said: str) -> None:
    with pytest.raises(LatentkitError, match=said):
        salient(torch.rand(2, 1, 4, 4), (0.0, 1.0), answer)


@attrs.frozen(kw_only=True)
class Threshold(Function):
    """A network of one number, and an option."""

    ports: ClassVar[str] = "x: image[channels, height, width] in range -> map[1, height, width]"
    channels: int | None = None
    height: int | None = None
    width: int | None = None
    range: tuple[float, float] | None = None
    least: float = 0.5

    def build(self) -> nn.Module:
        assert (self.channels, self.height, self.width, self.range) == (1, 16, 16, (0.0, 1.0))
        return _Threshold(self.least)


class _Threshold(nn.Module):
    def __init__(self, least: float) -> None:
        super().__init__()
        self.least, self.gain = least, nn.Parameter(torch.rand(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * (x > self.least)


class Pluggable:
    """A third party's package."""

    @lk.hookimpl
    def latentkit_components(self) -> abc.Mapping[str, object]:
        return {"threshold": Threshold}


def test_a_network_of_a_plugin_is_named_with_its_options(blobs: Blobs, registry: Registry) -> None:
    registry.add("seen", Pluggable(), "tests", "0")
    images = torch.rand(3, 1, 16, 16)
    state = torch.random.get_rng_state()
    network = saliency_of("seen.threshold", blobs(), {"least": 0.9}, registry)
    assert torch.equal(torch.random.get_rng_state(), state)
    maps = salient(images, (0.0, 1.0), network)
    assert torch.equal(maps > 0, images[:, 0] > 0.9)
    assert torch.equal(
        maps, salient(images, (0.0, 1.0), saliency_of("seen.threshold", blobs(), {"least": 0.9}, registry))
    )
    shown = salient(images, (0.0, 1.0), saliency_of("brightness", blobs(), registry=registry))
    assert torch.equal(shown, brightness(images)[:, 0])


def test_what_cannot_see_is_refused(blobs: Blobs, registry: Registry) -> None:
    model = blobs()
    registry.add("seen", Pluggable(), "tests", "0")
    with pytest.raises(RegistryError, match=r"is called 'core\.brigthness'.*did you mean"):
        saliency_of("brigthness", model, registry=registry)
    with pytest.raises(RegistryError, match=r"'core\.l2' is a loss"):
        saliency_of("l2", model, registry=registry)
    with pytest.raises(RecipeError, match=r"seen\.threshold: most"):
        saliency_of("seen.threshold", model, {"most": 1}, registry)
    with pytest.raises(LatentkitError, match="expected a component from one image to one map, found other ports"):
        saliency_of("parameter", model, {"shape": [1]}, registry)
    with pytest.raises(LatentkitError, match=r"saliency 'toy\.gen' does not take this model's images"):
        saliency_of("toy.gen", model, registry=registry)


def test_places_and_directions_that_cannot_be_measured_are_refused(blobs: Blobs) -> None:
    model, direction = blobs(), along(1, 0, 0, 0, 0)
    for wrong in (torch.tensor([0.0, 1.0]), torch.tensor([0.0, 2.0, 1.0]), torch.tensor([0.0, 1.0, torch.nan])):
        with pytest.raises(LatentkitError, match="expected 3 or more growing places"):
            measure(model, direction, draws(), wrong)
    styles = Direction(vector=torch.ones(5), found="here", space="styles")
    with pytest.raises(LatentkitError, match="a direction of styles has no place"):
        measure(model, styles, draws(), places())


def test_codes_are_others_than_those_that_were_searched(blobs: Blobs) -> None:
    model = blobs()
    searched, held_out = codes_to_search(model, 20, 0), codes_to_measure(model, 20, 0)
    assert searched.shape == held_out.shape == (20, 5)
    assert not (searched[:, None] == held_out).any()
    assert torch.equal(held_out, codes_to_measure(model, 20, 0))
    assert not torch.equal(held_out, codes_to_measure(model, 20, 1))


def test_of_a_model_that_draws_no_codes_those_of_held_out_images_are_taken() -> None:
    tables = {
        "parts.E.channels_base": 2, "parts.G.channels_base": 2, "data.count": 40,
        "data.split": {"seed": 0, "train": 0.8},
    }  # fmt: skip
    model = lk.compose("ae", tables)
    held_out = codes_to_measure(model, 50, 0)
    assert len(held_out) == 8
    searched = codes_to_search(model, 50, 0)
    assert len(searched) == 32
    assert not (searched[:, None] == held_out).all(-1).any()
    nothing_held_out = lk.compose("ae", {**tables, "data.split": 1.0})
    last = codes_to_search(nothing_held_out, 40, 0)[-3:]
    torch.testing.assert_close(codes_to_measure(nothing_held_out, 3, 0), last)


def test_correlations_are_those_of_ranks_and_skip_what_is_missing() -> None:
    asked = torch.tensor([0.0, 1.0, 2.0])
    values = torch.tensor([[1.0, 10.0], [8.0, torch.nan], [27.0, 30.0]])
    # Ranks of places 0 0 1 2 2 are 1.5 1.5 3 4.5 4.5, those of values 1 10 8 27 30 are 1 3 2 4 5.
    wanted = np.corrcoef([1.5, 1.5, 3, 4.5, 4.5], [1, 3, 2, 4, 5])[0, 1]
    assert correlation(asked, values) == pytest.approx(wanted)
    assert mean_correlation(asked, values) == pytest.approx(1)  # the second column has too few
    assert math.isnan(correlation(asked, torch.ones(3, 2)))
    assert math.isnan(mean_correlation(asked, torch.ones(3, 2)))


def test_a_line_determines_what_lies_on_it_and_only_the_promised_slope_is_the_promised_one() -> None:
    asked = torch.linspace(-1, 1, 5)
    exact = (2 * asked + 3)[:, None].expand(5, 4)
    assert determined(asked, exact) == pytest.approx(1)
    assert same_slope(asked, exact, 2.0) == pytest.approx(1)
    assert same_slope(asked, exact, 1.0) == pytest.approx(0.75)
    assert same_slope(asked, exact, -1.0) == pytest.approx(-1.25)
    noise = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    found = exact + noise
    x, y = asked[:, None].expand(5, 4).flatten().numpy(), found.flatten().numpy()
    assert determined(asked, found) == pytest.approx(np.corrcoef(x, y)[0, 1] ** 2, rel=1e-5)
    assert math.isnan(determined(asked, torch.ones(5, 4)))
    assert math.isnan(same_slope(asked, torch.ones(5, 4), 1.0))


@pytest.fixture
def measured(blobs: Blobs) -> Measured:
    return measure(blobs(), along(1, 0, 0, 0, 0), draws(12), places(0.9, 5))


def test_a_chart_is_a_picture_with_a_row_per_direction(measured: Measured, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    file = tmp_path / "charts/one.png"
    save_chart(file, {"a": (measured, "image widths")})
    save_chart(tmp_path / "two.png", {"a": (measured, "image widths"), "b": (measured, "")})
    with Image.open(file) as one, Image.open(tmp_path / "two.png") as two:
        assert (one.format, two.width, two.height) == ("PNG", one.width, 2 * one.height)
        assert len(set(one.convert("L").tobytes())) > 20
    assert "matplotlib.pyplot" not in sys.modules or sys.modules["matplotlib.pyplot"].get_fignums() == []


def test_without_matplotlib_a_chart_says_what_to_install(
    measured: Measured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(LatentkitError, match=r"charts need matplotlib: pip install 'latentkit\[eval\]'"):
        save_chart(tmp_path / "chart.png", {"a": (measured, "")})
    assert list(tmp_path.iterdir()) == []


def test_every_factor_has_its_figures(measured: Measured) -> None:
    assert [it.factor for it in measured.controls()] == list(FACTORS)
    for it in measured.controls():
        assert len(it.means) == len(it.stds) == 5
