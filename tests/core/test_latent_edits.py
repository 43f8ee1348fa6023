"""Edits by an amount and to a place, the inverse of a direction's scale, and images of edited codes and styles."""

from __future__ import annotations

import math
from collections import abc

import pytest
import torch
from torch import Tensor

import latentkit as lk
from latentkit.errors import LatentkitError
from latentkit.interfaces import Direction
from latentkit.latent.editing import coordinate, without
from latentkit.latent.edits import Edit, edited, even_places
from latentkit.latent.lattice import Lattice
from latentkit.mixing import images_of_styles, styles

Blobs = abc.Callable[..., lk.Model]
STYLE = {"parts.G.channels_base": 2, "parts.E.channels_base": 2, "draw.z.dim": 8, "data.count": 24, "train.batch": 4}


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def lattice(seed: int, flat: bool = False) -> Lattice:
    """Of any slopes and ends; some are 0 where it is to have flat parts."""
    draw = torch.Generator().manual_seed(seed)
    slopes = torch.rand(7 + seed, dtype=torch.float64, generator=draw)
    if flat:
        slopes[torch.rand(len(slopes), generator=draw) < 0.4] = 0
    low = -3 * float(torch.rand((), generator=draw))
    return Lattice(slopes=slopes, low=low, high=low + 0.5 + seed)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("flat", [False, True])
def test_the_inverse_leads_to_the_lowest_place_of_the_same_height(seed: int, flat: bool) -> None:
    g = lattice(seed, flat)
    s = torch.linspace(g.low - 2, g.high + 2, 203, dtype=torch.float64)
    back = g.inverse(g(s))
    torch.testing.assert_close(g(back), g(s), rtol=1e-12, atol=1e-12)
    inside = s.clamp(g.low - g.half_width, g.high + g.half_width)
    assert (back <= inside + 1e-9).all()
    if not flat:
        torch.testing.assert_close(back, inside, rtol=1e-9, atol=1e-9)
    # A little before that place g is lower, unless it is the first.
    before = back - 1e-6 * (1 + back.abs())
    first = g(back) <= g(torch.tensor(-math.inf, dtype=torch.float64)) + 1e-12
    assert ((g(before) < g(back)) | first).all()


@pytest.mark.parametrize("seed", range(6))
def test_heights_beyond_the_ends_lead_to_the_ends(seed: int) -> None:
    g = lattice(seed)
    ends = torch.tensor([g.low - g.half_width, g.high + g.half_width], dtype=torch.float64)
    beyond = g(ends) + torch.tensor([-3.0, 3.0], dtype=torch.float64)
    torch.testing.assert_close(g.inverse(beyond), ends)
    assert g.inverse(torch.zeros(2, 3, dtype=torch.float64)).shape == (2, 3)


def test_of_a_flat_lattice_the_inverse_is_its_beginning() -> None:
    g = Lattice(slopes=torch.zeros(4), low=-1.0, high=1.0)
    assert g.inverse(torch.tensor([0.0, 5.0])).tolist() == pytest.approx([-4 / 3] * 2)


@pytest.mark.parametrize("factor", [0.1, 1.0, 7.5])
@pytest.mark.parametrize("seed", range(3))
def test_a_stretched_lattice_is_that_of_the_multiple(seed: int, factor: float) -> None:
    g = lattice(seed, flat=True)
    s = torch.linspace(g.low - 1, g.high + 1, 101, dtype=torch.float64) / factor
    torch.testing.assert_close(g.stretched(factor)(s), g(factor * s))


def scaled(seed: int = 4) -> Direction:
    return Direction(vector=3 * numbers(4, seed=seed), found="here", scale=lattice(5).stretched(0.2), range=(-1.0, 2.0))


def test_an_amount_is_a_difference_of_the_scale_and_a_place_its_value() -> None:
    direction, z = scaled(), numbers(6, 4)
    assert direction.scale is not None
    heights = direction.scale(coordinate(z, direction.u))
    for amount in (-0.2, 0.0, 0.15):
        moved = Edit(direction=direction, amount=amount).apply(z)
        torch.testing.assert_close(direction.scale(coordinate(moved, direction.u)), heights + amount)
        torch.testing.assert_close(without(moved, direction.u), without(z, direction.u))
    put = Edit(direction=direction, amount=0.1, absolute=True).apply(z)
    torch.testing.assert_close(direction.scale(coordinate(put, direction.u)), torch.full((6,), 0.1).double())
    torch.testing.assert_close(without(put, direction.u), without(z, direction.u))


def test_what_the_scale_does_not_reach_ends_at_its_end() -> None:
    direction, z = scaled(), numbers(3, 4)
    assert direction.scale is not None
    far = Edit(direction=direction, amount=1e6).apply(z)
    end = direction.scale.high + direction.scale.half_width
    torch.testing.assert_close(coordinate(far, direction.u), torch.full((3,), end).double())


def test_without_a_scale_an_amount_is_in_lengths_of_the_vector_and_a_place_is_the_coordinate() -> None:
    direction, z = Direction(vector=3 * numbers(4, seed=1), found="here"), numbers(5, 4)
    torch.testing.assert_close(Edit(direction=direction, amount=-2.0).apply(z), z - 2 * direction.vector)
    put = Edit(direction=direction, amount=0.7, absolute=True).apply(z)
    torch.testing.assert_close(coordinate(put, direction.u), torch.full((5,), 0.7).double())
    torch.testing.assert_close(without(put, direction.u), without(z, direction.u))


@pytest.mark.parametrize("direction", [scaled(), Direction(vector=numbers(4, seed=1), found="here")])
@pytest.mark.parametrize("absolute", [True, False])
def test_styles_of_several_layers_are_moved_each(direction: Direction, absolute: bool) -> None:
    z, edit = numbers(2, 3, 4), Edit(direction=direction, amount=0.1, absolute=absolute)
    moved = edit.apply(z)
    assert moved.shape == z.shape
    torch.testing.assert_close(moved[1, 2], edit.apply(z[1, 2:3])[0])


def test_an_amount_is_finite() -> None:
    for amount in (math.nan, math.inf):
        with pytest.raises(LatentkitError, match="edit: expected a finite amount"):
            Edit(direction=scaled(), amount=amount)


def test_even_places_are_over_what_was_seen_or_between_the_ends_that_are_given() -> None:
    direction = scaled()
    assert direction.scale is not None
    places = even_places(direction, 5)
    torch.testing.assert_close(places[[0, -1]], direction.scale(torch.tensor([-1.0, 2.0]).double()))
    torch.testing.assert_close(places.diff(), places.diff()[:1].expand(4))
    plain = Direction(vector=numbers(4), found="here", range=(-1.0, 2.0))
    torch.testing.assert_close(even_places(plain, 4), torch.tensor([-1.0, 0.0, 1.0, 2.0]).double())
    torch.testing.assert_close(even_places(plain, 3, (0.0, 4.0)), torch.tensor([0.0, 2.0, 4.0]).double())
    with pytest.raises(LatentkitError, match="the range that was seen is not known"):
        even_places(Direction(vector=numbers(4), found="here"), 3)


def test_edits_of_codes_are_made_one_after_the_other(blobs: Blobs) -> None:
    model, codes = blobs(), 0.3 * torch.randn(3, 5)
    x, y = (Direction(vector=torch.eye(5)[axis], found="here") for axis in (0, 1))
    edits = [Edit(direction=x, amount=1.0), Edit(direction=y, amount=-0.5, absolute=True)]
    wanted = codes + torch.eye(5)[0]
    wanted[:, 1] = -0.5
    torch.testing.assert_close(edited(model, codes, edits), model.decode(wanted))
    torch.testing.assert_close(edited(model, codes, []), model.decode(codes))


def test_edits_of_styles_change_the_layers_that_they_name_after_those_of_the_code() -> None:
    model = lk.compose("stylealae", STYLE)
    codes = torch.randn(2, 8)
    of_code = Edit(direction=Direction(vector=torch.randn(8), found="here"), amount=0.5)
    vector = torch.randn(8)
    of_styles = Edit(direction=Direction(vector=vector, found="here", space="styles", layers=(1, 3)), amount=2.0)
    value = styles(model, of_code.apply(codes))
    value[:, [1, 3]] += 2 * vector
    images = edited(model, codes, [of_styles, of_code])
    torch.testing.assert_close(images, images_of_styles(model, value), atol=1e-5, rtol=1e-4)
    everywhere = Edit(direction=Direction(vector=vector, found="here", space="styles"), amount=2.0)
    torch.testing.assert_close(
        edited(model, codes, [everywhere]), images_of_styles(model, styles(model, codes) + 2 * vector),
        atol=1e-5, rtol=1e-4,
    )  # fmt: skip


def test_directions_of_other_codes_and_layers_are_refused(blobs: Blobs) -> None:
    other = Edit(direction=Direction(vector=torch.ones(4), found="here"), amount=1.0)
    with pytest.raises(LatentkitError, match="expected 5 numbers, as codes of 'recipe' have, found 4"):
        edited(blobs(), torch.zeros(1, 5), [other])
    of_styles = Edit(direction=Direction(vector=torch.ones(5), found="here", space="styles"), amount=1.0)
    with pytest.raises(LatentkitError, match="makes no styles"):
        edited(blobs(), torch.zeros(1, 5), [of_styles])
    model = lk.compose("stylealae", STYLE)
    for layers, size, said in (((40,), 8, "expected layers up to .*, found 40"), ((0,), 7, "expected 8 numbers")):
        direction = Direction(vector=torch.ones(size), found="here", space="styles", layers=layers)
        with pytest.raises(LatentkitError, match=said):
            edited(model, torch.zeros(1, 8), [Edit(direction=direction, amount=1.0)])
