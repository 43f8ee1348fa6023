"""The operations of style-based networks against stored values; every value of the cases is compared."""

from __future__ import annotations

import math
import re
from collections import abc

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from latentkit.components.layers import EqualizedLinear, blur, pixel_norm
from latentkit.evaluation.probes import nearest
from latentkit.recipe.schema import AverageSpec
from latentkit_plugins.style._discriminator import minibatch_deviation
from latentkit_plugins.style._generator import Layer
from latentkit_plugins.style._norm import instance_norm
from latentkit_plugins.style.mixing import truncate

Values = dict[str, Tensor]
Golden = abc.Callable[[str], Values]


def modulated(x: Tensor, style: Tensor) -> Tensor:
    scale, shift = rearrange(style, "b (two c) -> two b c 1 1", two=2)
    return torch.addcmul(shift, x, scale + 1)


def linear(given: Values, lrmul: float) -> Tensor:
    """Stored weights have deviation 1 / lrmul and are multiplied in the call."""
    outputs, inputs = given["eq_w"].shape
    layer = EqualizedLinear(inputs, outputs, lrmul=lrmul, runtime=True).double()
    layer.load_state_dict({"weight": given["eq_w"] / lrmul, "bias": torch.zeros(outputs)})
    return layer(given["eq_x"])


def test_the_case_of_style_operations_is_reproduced(
    given: abc.Callable[[str], Values], reproduced: abc.Callable[..., None]
) -> None:
    case = given("style")
    x, average = case["x"], case["w_avg"]
    alpha = case["fade_alpha"]
    reproduced("style", {
        "pixelnorm": pixel_norm(x),
        "mbstd": minibatch_deviation(x, int(case["group_size"])),
        "instance_norm": instance_norm(x, 1e-8),
        "style_mod": modulated(x, case["style"]),
        "adain": modulated(instance_norm(x, 1e-8), case["style"]),
        "noise": torch.addcmul(x, case["noise_w"][:, None, None], case["noise"]),
        "eq_linear": linear(case, 1.0),
        "eq_linear_lrmul": linear(case, 0.01),
        "truncated": truncate(case["w"], average, float(case["psi"]), int(case["cutoff"])),
        "fade": torch.lerp(case["fade_old"], case["fade_new"], alpha),
        "w_avg_update": torch.lerp(average, case["w"][:, 0].mean(0), 0.005),
    })  # fmt: skip


def test_a_layer_is_noise_bias_activation_norm_and_style_in_this_order(given: abc.Callable[[str], Values]) -> None:
    case = given("style")
    x, channels = case["x"], case["x"].shape[1]
    layer = Layer(channels, 5, 0, "sample", False).double()
    with torch.no_grad():
        layer.strength.copy_(case["noise_w"].reshape(1, -1, 1, 1))
        layer.bias.copy_(torch.linspace(-1, 1, channels).reshape(1, -1, 1, 1))
        layer.style.weight.zero_()
        layer.style.bias.copy_(case["style"][0])
    noisy = x + case["noise_w"].reshape(1, -1, 1, 1) * case["noise"] + layer.bias
    normed = instance_norm(torch.where(noisy > 0, noisy, 0.2 * noisy), 1e-8)
    expected = modulated(normed, case["style"][:1].expand(len(x), -1))
    torch.testing.assert_close(
        layer(x, torch.zeros(len(x), 5).double(), case["noise"]), expected, rtol=1e-12, atol=1e-12
    )


def test_small_operations_of_the_released_code_are_reproduced(golden: Golden) -> None:
    tensors = golden("alae_misc")
    found = {
        "pixnorm.out": pixel_norm(tensors["pixnorm.in"]),
        "blur.out": blur(tensors["blur.in"]),
        "mbstd.out_group4": minibatch_deviation(tensors["mbstd.in"], 4),
        "ema.beta": torch.tensor(
            [AverageSpec(parts=("G",), half_life=10000).decay_at(batch) for batch in tensors["ema.batch"].tolist()],
            dtype=torch.float64,
        ),
        "nn1.pred": torch.from_numpy(np.asarray(nearest(
            tensors["nn1.train"].numpy(), tensors["nn1.train_y"].numpy(), tensors["nn1.test"].numpy()
        ))),
    }  # fmt: skip
    stems = {key.partition(".")[0] for key in found}
    assert {key for key in tensors if re.match(rf"({'|'.join(stems)})\.(out|beta|pred)", key)} == found.keys()
    for key, value in found.items():
        torch.testing.assert_close(value.to(tensors[key].dtype), tensors[key], rtol=1e-4, atol=1e-5)
    assert math.isclose(float(found["ema.beta"][0]), float(tensors["ema.beta"][0]), rel_tol=1e-12)
