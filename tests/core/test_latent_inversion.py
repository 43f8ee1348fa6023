"""Inversion and trajectories on a toy renderer: a blob whose place, size and brightness are the code's coordinates."""

from __future__ import annotations

import math
from collections import abc

import pytest
import torch
from torch import Tensor

import latentkit as lk
from latentkit.engine.training import Training
from latentkit.errors import LatentkitError
from latentkit.latent.decoding import decoder
from latentkit.latent.directions import DirectionFit, fit_direction
from latentkit.latent.filtered import FilteredError, squared_error
from latentkit.latent.inversion import Inversion, invert
from latentkit.latent.trajectories import trajectories
from latentkit.latent.transformations import HorizontalShift

SIDE = 16
QUICK = Inversion(steps=25, rate=0.05, error=FilteredError(sigma=1.0))
ALL_AMOUNTS = (0.125, 0.25, 0.375)


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def blob(z: Tensor) -> Tensor:
    """A blob on mid-grey at (0.5 z_1, 0.1 z_2), of a width and a brightness that z_3 and z_4 say: n 4 to n 1 16 16."""
    places = torch.linspace(-0.5, 0.5, SIDE, dtype=z.dtype)
    across = places - 0.5 * z[:, 0, None, None]
    down = places[:, None] - 0.1 * z[:, 1, None, None]
    width = 0.1 * torch.exp(0.1 * z[:, 2, None, None])
    envelope = torch.exp(-(across.square() + down.square()) / (2 * width.square()))
    return ((1 + 0.2 * z[:, 3, None, None]) * envelope).unsqueeze(1)


def textured(z: Tensor) -> Tensor:
    """The blob with a texture that the code says nothing of."""
    return blob(z) * (1 + 0.7 * CHECKERS)


CHECKERS = ((torch.arange(SIDE)[:, None] + torch.arange(SIDE)) % 2 * 2 - 1).double()


def starts(n: int, seed: int = 0) -> Tensor:
    return numbers(n, 4, seed=seed) * 0.3


@pytest.mark.parametrize("error", [squared_error, FilteredError(sigma=1.0)])
def test_codes_are_found_again(error: abc.Callable[..., Tensor]) -> None:
    wanted = starts(4)
    how = Inversion(steps=150, rate=0.03, error=error)
    found = invert(blob, blob(wanted), wanted + 0.1 * numbers(4, 4, seed=1), how)
    torch.testing.assert_close(found.codes, wanted, rtol=0, atol=0.01)
    assert found.errors.shape == (4,)
    assert (found.errors < 1e-5).all()
    assert not found.codes.requires_grad


def test_a_batch_gives_exactly_what_its_images_give_alone() -> None:
    start, targets = starts(3), blob(starts(3, seed=5))
    masks = (numbers(3, 1, SIDE, SIDE, seed=2) > -1).double()
    together = invert(blob, targets, start, QUICK, masks=masks)
    for i in range(3):
        one = slice(i, i + 1)
        alone = invert(blob, targets[one], start[one], QUICK, masks=masks[one])
        torch.testing.assert_close(together.codes[one], alone.codes, rtol=0, atol=1e-12)
        torch.testing.assert_close(together.errors[one], alone.errors, rtol=1e-9, atol=1e-15)
    spoiled = targets.clone()
    spoiled[0] = torch.nan
    assert torch.equal(invert(blob, spoiled, start, QUICK, masks=masks).codes[1:], together.codes[1:])


def test_it_is_the_loop_that_one_would_write() -> None:
    start, targets = starts(2), blob(starts(2, seed=3))
    code = start.clone().requires_grad_()
    adam = torch.optim.Adam([code], lr=0.05, eps=1e-7)
    before = []
    for _ in range(5):
        adam.zero_grad()
        errors = (blob(code) - targets).square().mean((1, 2, 3))
        before.append(errors.detach())
        errors.sum().backward()
        adam.step()
    told: list[tuple[int, Tensor]] = []
    how = Inversion(steps=5, rate=0.05, error=squared_error, bounded=False)
    found = invert(blob, targets, start, how, progress=lambda step, errors: told.append((step, errors)))
    torch.testing.assert_close(found.codes, code.detach(), rtol=1e-9, atol=1e-12)
    assert [step for step, _ in told] == [1, 2, 3, 4, 5]
    torch.testing.assert_close(torch.stack([errors for _, errors in told]), torch.stack(before))


def test_codes_stay_within_the_bound_after_every_update() -> None:
    start = 2 * torch.eye(4, dtype=torch.float64)[:2]
    lengths: list[float] = []

    def watched(z: Tensor) -> Tensor:
        lengths.append(float(z.detach().norm(dim=1).max()))
        return blob(z)

    targets = blob(1.5 * start)
    found = invert(watched, targets, start, Inversion(steps=4, rate=0.3, error=squared_error))
    assert max(lengths) <= 2 + 1e-12
    free = invert(blob, targets, start, Inversion(steps=4, rate=0.3, error=squared_error, bounded=False))
    assert float(free.codes.norm(dim=1).max()) > 2
    assert float(found.codes.norm(dim=1).max()) == pytest.approx(2)


def test_the_filtered_error_sees_through_texture_that_squares_damp() -> None:
    wanted = starts(4)
    targets = blob(wanted) * (1 - 0.7 * CHECKERS)  # the other phase, which no code makes
    errors = {}
    for name, error in (("plain", squared_error), ("filtered", FilteredError(sigma=1.5))):
        found = invert(textured, targets, wanted, Inversion(steps=60, rate=0.05, error=error))
        errors[name] = float((found.codes - wanted).norm(dim=1).mean())
    assert errors["filtered"] < 0.2 * errors["plain"]


def test_small_steps_reach_what_one_large_search_does_not() -> None:
    start, last = starts(4), ALL_AMOUNTS[-1]
    start[:, 0] = 0
    steps = trajectories(blob, start, HorizontalShift(), amounts=ALL_AMOUNTS, how=QUICK)
    recursive = steps.only(steps.change == last)
    targets, masks = HorizontalShift().apply(blob(start), last)
    longer = Inversion(steps=3 * QUICK.steps, rate=QUICK.rate, error=QUICK.error)
    at_once = invert(blob, targets, start, longer, masks=masks)
    assert (recursive.error < 0.1 * at_once.errors).all()
    assert float((recursive.end[:, 0] - 2 * last).abs().max()) < 0.15


def test_the_direction_of_a_shift_is_the_coordinate_that_moves_the_blob() -> None:
    steps = trajectories(blob, starts(6), HorizontalShift(), amounts=ALL_AMOUNTS[:2], how=QUICK)
    assert len(steps) == 2 * 2 * 6
    fitted = fit_direction(steps.without_worst(), DirectionFit(knots=21, rate=0.03, epochs=200, smoothness=0.1))
    assert float(fitted.direction[0]) > 0.99


def test_trajectories_are_in_the_order_of_their_amounts_and_say_how_far_they_are() -> None:
    told: list[tuple[float, int]] = []
    how = Inversion(steps=2, error=squared_error)
    steps = trajectories(
        blob, 9 * starts(2), HorizontalShift(), amounts=(0.1, 0.2), how=how,
        progress=lambda t, step, _: told.append((t, step)),
    )  # fmt: skip
    # Of 16 columns 0.1 is one, and 0.2 are three.
    assert steps.change.tolist() == [n / 16 for n in (1, 1, 3, 3, -1, -1, -3, -3)]
    assert told == [(t, step) for t in (0.1, 0.2, -0.1, -0.2) for step in (1, 2)]
    assert torch.equal(steps.start[:2], steps.start[-2:])
    assert float(steps.start.norm(dim=1).max()) <= 2 + 1e-12
    with pytest.raises(LatentkitError, match=r"expected growing amounts above 0, found \[0.2, 0.1\]"):
        trajectories(blob, starts(2), HorizontalShift(), amounts=(0.2, 0.1))


def test_wrong_sizes_are_refused() -> None:
    start, targets = starts(2), blob(starts(2))
    with pytest.raises(LatentkitError, match="expected one start per target, found 1 and 2"):
        invert(blob, targets, start[:1])
    with pytest.raises(LatentkitError, match=r"targets of the images' sizes \[1, 16, 16\], found \[1, 16, 15\]"):
        invert(blob, targets[..., 1:], start)
    with pytest.raises(LatentkitError, match=r"expected masks \[2, 1, 16, 16\], found \[3, 1, 16, 16\]"):
        invert(blob, targets, start, masks=torch.ones(3, 1, SIDE, SIDE))
    with pytest.raises(LatentkitError, match="expected images with a gradient to their codes"):
        invert(lambda z: blob(z.detach()), targets, start)


@pytest.fixture
def model_of(start: abc.Callable[..., Training]) -> abc.Callable[[str], lk.Model]:
    def build(name: str) -> lk.Model:
        training = start(name)
        return lk.Model(training.wiring, training.system.modules_by_name(), training.states)

    return build


@pytest.mark.parametrize("name", ["alae-mlp", "stylealae"])
def test_a_model_is_inverted_as_it_is(name: str, model_of: abc.Callable[[str], lk.Model]) -> None:
    model = model_of(name)
    decode = decoder(model)
    code = model.encode(torch.rand(3, *map(int, model.image_space.dims))).requires_grad_()  # type: ignore[arg-type]
    images = decode(code)
    (gradient,) = torch.autograd.grad(images[0].sum(), code)
    assert gradient[0].abs().sum() > 0
    assert not gradient[1:].any()
    torch.testing.assert_close(decode(code[1:2]), images[1:2])
    found = invert(model, images.detach(), code.detach() + 0.1, Inversion(steps=3, error=squared_error))
    assert found.codes.shape == code.shape
    if name == "alae-mlp":  # nothing is drawn
        torch.testing.assert_close(images.detach(), model.decode(code.detach()))
    assert all(parameter.grad is None for part in model.parts.values() for parameter in part.parameters())


def test_values_besides_codes_are_one_for_all_or_one_for_each(model_of: abc.Callable[[str], lk.Model]) -> None:
    model = model_of("stylealae")
    codes, noise = torch.randn(3, 6), 10 * torch.randn(3, 1, 1, 1)
    each, one = decoder(model, given={"noise": noise}), decoder(model, given={"noise": noise[:1]})
    torch.testing.assert_close(each(codes)[:1], one(codes)[:1])
    assert not torch.allclose(each(codes)[1:], one(codes)[1:])
    with pytest.raises(LatentkitError, match=r"'noise': expected one value per code \(3\), or one, found 2"):
        decoder(model, given={"noise": noise[:2]})(codes)


def test_codes_of_other_sizes_are_refused_and_of_another_precision_are_taken(
    model_of: abc.Callable[[str], lk.Model],
) -> None:
    decode = decoder(model_of("alae-mlp"))
    with pytest.raises(LatentkitError, match=r"'alae-mlp': expected codes \[n, 6\], found \[2, 5\]"):
        decode(torch.randn(2, 5))
    codes = torch.randn(2, 6)
    assert torch.equal(decode(codes.double()), decode(codes))


def test_options_out_of_range_are_refused() -> None:
    for options, said in (
        ({"steps": -1}, "steps: expected 0 or more, found -1"),
        ({"rate": 0.0}, "rate: expected more than 0, found 0"),
        ({"eps": math.nan}, "eps: expected more than 0, found nan"),
    ):
        with pytest.raises(LatentkitError, match=said):
            Inversion(**options)  # type: ignore[arg-type]
    with pytest.raises(LatentkitError, match="knots: expected 2 or more, found 1"):
        DirectionFit(knots=1)


def test_a_model_that_cannot_decode_is_refused(model_of: abc.Callable[[str], lk.Model]) -> None:
    with pytest.raises(LatentkitError, match="has no role 'decode'; it has: "):
        decoder(model_of("gan"))
