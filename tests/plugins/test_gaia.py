"""GAIA's networks against published sizes, its distances and draws against their definitions, and its recipes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

import latentkit as lk
from latentkit.errors import Mismatch
from latentkit_plugins.gaia._layers import conv, linear
from latentkit_plugins.gaia.distances import distance
from latentkit_plugins.gaia.parts import GaiaDiscriminator, GaiaEncoder, GaiaGenerator
from latentkit_plugins.gaia.sampling import Dirichlet, convex

SIZES = {"channels": 3, "height": 128, "width": 128, "blocks": 4, "style": 512}
SMALL = {"channels": 1, "channels_base": 2, "blocks": 1, "style": 3}


def randn(*sizes: int, seed: int = 0) -> Tensor:
    return torch.randn(sizes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def weights_of(inputs: int, outputs: int, kernel: int = 1) -> int:
    """With biases."""
    return outputs * (inputs * kernel**2 + 1)


def contents(base: int) -> int:
    norms_and_convs = 2 * (weights_of(4 * base, 4 * base, 3) + 2 * 4 * base)
    down = weights_of(3, base, 7) + weights_of(base, 2 * base, 4) + weights_of(2 * base, 4 * base, 4)
    return down + 4 * norms_and_convs


def styles(base: int) -> int:
    down = weights_of(3, base, 7) + weights_of(base, 2 * base, 4) + weights_of(2 * base, 4 * base, 4)
    return down + 2 * weights_of(4 * base, 4 * base, 4) + weights_of(4 * base, 512)


def decoder(base: int) -> int:
    wide = 4 * base
    perceptron = weights_of(512, wide) + weights_of(wide, wide) + weights_of(wide, 2 * wide)
    up = weights_of(wide, 2 * base, 5) + 2 * 2 * base + weights_of(2 * base, base, 5) + 2 * base
    return perceptron + 8 * weights_of(wide, wide, 3) + up + weights_of(base, 3, 7)


def test_published_networks_have_the_published_weights() -> None:
    flat = 32 * 32 * 256
    with torch.device("meta"):
        encoder = GaiaEncoder(**SIZES, channels_base=64, content=512).build()
        generator = GaiaGenerator(**SIZES, channels_base=64, content=512).build()
        discriminator = GaiaDiscriminator(**SIZES, channels_base=32).build()
    assert count(encoder) == contents(64) + weights_of(flat, 512) + styles(64)
    assert count(generator) == weights_of(512, flat) + decoder(64)
    assert count(discriminator) == contents(32) + styles(32) + decoder(32)
    assert [count(module) for module in (encoder, generator, discriminator)] == [
        142_502_656, 140_563_203, 3_667_715,
    ]  # fmt: skip


@pytest.mark.parametrize("size", [(8, 8), (12, 20), (28, 28), (32, 64)])
def test_networks_take_any_sides_that_4_divides(size: tuple[int, int]) -> None:
    sizes = SMALL | {"height": size[0], "width": size[1]}
    x = torch.rand(2, 1, *size)
    code, content = GaiaEncoder(**sizes, content=5).build()(x)
    assert (code.shape, content.shape) == ((2, 8), (2, 5))
    assert torch.equal(code[:, :5], content)
    for y in (GaiaGenerator(**sizes, content=5).build()(code), GaiaDiscriminator(**sizes).build()(x)):
        assert y.shape == x.shape
        assert 0 < float(y.detach().min()) < float(y.detach().max()) < 1


@pytest.mark.parametrize("size", [(30, 32), (32, 30), (4, 8)])
def test_other_sides_are_refused(size: tuple[int, int]) -> None:
    for part in (GaiaEncoder, GaiaGenerator, GaiaDiscriminator):
        with pytest.raises(Mismatch, match=f"image of {size[0]} x {size[1]}; expected sides of 8 or more that 4 div"):
            part(**SMALL, height=size[0], width=size[1]).build()


def test_style_of_one_colour_is_the_same_at_any_size() -> None:
    torch.manual_seed(0)
    network = GaiaEncoder(**SMALL, height=16, width=16, content=5).build().style.double()
    with torch.no_grad():
        seen = [network(torch.full((1, 1, *size), 0.7).double()) for size in ((16, 16), (32, 48))]
    torch.testing.assert_close(*seen)  # borders are reflected, and the map is averaged


def test_content_and_style_both_shape_the_image() -> None:
    torch.manual_seed(0)
    generator = GaiaGenerator(**SMALL, height=8, width=8, content=5).build()
    code = torch.randn(2, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(generator(code).square().sum(), code)
    assert gradient.abs().amin(0).min() > 0


def test_weights_start_with_variance_two_over_inputs_and_none_far_out() -> None:
    torch.manual_seed(0)
    for layer, inputs in ((conv(20, 40, 5), 500), (linear(300, 100), 300)):
        deviation = math.sqrt(2 / inputs)
        assert float(layer.weight.detach().std()) == pytest.approx(deviation, rel=0.02)
        assert float(layer.weight.detach().abs().max()) < 2.28 * deviation
        assert not layer.bias.detach().any()


def test_distance_does_not_see_scales_nor_shifts_and_is_zero_for_copies() -> None:
    x, z = randn(6, 3, 4, 4), randn(6, 5, seed=1)
    wanted = distance(x, z)
    assert float(wanted) > 0
    torch.testing.assert_close(distance(0.1 * x + 7, 30 * z - 1), wanted)
    assert float(distance(x, 5 * x.flatten(1))) == pytest.approx(0, abs=1e-20)
    torch.testing.assert_close(distance(x, z, base2=True) * math.log(2) ** 2, wanted)


def test_distance_of_equal_samples_and_of_one_is_finite_with_its_gradient() -> None:
    for x, z in ((torch.zeros(4, 6), torch.ones(4, 2)), (torch.rand(4, 6), torch.ones(4, 2)), (torch.rand(1, 6),) * 2):
        z = z.clone().requires_grad_()
        value = distance(x, z)
        (gradient,) = torch.autograd.grad(value, z)
        assert value.isfinite()
        assert gradient.isfinite().all()


def test_draws_have_the_moments_of_their_distribution() -> None:
    for concentration, dim in ((None, 4), (2.0, 3)):
        prior = Dirichlet(concentration=concentration)
        rows = prior.draw((20000, dim), torch.Generator().manual_seed(0)).double()
        a = concentration or 1 / (2 * dim)
        torch.testing.assert_close(rows.sum(1), torch.ones(20000).double(), rtol=0, atol=1e-6)
        torch.testing.assert_close(rows.mean(0), torch.full((dim,), 1 / dim).double(), rtol=0, atol=0.015)
        variance = (1 / dim) * (1 - 1 / dim) / (dim * a + 1)
        torch.testing.assert_close(rows.var(0), torch.full((dim,), variance).double(), rtol=0.04, atol=0)


def test_draws_of_many_are_finite_and_a_number_per_sample_is_refused() -> None:
    rows = Dirichlet().draw((4000, 256), torch.Generator().manual_seed(0))
    assert rows.isfinite().all()
    assert float(rows.amax(1).mean()) == pytest.approx(0.758, abs=0.015)  # the Poisson-Dirichlet limit for 1/2
    with pytest.raises(Mismatch, match="several numbers per sample; state 'dim'"):
        Dirichlet().draw((4,), torch.Generator())


def test_convex_sums_count_round_the_batch() -> None:
    z = randn(4, 3)
    one = torch.eye(6).double()
    for k in range(6):
        torch.testing.assert_close(convex(z, one[k].expand(4, 6)), z.roll(-k, 0))
    torch.testing.assert_close(convex(z, torch.full((4, 4), 0.25).double()), z.mean(0).expand(4, 3))


def test_undetached_weights_are_two_lines_and_sound() -> None:
    original = {
        "flow.p_fake": "clip(sigmoid(slope * (sigma * F_mix - R)), 0, 0.9)",
        "flow.p_mix": "sigmoid(slope * (F_mix - F_rec))",
    }
    own = lk.read("gaia").tables["flow"]
    assert isinstance(own, dict)
    assert {f"flow.{name}": f"detach({original[f'flow.{name}']})" for name in ("p_fake", "p_mix")} == {
        f"flow.{name}": own[name] for name in ("p_fake", "p_mix")
    }
    report = lk.check("gaia", original)
    assert report.ok, report.problems
