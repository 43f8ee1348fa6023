"""The generator of PGGAN against its published form written out, and what all networks that grow can do."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentkit.errors import Mismatch
from latentkit_plugins.style.mixing import Mixing
from latentkit_plugins.style.parts import GrowingDiscriminator, PgganGenerator, StyleGenerator

SIZES: dict[str, Any] = {"channels": 3, "levels": 4, "channels_base": 3, "max_channels": 11}
"""Features of 11, 11, 6 and 3 channels."""


def generator(level: int, base: tuple[int, int] = (4, 4), **options: Any) -> nn.Module:
    """With weights and biases all drawn, so that none is without effect."""
    height, width = (side << level for side in base)
    options = {"dim": 7, "equalized": "runtime", **SIZES, **options}
    module = PgganGenerator(height=height, width=width, base=base, **options).build().double()
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    return module


def latents(count: int = 2, dim: int = 7) -> Tensor:
    return torch.randn(count, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def twice(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def published(state: dict[str, Tensor], z: Tensor, level: int, blend: float, base: tuple[int, int]) -> Tensor:
    """Images of the weights ``state``, which are multiplied by gain / sqrt(inputs) in the call."""

    def normed(x: Tensor) -> Tensor:
        return x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt()

    def layer(x: Tensor, name: str, gain: float = math.sqrt(2)) -> Tensor:
        kernel = state[f"{name}.weight"]
        if kernel.shape[1] != x.shape[1]:  # of a transposed convolution
            kernel = kernel.transpose(0, 1).flip(2, 3)
        kernel = kernel * gain / math.sqrt(kernel[0].numel())
        return F.conv2d(x, kernel, state[f"{name}.bias"], padding=kernel.shape[-1] // 2)

    def active(x: Tensor) -> Tensor:
        return normed(torch.maximum(x, 0.2 * x))

    first = normed(z) @ (state["blocks.0.dense.weight"][:, :, 0, 0] / math.sqrt(z.shape[1])).T
    first = first * math.sqrt(2) / math.sqrt(math.prod(base))  # sqrt(2) / 4 for 4 x 4
    x = active(layer(active(first.reshape(len(z), -1, *base) + state["blocks.0.bias"]), "blocks.0.conv"))
    images = [layer(x, "to_rgb.0", gain=1)]
    for at in range(1, level + 1):
        x = active(layer(active(layer(twice(x), f"blocks.{at}.conv_1")), f"blocks.{at}.conv_2"))
        images.append(layer(x, f"to_rgb.{at}", gain=1))
    return blend * images[-1] + (1 - blend) * twice(images[-2]) if level else images[0]


@pytest.mark.parametrize("blend", [1, 0.3, 0.0])
@pytest.mark.parametrize(("level", "base"), [(0, (4, 4)), (1, (4, 4)), (2, (4, 6)), (3, (4, 4))])
def test_the_generator_is_the_published_one(level: int, base: tuple[int, int], blend: float) -> None:
    module, z = generator(level, base), latents()
    given = blend if isinstance(blend, int) else torch.tensor(blend, dtype=torch.float64)
    expected = published(module.state_dict(), z, level, blend, base)
    assert expected.shape == (2, 3, base[0] << level, base[1] << level)
    torch.testing.assert_close(module(z, given), expected, rtol=1e-9, atol=1e-12)


def test_a_convolution_that_doubles_by_itself_is_the_same_function() -> None:
    base, narrow = (64, 64), {"levels": 2, "channels_base": 2, "max_channels": 3, "dim": 3}
    module, z = generator(1, base, **narrow), latents(1, 3)
    assert module.state_dict()["blocks.1.conv_1.weight"].shape == (3, 2, 3, 3)  # from 128 on: inputs outputs k k
    torch.testing.assert_close(module(z, 1), published(module.state_dict(), z, 1, 1, base), rtol=1e-9, atol=1e-12)


def test_at_blend_0_an_image_is_that_of_the_level_below_enlarged() -> None:
    low, high, z = generator(1), generator(2), latents()
    high.load_state_dict(low.state_dict())
    torch.testing.assert_close(high(z, torch.tensor(0.0)), twice(low(z, 1)), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(high(z, torch.tensor(1.0)), high(z, 1), rtol=1e-12, atol=1e-12)


def test_only_the_direction_of_a_latent_counts() -> None:
    module, z = generator(1), latents()
    torch.testing.assert_close(module(5 * z, 1), module(z, 1), rtol=1e-6, atol=1e-6)  # but for the epsilon of the norm


def test_weights_start_with_deviation_1_and_biases_at_0_where_they_are_scaled_in_the_call() -> None:
    torch.manual_seed(0)
    module = PgganGenerator(dim=32, channels=3, height=8, width=8, levels=2, equalized="runtime").build()
    for name, value in module.named_parameters():
        if name.endswith("bias"):
            assert not value.any(), name
        elif not name.startswith("to_rgb"):
            assert float(value.detach().std()) == pytest.approx(1, abs=0.05), name


@pytest.mark.parametrize(("inclusive", "places"), [(False, {1, 2, 3}), (True, {1, 2, 3, 4})])
def test_the_layer_at_which_codes_change(inclusive: bool, places: set[int]) -> None:
    mixing = Mixing(layers=4, inclusive=inclusive).build()
    first, second, seen = torch.zeros(1, 2), torch.ones(1, 2), set()
    for place in torch.linspace(0, 0.999, 40):
        of_second = mixing(first, second, torch.stack([torch.tensor(0.5), place]))[0, :, 0]
        assert of_second.tolist() == sorted(of_second.tolist())
        seen.add(4 - int(of_second.sum()))
    assert seen == places
    assert not mixing(first, second, torch.tensor([0.95, 0.0])).any()  # one in ten batches is not mixed


@pytest.mark.parametrize("part", [PgganGenerator, StyleGenerator, GrowingDiscriminator])
def test_a_network_that_starts_higher_has_no_images_of_lower_levels(part: Any) -> None:
    given = {} if part is GrowingDiscriminator else {"dim": 7}
    layers = "from_rgb" if part is GrowingDiscriminator else "to_rgb"
    whole = part(height=8, width=8, **given, **SIZES).build().state_dict()
    later = part(height=8, width=8, start=1, **given, **SIZES).build().state_dict()
    assert whole.keys() - later.keys() == {f"{layers}.0.weight", f"{layers}.0.bias"}
    with pytest.raises(Mismatch, match=r"makes and reads images of 8, 16, 32; found 4"):
        part(height=4, width=4, start=1, **given, **SIZES).build()
    with pytest.raises(Mismatch, match=r"start must be a level, 0 to 3 of 4 levels, found 4"):
        part(start=4, **given, **SIZES)


def test_at_the_level_where_a_network_starts_nothing_fades_in() -> None:
    module, z = generator(1, start=1), latents()
    assert torch.equal(module(z, torch.tensor(0.2)), module(z, 1))
