"""Paths between codes, and images along them: ends, corners, what stays the same on the way, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import latentkit as lk
from latentkit.latents import bilinear, interpolant, lerp, normalized, normalized_lerp, slerp

MODES = ("linear", "spherical", "normalized")
SMALL = {"parts.E.hidden": 8, "parts.G.hidden": 8, "data.count": 16, "train.batch": 4}
NOISY = {
    "extends": "stylealae", "remove": ["stage"], "data": {"resolution": 16, "count": 12}, "draw": {"z": {"dim": 4}},
    "parts": {"F": {"layers": 1}, "G": {"channels_base": 2, "levels": 3}, "E": {"channels_base": 2, "levels": 3}},
    "train": {"steps": 1, "batch": 4},
}  # fmt: skip


@pytest.fixture(scope="module")
def model() -> lk.Model:
    """Untrained; codes of 50 numbers, images [1, 28, 28]."""
    return lk.compose("alae-mlp", SMALL)


def codes(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def drawn(seed: int, dim: int, number: int = 1) -> Tensor:
    """Codes of any scale and mean, float64 [number, dim]."""
    scale, shift = 10 ** (2 * codes(2, number, 1, seed=seed + 1)[0]), 3 * codes(number, 1, seed=seed + 2)
    return scale * codes(number, dim, seed=seed) + shift


seeds, dims, scales = st.integers(0, 10**6), st.integers(3, 40), st.floats(1e-6, 1e6)
quick = settings(max_examples=40, deadline=None)


# Paths


@quick
@given(seeds, dims)
def test_a_path_meets_its_ends_in_every_mode(seed: int, dim: int) -> None:
    a, b = drawn(seed, dim), drawn(seed + 7, dim)
    zero, one = torch.tensor(0.0).double(), torch.tensor(1.0).double()
    for mode in MODES:
        along = interpolant(mode)
        start, end = (normalized(a), normalized(b)) if mode == "normalized" else (a, b)
        torch.testing.assert_close(along(a, b, zero), start)
        torch.testing.assert_close(along(a, b, one), end)
        torch.testing.assert_close(along(a, b, zero + 0.3), along(b, a, one - 0.3))  # the same way back


@quick
@given(seeds, dims, st.floats(0, 1))
def test_normalized_codes_have_mean_0_and_deviation_1_all_along(seed: int, dim: int, t: float) -> None:
    a, b = drawn(seed, dim, 3), drawn(seed + 7, dim, 3)
    between = normalized_lerp(a, b, torch.tensor(t).double())
    for found in (normalized(a), between):
        torch.testing.assert_close(found.mean(-1), torch.zeros(3).double(), rtol=0, atol=1e-9)
        torch.testing.assert_close(found.std(-1, correction=0), torch.ones(3).double())
    torch.testing.assert_close(normalized(between), between)


@quick
@given(seeds, dims, scales, st.floats(-100, 100))
def test_normalized_codes_know_nothing_of_scale_and_shift(seed: int, dim: int, scale: float, shift: float) -> None:
    z = codes(2, dim, seed=seed)
    torch.testing.assert_close(normalized(scale * (z + shift)), normalized(z), rtol=1e-7, atol=1e-7)


def test_a_code_without_a_direction_becomes_0() -> None:
    assert torch.equal(normalized(torch.full((2, 4), 3.0)), torch.zeros(2, 4))


def test_halfway_is_the_mean_the_middle_of_the_arc_or_a_normalised_mean() -> None:
    a, b = torch.eye(4).double()[:2]
    half = torch.tensor(0.5).double()
    assert lerp(a, b, half).tolist() == [0.5, 0.5, 0, 0]
    torch.testing.assert_close(slerp(a, b, half), torch.tensor([0.5, 0.5, 0, 0]).double().sqrt())
    torch.testing.assert_close(normalized_lerp(a, b, half), torch.tensor([1.0, 1, -1, -1]).double())


@quick
@given(seeds, dims, st.floats(0, 1), st.floats(0, 1))
def test_a_place_between_corners_is_on_paths_of_its_sides(seed: int, dim: int, across: float, down: float) -> None:
    a, b, c, d = (normalized(drawn(seed + 10 * index, dim)) for index in range(4))
    zero, one = torch.tensor(0.0).double(), torch.tensor(1.0).double()
    u, v = torch.tensor(across).double(), torch.tensor(down).double()
    for mode in MODES:
        along = interpolant(mode)
        sides = {(u, zero): (a, b, u), (u, one): (c, d, u), (zero, v): (a, c, v), (one, v): (b, d, v)}
        for (right, low), (start, end, t) in sides.items():
            torch.testing.assert_close(bilinear(a, b, c, d, right, low, along), along(start, end, t))
    by_weight = (1 - u) * (1 - v) * a + u * (1 - v) * b + (1 - u) * v * c + u * v * d
    torch.testing.assert_close(bilinear(a, b, c, d, u, v, lerp), by_weight)


# Images


@pytest.mark.parametrize("mode", MODES)
def test_a_row_of_images_decodes_codes_along_the_path(model: lk.Model, mode: Any) -> None:
    a, b = codes(2, 50, seed=1).float(), codes(2, 50, seed=2).float()
    images = model.interpolate(a, b, 5, mode)
    assert images.shape == (2, 5, 1, 28, 28)
    for step in range(5):
        code = interpolant(mode)(a, b, torch.tensor(step / 4))
        torch.testing.assert_close(images[:, step], model.decode(code))
    assert len({float(image.sum()) for image in images.flatten(0, 1)}) == 10


def test_images_as_ends_are_encoded(model: lk.Model) -> None:
    x, y = model.sample(2, seed=1), model.sample(2, seed=2)
    images = model.interpolate(x, y, 3)
    assert torch.equal(images, model.interpolate(model.encode(x), model.encode(y), 3))
    assert torch.equal(images[:, 0], model.reconstruct(x))
    assert torch.equal(model.interpolate(x, model.encode(y), 3), images)


@pytest.mark.parametrize("mode", MODES)
def test_a_grid_of_images_has_rows_between_its_corners(model: lk.Model, mode: Any) -> None:
    corners = [normalized(codes(2, 50, seed=seed).float()) for seed in range(4)]
    a, b, c, d = corners
    images = model.interpolate_grid(*corners, 4, mode)
    assert images.shape == (2, 4, 4, 1, 28, 28)
    sides = {
        "first row": (images[:, 0], a, b), "last row": (images[:, -1], c, d),
        "first column": (images[:, :, 0], a, c), "last column": (images[:, :, -1], b, d),
    }  # fmt: skip
    for found, start, end in sides.values():
        torch.testing.assert_close(found, model.interpolate(start, end, 4, mode))


def test_what_decode_draws_is_the_same_all_along() -> None:
    noisy = lk.compose(NOISY)
    for name, weight in noisy.parts["G"].named_parameters():
        if "strength" in name:  # of the noise, at first 0
            weight.data.fill_(0.3)
    a, b = codes(2, 4, seed=1).float(), codes(2, 4, seed=2).float()
    still, moving = noisy.interpolate(a, a, 4), noisy.interpolate(a, b, 4)
    for step in range(4):
        assert torch.equal(still[:, step], noisy.decode(a))
    assert torch.equal(moving[:, 0], noisy.decode(a))
    assert torch.equal(noisy.interpolate_grid(a, a, a, a, 2)[:, 1, 1], noisy.decode(a))
    assert not torch.equal(*noisy.decode(a[:1].expand(2, -1)))  # noise is drawn, and shows


def refused(model: lk.Model, *ends: Tensor, **options: Any) -> str:
    between = model.interpolate if len(ends) == 2 else model.interpolate_grid
    with pytest.raises(lk.LatentkitError) as caught:
        between(*ends, **options)
    return str(caught.value)


def test_ends_that_do_not_go_together_are_refused_with_what_was_found(model: lk.Model) -> None:
    a = codes(2, 50).float()
    assert refused(model, a, a[:1]) == "interpolation: expected as many of each end, found 2 and 1"
    assert refused(model, a, a, a, a[:1]) == "interpolation: expected as many of each end, found 2 and 2 and 2 and 1"
    assert refused(model, a[0], a[1]) == "'alae-mlp': expected images, or codes [n, 50], found [50]"
    assert refused(model, a, a[:, :7]) == "'alae-mlp': expected images, or codes [n, 50], found [2, 7]"
    assert refused(model, torch.zeros(1, 3, 5, 5), a) == "expected images [n, 1, 28, 28], found [1, 3, 5, 5]"


def test_fewer_than_two_steps_and_unknown_modes_are_refused(model: lk.Model) -> None:
    a = codes(1, 50).float()
    assert refused(model, a, a, steps=1) == "steps: expected at least 2, both ends, found 1"
    expected = "mode 'sperical': expected linear, spherical or normalized\n  did you mean 'spherical'?"
    assert refused(model, a, a, mode="sperical") == expected
    assert refused(model, a, a, a, a, mode="") == "mode '': expected linear, spherical or normalized"


def test_codes_of_fewer_than_three_numbers_cannot_be_normalised() -> None:
    narrow = lk.compose("alae-mlp", SMALL | {"draw.z.dim": 2})
    a = codes(1, 2).float()
    assert refused(narrow, a, a, mode="normalized") == "normalised codes: expected 3 numbers or more a code, found 2"
    assert narrow.interpolate(a, a, 2).shape == (1, 2, 1, 28, 28)


def test_a_model_that_decodes_nothing_cannot_interpolate() -> None:
    blind = lk.compose({"extends": "alae-mlp", "remove": ["inference.decode"]}, SMALL)
    assert (
        refused(blind, codes(1, 50), codes(1, 50)) == "'recipe' has no role 'decode'; it has: sample, encode, features"
    )
