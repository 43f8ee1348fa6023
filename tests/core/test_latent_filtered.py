"""Errors behind a Gaussian filter against stored values; two passes against one two-dimensional kernel."""

from __future__ import annotations

from collections import abc

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from latentkit.errors import LatentkitError
from latentkit.latent.filtered import FilteredError, filtered, line_kernel, squared_error

Values = dict[str, Tensor]


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_stored_values_are_reproduced(given: abc.Callable[[str], Values], reproduced: abc.Callable[..., None]) -> None:
    values = given("blur")
    a, b, mask = values["img1"], values["img2"], values["mask"]
    got = {"plain_mse": squared_error(a, b), "plain_mse_masked": squared_error(a, b, mask)}
    for sigma in values["sigmas"].tolist():
        tag = f"s{sigma:g}".replace(".", "p")
        line = line_kernel(sigma, dtype=torch.float64)
        released = FilteredError(sigma=sigma, normalized=False, masking="after")
        got |= {
            f"kernel_{tag}": torch.outer(line, line),
            f"kernel_sum_{tag}": line.sum() ** 2,
            f"err_{tag}": released(a, b, mask),
            f"err_nomask_{tag}": released(a, b),
            f"err_normkernel_{tag}": FilteredError(sigma=sigma, masking="after")(a, b, mask),
            f"err_masked_before_blur_{tag}": FilteredError(sigma=sigma)(a, b, mask),
        }
    got["blurred_s1"] = filtered(a - b, line_kernel(1.0, dtype=torch.float64))
    reproduced("blur", got)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 1.5, 2.3])
def test_two_passes_are_the_two_dimensional_kernel(sigma: float) -> None:
    x, line = numbers(2, 3, 9, 14), line_kernel(sigma, dtype=torch.float64)
    taps = len(line)
    before, after = (taps - 1) // 2, taps - 1 - (taps - 1) // 2
    whole = torch.outer(line, line).expand(3, 1, taps, taps)
    wanted = F.conv2d(F.pad(x, (before, after, before, after)), whole, groups=3)
    torch.testing.assert_close(filtered(x, line), wanted, rtol=1e-12, atol=1e-12)


def test_the_gradient_is_that_of_the_formula() -> None:
    target, mask = numbers(2, 1, 5, 6, seed=1), (numbers(2, 1, 5, 6, seed=2) > 0).double()
    for masking in ("after", "both"):
        error = FilteredError(sigma=0.7, masking=masking)
        x = numbers(2, 1, 5, 6).requires_grad_()
        assert torch.autograd.gradcheck(lambda x, error=error: error(x, target, mask), x)


def test_undefined_pixels_leak_through_the_filter_unless_they_are_masked_before() -> None:
    x, mask = torch.zeros(1, 1, 12, 12), torch.ones(1, 1, 12, 12)
    mask[..., :4] = 0
    target = (1 - mask) * 5
    assert FilteredError(masking="after")(x, target, mask) > 0.1
    assert FilteredError()(x, target, mask) == 0


def test_an_image_has_its_error_whatever_else_is_in_the_batch() -> None:
    a, b = numbers(3, 2, 8, 8), numbers(3, 2, 8, 8, seed=1)
    mask = (numbers(3, 1, 8, 8, seed=2) > 0).double()
    for error in (squared_error, FilteredError(sigma=1.0)):
        alone = torch.cat([error(a[i : i + 1], b[i : i + 1], mask[i : i + 1]) for i in range(3)])
        torch.testing.assert_close(error(a, b, mask), alone, rtol=1e-13, atol=0)


def test_texture_costs_next_to_nothing() -> None:
    checkers = (torch.arange(16)[:, None] + torch.arange(16)) % 2 * 2.0 - 1
    x = checkers.expand(1, 1, 16, 16)
    assert squared_error(x, torch.zeros_like(x)) == 1
    assert FilteredError(sigma=2.0)(x, torch.zeros_like(x)) < 0.01


def test_wrong_options_are_refused() -> None:
    with pytest.raises(LatentkitError, match=r"sigma: expected at least 1/3 of a pixel, found 0\.1"):
        FilteredError(sigma=0.1)
    with pytest.raises(LatentkitError, match="masking: expected 'after' or 'both', found 'before'"):
        FilteredError(masking="before")  # type: ignore[arg-type]
