"""BigGAN's networks against written-out formulas and published sizes, and its recipes."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import latentkit as lk
from latentkit._building import wired
from latentkit.engine.system import System
from latentkit.errors import Mismatch, RecipeError
from latentkit.registry.manager import default_registry
from latentkit.shaping import OrthogonalInitializer, normalised_layers, weighted_layers
from latentkit.wiring.graph import ancestors
from latentkit_plugins.biggan._layers import ConditionalBatchNorm, SelfAttention
from latentkit_plugins.biggan._layout import down_maps, up_maps
from latentkit_plugins.biggan._networks import Ascent, Descent
from latentkit_plugins.biggan.parts import BigDiscriminator, BigGenerator

CHUNKS = {8: 2, 16: 3, 32: 4, 64: 5, 128: 6, 256: 7}
PUBLISHED = {"classes": 1000, "channels": 3, "height": 128, "width": 128, "channels_base": 96, "attention": 64}
TINY: dict[str, object] = {
    "data.resolution": 8, "data.count": 24, "draw.z.dim": 4, "train.batch": 4,
    **{f"parts.{part}.{option}": value for part in "GD" for option, value in (("channels_base", 2), ("attention", 8))},
}  # fmt: skip


def generator(side: int = 8, dim: int = 4, **options: int) -> Ascent:
    sizes = {"classes": 3, "channels": 1, "height": side, "width": side, "channels_base": 2, "embedding": 5}
    built = BigGenerator(dim=dim, **{**sizes, **options}).build()
    assert isinstance(built, Ascent)
    return built


def discriminator(side: int = 8, **options: int) -> Descent:
    sizes = {"classes": 3, "channels": 1, "height": side, "width": side, "channels_base": 2}
    built = BigDiscriminator(**{**sizes, **options}).build()
    assert isinstance(built, Descent)
    return built


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def weights(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("side", "chunks"), CHUNKS.items())
@pytest.mark.parametrize("attention", [0, 8, 64])
def test_networks_have_the_sizes_of_their_ports_at_every_resolution(side: int, chunks: int, attention: int) -> None:
    with torch.device("meta"):
        make = generator(side, dim=5 * chunks, channels=3, attention=attention)
        judge = discriminator(side, channels=3, attention=attention)
        x = make(torch.empty(2, 5 * chunks), torch.empty(2, 3))
        score = judge(x, torch.empty(2, 3))
    assert (x.shape, score.shape) == ((2, 3, side, side), (2,))
    assert len(make.blocks) == chunks - 1
    attended = [sum(isinstance(layer, SelfAttention) for layer in part.attentions) for part in (make, judge)]
    assert attended == [0 < attention <= side, 0 < attention < side]


def test_maps_are_the_published_ones() -> None:
    assert up_maps(128, 128, 96).widths == (1536, 1536, 768, 384, 192, 96)
    assert up_maps(128, 128, 96).sides == (4, 8, 16, 32, 64, 128)
    assert down_maps(128, 128, 96).widths == (96, 192, 384, 768, 1536, 1536)
    assert down_maps(128, 128, 96).sides == (64, 32, 16, 8, 4, 4)
    assert down_maps(32, 32, 64).sides == (16, 8, 8, 8)
    assert [down_maps(side, side, 1).sides[-1] for side in (8, 16, 64, 256)] == [4, 4, 4, 4]


def test_published_generator_has_as_many_weights_as_the_released_one() -> None:
    with torch.device("meta"):
        module = BigGenerator(dim=120, **PUBLISHED).build()
    condition, widths, attended = 128 + 20, (1536, 1536, 768, 384, 192, 96), 192
    norms = sum(2 * condition * (a + b) for a, b in pairwise(widths))
    convs = sum(9 * a * b + 9 * b * b + a * b + 3 * b for a, b in pairwise(widths))
    attention = 2 * attended * (attended // 8) + 2 * attended * (attended // 2) + 1
    ends = (20 + 1) * 16 * 1536 + 2 * 96 + 9 * 96 * 3 + 3
    assert weights(module) == 1000 * 128 + norms + convs + attention + ends == 70_433_988


def test_published_discriminator_has_as_many_weights_as_the_released_one() -> None:
    with torch.device("meta"):
        module = BigDiscriminator(**PUBLISHED).build()
    blocks = sum(9 * a * b + 9 * b * b + 2 * b for a, b in pairwise((3, 96, 192, 384, 768, 1536, 1536)))
    shortcuts = sum(a * b + b for a, b in pairwise((3, 96, 192, 384, 768, 1536)))  # the last block halves nothing
    attention = 2 * 96 * 12 + 2 * 96 * 48 + 1
    assert weights(module) == blocks + shortcuts + attention + 1536 + 1 + 1000 * 1536 == 87_982_370


def test_class_conditional_batch_norm_is_its_formula() -> None:
    layer = ConditionalBatchNorm(channels=3, condition=4, eps=1e-5).double()
    h, c = 2 * numbers(5, 3, 2, 2) + 1, numbers(5, 4, seed=1)
    a, b = layer.gain.weight, layer.shift.weight  # 3 4
    found = layer(h, c)
    mean, var = h.mean((0, 2, 3)), h.var((0, 2, 3), unbiased=False)
    for i in range(5):
        for k in range(3):
            normal = (h[i, k] - mean[k]) / torch.sqrt(var[k] + 1e-5)
            torch.testing.assert_close(found[i, k], (1 + a[k] @ c[i]) * normal + b[k] @ c[i])
    assert sum(parameter.numel() for parameter in layer.parameters()) == 2 * 3 * 4


def test_class_conditional_batch_norm_infers_with_running_statistics() -> None:
    layer = ConditionalBatchNorm(channels=2, condition=1, eps=1e-5).double()
    h = 2 * numbers(50, 2, 4, 4) + 1
    layer(h, torch.zeros(50, 1, dtype=torch.float64))
    running = 0.1 * h.mean((0, 2, 3)), 0.9 + 0.1 * h.var((0, 2, 3), unbiased=True)
    wanted = (h - running[0][:, None, None]) / torch.sqrt(running[1][:, None, None] + 1e-5)
    torch.testing.assert_close(layer.eval()(h, torch.zeros(50, 1, dtype=torch.float64)), wanted)


def test_attention_is_its_formula_and_starts_as_the_identity() -> None:
    layer = SelfAttention(channels=16).double()
    h = numbers(2, 16, 4, 6)
    assert torch.equal(layer(h), h)
    nn.init.constant_(layer.gamma, 0.7)
    theta, phi, g, o = (getattr(layer, name).weight[:, :, 0, 0] for name in ("theta", "phi", "g", "o"))
    assert [tuple(weight.shape) for weight in (theta, phi, g, o)] == [(2, 16), (2, 16), (8, 16), (16, 8)]
    wanted = h.clone()
    for b in range(2):
        keys, values = [], []
        for row in range(0, 4, 2):
            for column in range(0, 6, 2):
                window = h[b, :, row : row + 2, column : column + 2].flatten(1)
                keys.append((phi @ window).amax(1))
                values.append((g @ window).amax(1))
        for row in range(4):
            for column in range(6):
                query = theta @ h[b, :, row, column]
                logits = torch.stack([query @ key for key in keys])
                share = logits.exp() / logits.exp().sum()
                seen = sum((share[j] * values[j] for j in range(len(values))), torch.zeros(8, dtype=h.dtype))
                wanted[b, :, row, column] += 0.7 * (o @ seen)
    torch.testing.assert_close(layer(h), wanted)


def test_attention_can_be_differentiated_twice() -> None:
    layer = SelfAttention(channels=8).double()
    nn.init.constant_(layer.gamma, 0.5)
    h = numbers(1, 8, 2, 2).requires_grad_()
    assert torch.autograd.gradgradcheck(layer, (h,))


def test_score_is_psi_of_the_features_plus_their_product_with_the_embedding() -> None:
    judge = discriminator(16, attention=8).double()
    x, y = numbers(4, 1, 16, 16), numbers(4, 3, seed=1).softmax(1)
    h = x
    for block, attend in zip(judge.blocks, judge.attentions, strict=True):
        h = attend(block(h))
    pooled = h.clamp(min=0).sum((2, 3))  # b width
    embedded = y @ judge.embedding.weight
    for i in range(4):
        wanted = judge.psi.weight[0] @ pooled[i] + judge.psi.bias[0] + embedded[i] @ pooled[i]
        torch.testing.assert_close(judge(x, y)[i], wanted)


def test_blocks_are_the_released_ones_whose_shortcuts_are_convolved_at_full_size() -> None:
    up = generator(16, dim=6).double().blocks[0]
    h, c = numbers(2, 8, 4, 4), numbers(2, 7, seed=1)
    inner = F.conv2d(_twice(F.relu(up.norms[0](h, c))), up.convs[0].weight, up.convs[0].bias, padding=1)
    inner = F.conv2d(F.relu(up.norms[1](inner, c)), up.convs[1].weight, up.convs[1].bias, padding=1)
    wanted = inner + F.conv2d(_twice(h), up.shortcut.weight, up.shortcut.bias)
    torch.testing.assert_close(up(h, c), wanted)
    first, second, last = discriminator(16).double().blocks
    x = numbers(2, 1, 16, 16)
    inner = first.convs[1](F.relu(first.convs[0](x)))
    torch.testing.assert_close(first(x), F.avg_pool2d(inner, 2) + first.shortcut(F.avg_pool2d(x, 2)))
    h = numbers(2, 8, 8, 8)
    inner = second.convs[1](F.relu(second.convs[0](F.relu(h))))
    torch.testing.assert_close(second(h), F.avg_pool2d(inner, 2) + F.avg_pool2d(second.shortcut(h), 2))
    torch.testing.assert_close(last(h), last.convs[1](F.relu(last.convs[0](F.relu(h)))) + h)


def test_each_chunk_of_the_latent_goes_to_its_own_place() -> None:
    make = generator(16, dim=6).double().eval()
    seen: list[Tensor] = []
    make.linear.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    for block in make.blocks:
        block.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1]))
    z, y = numbers(2, 6), numbers(2, 3, seed=1)
    make(z, y)
    first, second, third = seen
    embedded = y @ make.embedding.weight
    torch.testing.assert_close(first, z[:, :2])
    torch.testing.assert_close(second, torch.cat([embedded, z[:, 2:4]], 1))
    torch.testing.assert_close(third, torch.cat([embedded, z[:, 4:]], 1))


def test_one_hot_rows_look_the_embedding_up_and_others_mix_it() -> None:
    make = generator().double().eval()
    table = make.embedding.weight
    torch.testing.assert_close(make.embedding(torch.eye(3, dtype=torch.float64)), table)
    several = torch.tensor([[1.0, 0.0, 1.0], [0.25, 0.75, 0.0]], dtype=torch.float64)
    mixed = torch.stack([table[0] + table[2], 0.25 * table[0] + 0.75 * table[1]])
    torch.testing.assert_close(make.embedding(several), mixed)


@pytest.mark.parametrize("row", [[1.0, 0.0, 1.0], [0.3, 0.6, 0.1]], ids=["several", "continuous"])
def test_gradients_reach_conditions_of_several_classes_and_of_shares(row: list[float]) -> None:
    make, judge = generator().double().eval(), discriminator().double()
    z, x = numbers(2, 4), numbers(2, 1, 8, 8)
    y = torch.tensor([row, row[::-1]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda y: make(z, y), (y,))
    assert torch.autograd.gradcheck(lambda y: judge(x, y), (y,))
    (by_image,) = torch.autograd.grad(make(z, y).square().sum(), y)
    assert bool((by_image != 0).all())


def test_latents_and_images_of_other_sizes_are_refused_in_words() -> None:
    with pytest.raises(Mismatch, match=r"of 50; expected a multiple of 4, .* in 4 equal chunks; choose 48 or 52"):
        generator(32, dim=50)
    with pytest.raises(Mismatch, match=r"latent of 1; expected a multiple of 2, .*; choose 2$"):
        generator(8, dim=1)
    for build in (generator, discriminator):
        with pytest.raises(Mismatch, match=r"image of 28 x 28; expected a square of side 8, 16, 32, 64, 128 or 256"):
            build(28)


def test_spectral_norm_leaves_out_the_generators_embedding_and_nothing_else() -> None:
    make, judge = generator(attention=8), discriminator(attention=8)
    assert set(weighted_layers(make)) - set(normalised_layers(make)) == {make.embedding}
    assert normalised_layers(judge) == weighted_layers(judge)
    assert judge.embedding in normalised_layers(judge)
    parts = System(wired("biggan", TINY), default_registry()).parts
    found = {name: {key.partition(".parametrizations")[0] for key in part.state_dict() if "parametriz" in key}
             for name, part in parts.items()}  # fmt: skip
    assert "embedding" not in found["G"]
    assert {"linear", "to_image", "blocks.0.norms.0.gain", "attentions.0.theta"} <= found["G"]
    assert {"embedding", "psi", "blocks.0.shortcut"} <= found["D"]


def test_normalised_weights_have_largest_singular_value_one() -> None:
    parts = System(wired("biggan", TINY), default_registry()).parts
    for _ in range(30):  # power iterations
        parts["D"](torch.zeros(2, 1, 8, 8), torch.eye(3)[:2])
    for layer in normalised_layers(parts["D"].eval()):
        weight = layer.weight
        assert isinstance(weight, Tensor)
        assert float(torch.linalg.matrix_norm(weight.detach().flatten(1), 2)) == pytest.approx(1, abs=1e-3)


def test_orthogonal_initial_values_cost_nothing_where_rows_can_be_orthogonal() -> None:
    judge = discriminator()
    OrthogonalInitializer().initialize(judge)
    rows = judge.blocks[1].convs[0].weight.flatten(1)
    torch.testing.assert_close(rows @ rows.T, torch.eye(len(rows)), atol=1e-5, rtol=0)
    table = judge.embedding.weight
    torch.testing.assert_close(table @ table.T, torch.eye(3), atol=1e-5, rtol=0)


@pytest.mark.parametrize("recipe", ["biggan", "biggan-128"])
def test_recipes_are_sound(recipe: str) -> None:
    assert lk.check(recipe).problems == ()


def test_published_recipe_has_the_published_numbers() -> None:
    wiring = wired("biggan-128")
    recipe = wiring.recipe
    assert (recipe.train.batch, recipe.average["slow"].decay) == (2048, 0.9999)
    assert recipe.phase["discriminate"].repeat.at(0, 0) == 2
    assert (recipe.optimizer.lr.at(0, 0), recipe.optimizer.parts["D"].at(0, 0)) == (5e-5, 2e-4)
    assert (wiring.parts["G"].dim, wiring.parts["G"].classes, wiring.parts["D"].classes) == (120, 1000, 1000)


def test_data_of_other_classes_than_the_draw_are_a_fault_of_the_recipe() -> None:
    with pytest.raises(RecipeError, match=r"both = .*: label\[10\] does not fit label\[3\]"):
        wired("biggan", {"data.use": "digits"})
    assert wired("biggan", {"data.use": "digits", "draw.y.classes": 10}).parts["D"].classes == 10


def test_recipe_trains_without_a_loss_that_is_not_finite(tmp_path: Path) -> None:
    run = lk.train("biggan", tmp_path / "run", steps=2, overrides={**TINY, "train.log_every": 1}, precision="float32")
    records = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    losses = {key: value for key, value in records[-1].items() if "." in key}
    assert {"discriminate.adversarial", "generate.adversarial", "generate.orthogonal"} <= losses.keys()
    assert all(math.isfinite(value) for value in losses.values())


def test_samples_are_of_the_condition_that_is_given() -> None:
    model = lk.compose("biggan", TINY)
    classes, z = torch.eye(3)[[0, 1, 2, 2]], torch.ones(1, 4).expand(4, 4)
    images = model.sample(4, y=classes, z=z)
    assert images.shape == (4, 1, 8, 8)
    torch.testing.assert_close(images[2], images[3])
    assert float((images[0] - images[1]).abs().max()) > 0.01
    between = model.sample(4, y=torch.tensor([[0.5, 0.5, 0.0]]).expand(4, 3), z=z)
    assert float((between[0] - images[0]).abs().max()) > 0.01
    near = model.role("truncated", 4, y=classes, z_near=z)
    assert torch.equal(near, images)


def test_truncated_samples_are_drawn_within_the_threshold() -> None:
    model = lk.compose("biggan", TINY)
    (node,) = [node for node in ancestors([model.wiring.inference["truncated"]]) if node.value == ("draw", "z_near")]
    values = model.values([node], 64)[0]
    assert 0.4 < float(values.abs().max()) <= 0.5


def _twice(h: Tensor) -> Tensor:
    return h.repeat_interleave(2, 2).repeat_interleave(2, 3)
