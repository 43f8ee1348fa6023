"""Transformations of images against stored values, and what each of them leaves defined."""

from __future__ import annotations

import math
from collections import abc

import attrs
import pytest
import torch
from torch import Tensor

from latentkit.errors import LatentkitError
from latentkit.latent.transformations import (
    TRANSFORMATIONS,
    Brightness,
    HorizontalShift,
    Rotation,
    Transformation,
    VerticalShift,
    Zoom,
)

Values = dict[str, Tensor]


def images(*shape: int) -> Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_stored_values_are_reproduced(given: abc.Callable[[str], Values], reproduced: abc.Callable[..., None]) -> None:
    values = given("transforms")
    x, amounts = values["x"], values["t"].tolist()
    got = {"px": torch.tensor([float(int(t * x.shape[-1])) for t in amounts], dtype=torch.float64)}
    named = {
        "hshift": ("hmask", HorizontalShift()), "vshift": ("vmask", VerticalShift()), "zoom": ("zoom_mask", Zoom()),
    }  # fmt: skip
    for name, (mask, kind) in named.items():
        pairs = [kind.apply(x, t) for t in amounts]
        got |= {name: torch.stack([pair[0] for pair in pairs]), mask: torch.stack([pair[1] for pair in pairs])}
    got["brightness"] = torch.stack([Brightness().apply(x, t)[0] for t in amounts])
    reproduced("transforms", got)


@pytest.mark.parametrize("name", TRANSFORMATIONS)
@pytest.mark.parametrize("sizes", [(1, 1, 6, 10), (2, 3, 9, 5)])
def test_nothing_is_changed_by_0_and_all_is_defined(name: str, sizes: tuple[int, ...]) -> None:
    x = images(*sizes)
    changed, mask = TRANSFORMATIONS[name](range=(0.0, 1.0)).apply(x, 0.0)
    torch.testing.assert_close(changed, x, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(mask, torch.ones_like(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", TRANSFORMATIONS)
@pytest.mark.parametrize("t", [-0.4, 0.3])
def test_images_have_a_gradient_and_every_size_is_taken(name: str, t: float) -> None:
    x = images(2, 2, 5, 7).requires_grad_()
    changed, mask = TRANSFORMATIONS[name](range=(-9.0, 9.0)).apply(x, t)
    assert changed.shape == mask.shape == x.shape
    assert not mask.requires_grad
    (gradient,) = torch.autograd.grad(changed.sum(), x)
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_another_range_gives_the_same_images_in_that_range(name: str) -> None:
    x = images(1, 1, 8, 8)
    here, mask = TRANSFORMATIONS[name](range=(0.0, 1.0)).apply(x, 0.4)
    there, same = TRANSFORMATIONS[name]().apply(2 * x - 1, 0.4)
    torch.testing.assert_close(2 * here - 1, there)
    assert torch.equal(mask, same)


def test_sides_of_unequal_length_shift_by_their_own() -> None:
    x = images(1, 1, 4, 8) + 1
    right, mask = HorizontalShift().apply(x, 0.25)
    assert torch.equal(right[..., 2:], x[..., :-2])
    assert not right[..., :2].any()
    assert not mask[..., :2].any()
    down, _ = VerticalShift().apply(x, 0.25)
    assert torch.equal(down[..., 1:, :], x[..., :-1, :])


def test_a_quarter_turn_is_exact_and_counter_clockwise() -> None:
    x = images(1, 2, 5, 5)
    turned, mask = Rotation().apply(x, math.pi / 2)
    torch.testing.assert_close(turned, torch.rot90(x, 1, (-2, -1)))
    torch.testing.assert_close(mask, torch.ones_like(x))


def test_a_turned_oblong_image_keeps_its_proportions_and_loses_its_ends() -> None:
    x = torch.ones(1, 1, 5, 11, dtype=torch.float64)
    turned, mask = Rotation().apply(x, math.pi / 2)
    wanted = torch.zeros_like(x)
    wanted[..., 3:8] = 1
    torch.testing.assert_close(turned, wanted)
    torch.testing.assert_close(mask, wanted)


@pytest.mark.parametrize(
    ("kind", "t", "said"),
    [
        (HorizontalShift(), 1.0, "expected less than the whole side of an image of 8 x 8"),
        (VerticalShift(), -1.5, "expected less than the whole side"),
        (Zoom(), -1.0, "expected a scale 1 + t"),
        (Zoom(), 20.0, "expected a scale 1 + t"),
        (Zoom(), -0.99999, "expected a scale 1 + t"),
        (Rotation(), math.nan, "expected a finite amount t, found nan"),
        (Brightness(), math.inf, "expected a finite amount t, found inf"),
        (Brightness(), 2.0, "less than the whole range of the images, -1 to 1, -2 < t < 2; all would be white"),
        (Brightness(range=(0.0, 1.0)), -2.5, "less than the whole range of the images, 0 to 1, -2 < t < 2; .* black"),
    ],
)
def test_an_amount_that_leaves_nothing_is_refused(kind: Transformation, t: float, said: str) -> None:
    with pytest.raises(LatentkitError, match=said.replace("+", r"\+")):
        kind.apply(images(1, 1, 8, 8), t)


def test_a_range_must_be_in_order() -> None:
    with pytest.raises(LatentkitError, match="expected a lower and a higher number"):
        Zoom(range=(1.0, 0.0))


def test_a_further_transformation_is_one_method() -> None:
    @attrs.frozen
    class Contrast(Transformation):
        name = "contrast"

        def apply(self, x: Tensor, t: float) -> tuple[Tensor, Tensor]:
            return x * (1 + t), torch.ones_like(x)

    assert torch.equal(Contrast().apply(torch.ones(1, 1, 2, 2), 0.5)[0], torch.full((1, 1, 2, 2), 1.5))
