"""Adaptive discriminator augmentation: which numbers do what, values against formulas written out, derivatives."""

from __future__ import annotations

import math
from collections import abc
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from latentkit.errors import Mismatch
from latentkit_plugins.ada._matrices import SYM6, bands, doubling, halving, period
from latentkit_plugins.ada._sampling import Resampling, copied
from latentkit_plugins.ada.parts import Augment

ALL = {"imgfilter": 1.0, "noise": 1.0, "cutout": 1.0}
Values = abc.Mapping[str, abc.Sequence[float]]


def images(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return 2 * torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype) - 1


def part_for(x: Tensor, **options: Any) -> Augment:
    return Augment(channels=x.shape[1], height=x.shape[2], width=x.shape[3], **options)


def uniform(part: Augment, batch: int, seed: int = 0) -> Tensor:
    count = part.sizes()["numbers"]
    assert isinstance(count, int)
    return torch.rand(batch, count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def at(normal: float) -> float:
    """The uniform number that becomes this normal one."""
    return (1 + math.erf(normal / math.sqrt(2))) / 2


def only(x: Tensor, drawn: Values, p: float = 0.5, **options: Any) -> Tensor:
    """Each sample with these transformations alone, whose numbers, after the one that decides, are given."""
    part = part_for(x, **options)
    row: list[float] = []
    for name, step in part.steps().items():
        values = list(drawn.get(name, ()))
        row += [0.0 if name in drawn else 0.9, *values, *[0.3] * (step.numbers - 1 - len(values))]
    found: Tensor = part.build()(x, p, torch.tensor([row] * len(x), dtype=torch.float64))
    return found


def close(a: Tensor, b: Tensor, tolerance: float = 1e-6) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("limits", [(-1.0, 1.0), (0.0, 1.0), (0.3, 7.7)])
def test_at_p_0_images_stay_as_they_are_bit_for_bit(dtype: torch.dtype, limits: tuple[float, float]) -> None:
    x = images(4, 3, 6, 9, dtype=dtype)
    part = part_for(x, range=limits, **ALL)
    u = uniform(part, 4)
    u[0] = 0
    for p in (0, 0.0, torch.zeros(())):
        found = part.build()(x, p, u.float())
        assert found.dtype == dtype
        assert torch.equal(found, x)


def test_a_sample_that_nothing_is_done_to_stays_whatever_is_done_to_the_others() -> None:
    x = images(2, 3, 8, 8, dtype=torch.float32)
    part = part_for(x, **ALL)
    u = uniform(part, 2).float().clamp(max=0.4)
    gates = [sum(step.numbers for step in list(part.steps().values())[:index]) for index in range(len(part.steps()))]
    u[1, gates] = 0.5
    found = part.build()(x, 0.5, u)  # not below p
    assert torch.equal(found[1], x[1])
    assert (found[0] - x[0]).abs().mean() > 0.05


@pytest.mark.parametrize("size", [(4, 4), (5, 5), (6, 9)])
def test_a_flip_is_exact(size: tuple[int, int]) -> None:
    x = images(2, 3, *size)
    assert torch.equal(only(x, {"xflip": [0.5]}), x.flip(3))
    assert torch.equal(only(x, {"xflip": [0.49]}), x)  # one of two, as likely as the other


@pytest.mark.parametrize("side", [4, 5])
@pytest.mark.parametrize("turns", range(4))
def test_quarter_turns_are_exact(side: int, turns: int) -> None:
    x = images(2, 3, side, side)
    assert torch.equal(only(x, {"rotate90": [turns / 4]}), torch.rot90(x, turns, (2, 3)))


@pytest.mark.parametrize("u", [0, 1])
def test_at_p_1_with_blits_alone_pixels_are_permuted(u: int) -> None:
    x = torch.arange(5 * 36.0).reshape(5, 1, 6, 6)
    part = part_for(x, geometry=False, color=False, xint_max=0.0)
    found = part.build()(x, 1.0, uniform(part, 5, seed=u))
    assert torch.equal(found.flatten(1).sort(1).values, x.flatten(1))
    assert not torch.equal(found, x)


def test_an_oblong_image_is_turned_about_its_middle() -> None:
    x = images(1, 1, 4, 8)
    assert torch.equal(only(x, {"rotate90": [0.25]})[..., 2:6], torch.rot90(x[..., 2:6], 1, (2, 3)))
    assert torch.equal(only(x, {"rotate90": [0.5]}), x.flip(2, 3))


def test_translation_moves_pixels_and_mirrors_them_at_the_edges() -> None:
    x = images(2, 3, 8, 12)
    moved = only(x, {"xint": [0.5 + 0.5 * 2 / 3, 0.0]}, xint_max=0.25)  # 2 / 3 and -1 of the longest
    padded = F.pad(x, (3, 3, 3, 3), mode="reflect")
    assert torch.equal(moved, padded[..., 5:13, 1:13])  # 2 pixels up, 2 to the right
    assert torch.equal(moved[..., :6, 2:], x[..., 2:, :10])


def test_a_whole_translation_and_a_fractional_one_of_as_much_agree() -> None:
    x = images(2, 1, 8, 8)
    whole = only(x, {"xint": [0.75, 0.25]}, xint_max=0.5)
    between = only(x, {"xfrac": [at(1.0), at(-1.0)]}, xfrac_std=0.25)
    assert torch.equal(whole[..., :6, 2:], x[..., 2:, :6])
    close(between, whole)


def test_the_number_before_decides_and_every_share_of_p_is_met() -> None:
    x = images(100, 1, 4, 4)
    part = part_for(x, geometry=False, color=False, rotate90=0.0, xint=0.0, xflip=0.5)
    u = torch.stack([torch.arange(100) / 100, torch.full((100,), 0.9)], 1)
    for p in (0.1, 0.5, 1.0):
        found = part.build()(x, p, u)
        done = [not torch.equal(mine, before) for mine, before in zip(found, x, strict=True)]
        assert done == [index / 100 < 0.5 * p for index in range(100)]


def test_either_of_two_turns_is_as_probable_as_one_of_another_kind() -> None:
    x = images(10_000, 1, 2, 2)
    part = part_for(x, blit=False, color=False, scale=0.0, aniso=0.0, xfrac=0.0)
    axis = (torch.arange(100) + 0.5) / 100
    first, second = torch.cartesian_prod(axis, axis).T
    other = torch.full_like(first, 0.7)
    found = part.build()(x, 0.36, torch.stack([first, other, second, other], 1).double())
    turned = (found != x).flatten(1).any(1)
    assert torch.equal(turned, (first < 0.2) | (second < 0.2))  # 1 - sqrt(1 - 0.36)
    assert float(turned.float().mean()) == pytest.approx(0.36)


def test_the_filter_is_orthonormal_with_six_vanishing_moments() -> None:
    h = torch.tensor(SYM6, dtype=torch.float64)
    for shift in range(6):
        close((h[: 12 - 2 * shift] * h[2 * shift :]).sum(), torch.tensor(float(shift == 0)).double(), 1e-15)
    k = torch.arange(12).double()
    for moment in range(6):
        close(((-1) ** k * (k - 5) ** moment * h).sum(), torch.tensor(0.0).double(), 1e-10)


@pytest.mark.parametrize("size", [1, 2, 3, 8, 9])
def test_an_axis_doubled_and_halved_is_what_it_was(size: int) -> None:
    around = (torch.arange(2 * size + 10) - 5) % (2 * period(size))
    close(halving(size) @ doubling(size)[around], torch.eye(size).double(), 1e-14)
    close(bands(size).sum(0), torch.eye(size).double(), 1e-14)


def inverse(across: float, down: float, shear: float, right: float, lower: float) -> Tensor:
    return torch.tensor([[[across, shear, right], [-shear, down, lower], [0, 0, 1]]], dtype=torch.float64)


def published(x: Tensor, matrix: Tensor) -> Tensor:
    """One image and channel, ``h w``, as the released code goes about it: pad, double, transform, read, halve, crop."""
    pad = 40
    taps = torch.tensor(SYM6, dtype=torch.float64) / math.sqrt(2)
    for axis in (0, 1):
        size = x.shape[axis]
        index = torch.arange(-pad, size + pad) % (2 * size - 2)
        x = x.index_select(axis, torch.minimum(index, 2 * size - 2 - index))
    height, width = x.shape
    zeros = torch.zeros(2 * height, 2 * width, dtype=torch.float64)
    zeros[::2, ::2] = x
    wide = F.conv2d(F.pad(zeros, (6, 5, 6, 5))[None, None], 4 * (taps[:, None] * taps).flip(0, 1)[None, None])[0, 0]
    shift, double = torch.eye(3).double(), torch.diag(torch.tensor([2.0, 2, 1])).double()
    shift[:2, 2] = -0.5
    both = shift @ double @ matrix @ double.inverse() @ shift.inverse()
    rows, columns = (2 * (size - 2 * pad + 6) for size in (height, width))
    down, across = torch.meshgrid(torch.arange(rows).double(), torch.arange(columns).double(), indexing="ij")
    place = torch.stack([across - (columns - 1) / 2, down - (rows - 1) / 2, torch.ones_like(down)])
    right, lower, _ = torch.einsum("ij,jhw->ihw", both, place)
    right, lower = right + (2 * width - 1) / 2, lower + (2 * height - 1) / 2
    left, upper = right.floor().long(), lower.floor().long()
    found = torch.zeros_like(right)
    for i in (0, 1):
        for k in (0, 1):
            weight = (1 - (right - left - i).abs()) * (1 - (lower - upper - k).abs())
            found += weight * wide[upper + k, left + i]
    return F.conv2d(found[None, None, 1:-1, 1:-1], (taps[:, None] * taps)[None, None], stride=2)[0, 0]


@pytest.mark.parametrize("matrix", [inverse(1, 1, 0, 0, 0), inverse(0.8, 1.3, 0.4, 1.7, -2.2), inverse(0, 0, 1, 0, 0)])
def test_resampling_is_the_published_row_of_steps_written_out(matrix: Tensor) -> None:
    x = images(1, 2, 6, 9)
    found = Resampling(6, 9)(x, matrix)
    for channel in (0, 1):
        close(found[0, channel], published(x[0, channel], matrix[0]), 1e-12)


def test_geometry_is_the_published_product() -> None:
    x = images(3, 1, 6, 8)
    drawn = {"scale": [at(1.5)], "rotate": [0.8], "aniso": [at(-0.7)], "rotate_again": [0.35],
             "xfrac": [at(0.4), at(-1.1)], "xflip": [0.7], "rotate90": [0.3], "xint": [0.9, 0.2]}  # fmt: skip

    def turn(angle: float) -> Tensor:
        cos, sin = math.cos(angle), math.sin(angle)
        return torch.tensor([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], dtype=torch.float64)

    def scaling(across: float, down: float) -> Tensor:
        return torch.diag(torch.tensor([across, down, 1], dtype=torch.float64))

    def moving(across: float, down: float) -> Tensor:
        matrix = torch.eye(3, dtype=torch.float64)
        matrix[:2, 2] = torch.tensor([across, down])
        return matrix

    done = [  # of the image, in the order in which it is done
        scaling(-1, 1), turn(-math.pi / 2), moving(round(0.8 * 0.5 * 8), round(-0.6 * 0.5 * 6)),
        scaling(2**0.3, 2**0.3), turn(-0.6 * math.pi), scaling(2**-0.14, 2**0.14), turn(0.3 * math.pi),
        moving(0.4 * 0.125 * 8, -1.1 * 0.125 * 6),
    ]  # fmt: skip
    whole = torch.linalg.multi_dot(done[::-1]).inverse()
    close(only(x, drawn, xint_max=0.5, color=False), Resampling(6, 8)(x, whole.expand(3, 3, 3)))


def test_linear_in_the_image_and_the_gradient_is_the_adjoint() -> None:
    shape = (2, 1, 5, 7)
    part = part_for(images(*shape), color=False)
    module, u = part.build(), uniform(part, 2)
    a, b, y = (images(*shape, seed=seed).requires_grad_() for seed in (1, 2, 3))
    close(module(2 * a - b, 1.0, u), 2 * module(a, 1.0, u) - module(b, 1.0, u), 1e-12)
    (back,) = torch.autograd.grad((module(a, 1.0, u) * y).sum(), a, create_graph=True)  # A* y
    close((module(b, 1.0, u) * y).sum(), (b * back).sum(), 1e-12)  # <A b, y> = <b, A* y>
    (again,) = torch.autograd.grad((back * b.detach()).sum(), y, create_graph=True)  # the adjoint's is A once more
    close(again, module(b, 1.0, u), 1e-12)


@pytest.mark.parametrize("channels", [1, 3])
def test_gradients_and_their_gradients_are_the_derivatives(channels: int) -> None:
    x = images(2, channels, 3, 4).requires_grad_()
    part = part_for(x, **ALL)
    module, u = part.build(), uniform(part, 2, seed=3)

    def value(x: Tensor) -> Tensor:
        found: Tensor = module(x, torch.tensor(0.9), u)
        return found.pow(3)

    assert torch.autograd.gradcheck(value, (x,))
    assert torch.autograd.gradgradcheck(value, (x,))


def test_copies_are_differentiable_with_their_pixels() -> None:
    x = images(1, 1, 3, 3).requires_grad_()
    moved = copied(x, inverse(1, 1, 0, 1, 0))
    (gradient,) = torch.autograd.grad((moved * torch.arange(9.0).reshape(3, 3)).sum(), x)
    assert gradient[0, 0].tolist() == [[0, 0 + 2, 1], [0, 3 + 5, 4], [0, 6 + 8, 7]]


def test_colors_are_the_published_product() -> None:
    x = images(2, 3, 4, 5)
    drawn = {"brightness": [at(-0.9)], "contrast": [at(0.6)], "lumaflip": [0.8], "hue": [0.9], "saturation": [at(1.2)]}
    axis = torch.ones(3, 3, dtype=torch.float64) / 3
    cross = torch.tensor([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], dtype=torch.float64) / math.sqrt(3)
    eye = torch.eye(3, dtype=torch.float64)
    flip, angle = eye - 2 * axis, 0.8 * math.pi
    hue = math.cos(angle) * eye + (1 - math.cos(angle)) * axis + math.sin(angle) * cross
    saturation = axis + (eye - axis) * 2**1.2
    shifted = x - 0.9 * 0.2
    wanted = torch.einsum("ij,bjhw->bihw", saturation @ hue @ flip * 2**0.3, shifted)
    close(only(x, drawn), wanted)
    close(only((x + 1) / 2, drawn, range=(0.0, 1.0)), (wanted + 1) / 2)


@pytest.mark.parametrize(
    ("name", "values", "formula"),
    [
        ("brightness", [at(1.5)], lambda x: x + 0.3),
        ("contrast", [at(2.0)], lambda x: 2 * x),
        ("lumaflip", [0.5], lambda x: -x),
        ("lumaflip", [0.4], lambda x: x),
        ("noise", [at(-2.0), *[at(0.5)] * 20], lambda x: x + 2.0 * 0.1 * 0.5),
    ],
)
def test_values_of_a_grey_image(name: str, values: list[float], formula: abc.Callable[[Tensor], Tensor]) -> None:
    x = images(2, 1, 4, 5)
    close(only(x, {name: values}, noise=1.0), formula(x))


def test_a_grey_image_is_treated_as_the_mean_of_three_equal_channels() -> None:
    x = images(2, 1, 4, 5)
    drawn = {"brightness": [at(0.3)], "contrast": [at(-1.0)], "lumaflip": [0.6]}
    more = {"hue": [0.2], "saturation": [at(1.0)]}
    close(only(x, drawn), only(x.expand(-1, 3, -1, -1), drawn | more).mean(1, keepdim=True))


def test_octaves_are_those_of_the_published_filter_bank() -> None:
    low = torch.tensor([1 - 3**0.5, 3 - 3**0.5, 3 + 3**0.5, 1 + 3**0.5], dtype=torch.float64) / (4 * 2**0.5)
    signs = torch.tensor([1.0, -1, 1, -1])

    def both(taps: Tensor) -> Tensor:
        return F.conv1d(F.pad(taps, (3, 3))[None, None], taps[None, None])[0, 0] / 2

    def apart(taps: Tensor, step: int) -> Tensor:
        found = torch.zeros(step * (len(taps) - 1) + 1, dtype=torch.float64)
        found[::step] = taps
        return found

    def through(x: Tensor, taps: Tensor) -> Tensor:
        return F.conv1d(x[None, None], taps[None, None], padding=len(taps) // 2)[0, 0]

    impulse = torch.zeros(99, dtype=torch.float64)
    impulse[49] = 1.0
    rest = impulse
    for band, step in ((3, 1), (2, 2), (1, 4), (0, 8)):
        wanted = rest if band == 0 else through(rest, apart(both(low * signs), step))
        rest = rest if band == 0 else through(rest, apart(both(low), step))
        close(bands(99)[band] @ impulse, wanted, 1e-12)


def test_the_amplified_octave_of_a_natural_image_keeps_its_power() -> None:
    flat = torch.full((1, 1, 8, 8), 0.5, dtype=torch.float64)
    for band, share in enumerate((10, 1, 1, 1)):
        found = only(flat, {f"octave{band}": [at(1.0)]}, imgfilter=1.0)
        gain = (2 if band == 0 else 1) / math.sqrt(1 + share / 13 * (4 - 1))
        close(found, flat * gain**2)  # both axes


def test_a_cut_out_is_grey_and_of_its_size() -> None:
    x = images(1, 3, 8, 8).abs() + 0.1
    found = only(x, {"cutout": [0.25, 0.75]}, cutout=1.0)
    assert torch.equal(found == 0, F.pad(torch.ones(1, 3, 4, 4), (0, 4, 4, 0)).bool())
    close(found[..., :4], torch.where(torch.arange(8)[:, None] < 4, x, 0.0)[..., :4])
    close(found[..., 4:], x[..., 4:])
    assert float(only(x, {"cutout": [0.25, 0.75]}, cutout=1.0, range=(0.0, 1.0))[0, 0, 7, 0]) == 0.5


@pytest.mark.parametrize(
    ("channels", "options", "numbers"),
    [
        (3, {}, 28), (1, {}, 24), (3, {"color": False}, 18), (3, {"blit": False, "geometry": False}, 10),
        (3, {"rotate": 0.0, "hue": 0.0}, 22), (1, ALL, 24 + 8 + 2 + 20 + 3), (2, {"color": False}, 18),
    ],
)  # fmt: skip
def test_so_many_numbers_are_needed(channels: int, options: dict[str, Any], numbers: int) -> None:
    assert Augment(channels=channels, height=4, width=5, **options).sizes()["numbers"] == numbers


def test_extreme_numbers_give_finite_images() -> None:
    x = images(2, 3, 5, 5, dtype=torch.float32)
    part = part_for(x, **ALL)
    u = torch.zeros_like(uniform(part, 2)).float()
    u[1] = 1 - 2**-24
    assert bool(part.build()(x, 1.0, u).isfinite().all())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"blit": False, "geometry": False, "color": False}, "every transformation is off; expected one at least"),
        ({"channels": 2}, "colours are those of images of 1 or 3 channels, found 2; say color = false"),
        ({"range": (1.0, 0.0)}, r"'range' wants the values of black and white, black below white; found \[1.0, 0.0\]"),
    ],
)
def test_what_cannot_be_is_told(options: dict[str, Any], told: str) -> None:
    with pytest.raises(Mismatch, match=told):
        Augment(**{"channels": 3, "height": 8, "width": 8, **options}).build()
