"""The layers of style-based networks against the plain operations whose results and derivatives they are to have."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from latentkit.components.layers import blur
from latentkit_plugins.style._layers import EqualizedConv2d, Scaling, downsample, upsample
from latentkit_plugins.style._norm import standardized

EPS = 1e-2
Results = tuple[Tensor, Tensor, Tensor]


def numbers(*sizes: int) -> Tensor:
    return torch.randn(*sizes, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(sizes)))


def plainly(x: Tensor) -> Results:
    mean = x.mean((2, 3))
    d = x - mean[..., None, None]
    variance = d.square().mean((2, 3))
    return d * (variance + EPS).rsqrt()[..., None, None], mean, variance.sqrt()


def derivatives(results: Results, x: Tensor, used: tuple[int, ...]) -> list[Tensor]:
    """Of a curved sum of the results: the first derivative, that of its square, and that of this one's square."""
    loss, found = torch.stack([(results[index] + 0.3).pow(3).sum() for index in used]).sum(), []
    for _ in range(3):
        (gradient,) = torch.autograd.grad(loss, x, create_graph=True)
        loss = gradient.square().sum()
        found.append(gradient.detach())
    return found


@pytest.mark.parametrize("used", [(0,), (1, 2), (0, 2), (0, 1, 2)])
def test_norm_and_statistics_have_the_three_derivatives_of_the_plain_formula(used: tuple[int, ...]) -> None:
    x = numbers(2, 3, 4, 5).requires_grad_()
    mine, plain = standardized(x, EPS), plainly(x)
    for one, other in zip((*mine, *derivatives(mine, x, used)), (*plain, *derivatives(plain, x, used)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_a_constant_channel_has_no_derivative_of_its_deviation_and_that_is_seen() -> None:
    x = torch.ones(1, 1, 4, 4, requires_grad=True)
    y, mean, deviation = standardized(x, EPS)
    assert (y == 0).all()
    assert (mean.item(), deviation.item()) == (1, 0)
    (gradient,) = torch.autograd.grad(deviation.sum(), x, retain_graph=True)
    assert gradient.isnan().all()
    (gradient,) = torch.autograd.grad(y.sum() + mean.sum(), x)
    torch.testing.assert_close(gradient, torch.full_like(x, 1 / 16))


def test_the_norm_keeps_layout_and_type_and_takes_its_statistics_in_float32() -> None:
    x = numbers(2, 16, 8, 8).bfloat16().contiguous(memory_format=torch.channels_last).requires_grad_()
    y, mean, deviation = standardized(x, EPS)
    assert (y.dtype, mean.dtype, deviation.dtype) == (torch.bfloat16, torch.float32, torch.float32)
    assert y.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(mean, x.float().mean((2, 3)))
    (gradient,) = torch.autograd.grad((y.float().pow(3).sum() + deviation.sum()), x)
    assert gradient.dtype == torch.bfloat16
    wide = x.detach().float().requires_grad_()
    plain = plainly(wide)
    (expected,) = torch.autograd.grad(plain[0].pow(3).sum() + plain[2].sum(), wide)
    assert float((gradient.float() - expected).norm() / expected.norm()) < 0.01


@pytest.mark.parametrize("scaling", ["up", "down", "transposed"])
@pytest.mark.parametrize(("kernel", "side"), [(3, 6), (3, 5), (1, 4)])
def test_a_convolution_that_scales_is_a_convolution_and_a_resizing(scaling: Scaling, kernel: int, side: int) -> None:
    layer = EqualizedConv2d(2, 3, kernel, bias=True, scaling=scaling).double()
    assert set(layer.state_dict()) == {"weight", "bias"}
    x, bias = numbers(2, 2, side, side), numbers(1, 3, 1, 1)
    weight = layer.weight.transpose(0, 1).flip(2, 3) if scaling == "transposed" else layer.weight

    def same(x: Tensor) -> Tensor:
        return F.conv2d(x, weight, bias.flatten(), padding=kernel // 2)

    expected = downsample(same(x)) if scaling == "down" else same(upsample(x))
    torch.testing.assert_close(layer(x, bias), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(layer(x), expected - bias, rtol=1e-12, atol=1e-12)  # its own bias is 0


def test_blurring_has_the_derivatives_of_a_convolution() -> None:
    taps = torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64)
    kernel = (taps[:, None] * taps / 16).expand(3, 1, 3, 3)
    x = numbers(2, 3, 5, 4).requires_grad_()
    both = []
    for y in (blur(x), F.conv2d(x, kernel, padding=1, groups=3)):
        (gradient,) = torch.autograd.grad(y.pow(3).sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(gradient.pow(3).sum(), x, create_graph=True)
        both.append((y.detach(), gradient.detach(), second, *torch.autograd.grad(second.square().sum(), x)))
    for mine, plain in zip(*both, strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-9, atol=1e-9)
