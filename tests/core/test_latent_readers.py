"""The layers that read the code, by the networks that ship, and what closed forms and features make of them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import latentkit as lk
from latentkit.errors import LatentkitError
from latentkit.latent.codes import codes_to_search
from latentkit.latent.decompositions import closed_form_axes
from latentkit.latent.finding import find_directions
from latentkit.latent.readers import features_at, pieces_of_code, readers_of_code, readers_of_styles
from latentkit.mixing import style_layers

DATA = {"data.count": 24, "train.batch": 4}
NARROW = {**DATA, "parts.E.channels_base": 2, "parts.G.channels_base": 2}
BIGGAN = {
    **DATA, "data.resolution": 16, "draw.z.dim": 6,
    **{f"parts.{part}.{option}": value for part in "GD" for option, value in (("channels_base", 2), ("attention", 8))},
}  # fmt: skip
STYLE = {**DATA, "parts.G.channels_base": 2, "parts.E.channels_base": 2, "draw.z.dim": 8}


def codes_of(model: lk.Model, n: int = 12) -> Tensor:
    return codes_to_search(model, n, 0)


def linear_layers(module: nn.Module) -> list[nn.Linear]:
    return [layer for layer in module.modules() if isinstance(layer, nn.Linear)]


def same_axes(model: lk.Model, weights: Tensor) -> None:
    """The finder's directions are those of this matrix."""
    found = find_directions(model, "closed-form", {"count": 3})
    wanted = closed_form_axes(weights, 3)
    assert list(found) == ["closed-form-0", "closed-form-1", "closed-form-2"]
    for direction, axis in zip(found.values(), wanted.directions, strict=True):
        torch.testing.assert_close(direction.u, axis, atol=1e-4, rtol=1e-4)
        spread = (codes_to_search(model, 1000, 0) @ direction.u).std(correction=0)
        torch.testing.assert_close(direction.vector.norm(), spread, atol=1e-4, rtol=1e-4)
        assert direction.unit == "standard deviations"


def test_of_a_convolutional_generator_it_is_the_layer_before_the_first_map() -> None:
    model = lk.compose("vae", NARROW)
    (weight,) = readers_of_code(model, codes_of(model), None, 0)
    first = linear_layers(model.parts["G"])[0]
    torch.testing.assert_close(weight, first.weight)
    same_axes(model, first.weight)


def test_of_a_perceptron_it_is_its_first_layer() -> None:
    parts = {"E": {"use": "mlp.posterior"}, "G": {"use": "mlp.generator", "activation": "sigmoid", "hidden": 20}}
    tables = {key: value for key, value in lk.read("vae", DATA).tables.items() if key != "parts"}
    tables["inference"] = {"sample": "G(prior)", "encode": "q.mu", "code": "z", "decode": "G(z)"}
    model = lk.compose({**tables, "parts": parts})
    first = linear_layers(model.parts["G"])[0]
    assert first.weight.shape == (20, 16)
    (weight,) = readers_of_code(model, codes_of(model), None, 0)
    torch.testing.assert_close(weight, first.weight)
    same_axes(model, first.weight)


def test_a_code_that_is_scaled_on_the_way_counts_with_its_factor() -> None:
    model = lk.compose("ogan", NARROW)  # decode = "G(0.9 * z)"
    (weight,) = readers_of_code(model, codes_of(model), None, 0)
    torch.testing.assert_close(weight, 0.9 * linear_layers(model.parts["G"])[0].weight)
    assert pieces_of_code(model, codes_of(model), None, 0) == [24]


def test_of_a_style_generator_it_is_every_layers_style() -> None:
    model = lk.compose("stylealae", STYLE)
    styles = [module.style for module in model.parts["G"].modules() if hasattr(module, "style")]
    used = style_layers(model)
    weights = readers_of_code(model, codes_of(model), None, 0)
    assert len(weights) == used
    for found, layer in zip(weights, styles, strict=False):
        torch.testing.assert_close(found, layer.weight * (layer.factors or (1.0,))[0], atol=1e-5, rtol=1e-4)
    same_axes(model, torch.cat(weights))


def test_layers_of_styles_are_told_apart() -> None:
    model = lk.compose("stylealae", STYLE)
    codes, used = codes_of(model), style_layers(model)
    read = readers_of_styles(model, codes, None, 0)
    assert sorted(read) == list(range(used))
    together = readers_of_code(model, codes, None, 0)
    for layer, weights in read.items():
        (weight,) = weights
        torch.testing.assert_close(weight, together[layer], atol=1e-5, rtol=1e-4)
    found = find_directions(model, "closed-form", {"count": 2, "layers": [1, 2]})
    for direction, axis in zip(found.values(), closed_form_axes(torch.cat(together[1:3]), 2).directions, strict=True):
        assert (direction.space, direction.layers) == ("styles", (1, 2))
        torch.testing.assert_close(direction.u, axis, atol=1e-4, rtol=1e-4)
    with pytest.raises(LatentkitError, match=rf"layers: expected some of 0, .*{used - 1}, found \[99\]"):
        find_directions(model, "closed-form", {"layers": [0, 99]})
    with pytest.raises(LatentkitError, match="makes no styles"):
        find_directions(lk.compose("vae", NARROW), "closed-form", {"layers": [0]})


def test_a_code_that_is_cut_is_known_by_its_pieces_also_behind_spectral_norm() -> None:
    model = lk.compose("biggan", BIGGAN)
    assert pieces_of_code(model, codes_of(model), None, 0) == [2, 2, 2]
    assert pieces_of_code(lk.compose("vae", NARROW), torch.randn(8, 16), None, 0) == [16]
    with pytest.raises(LatentkitError, match="'biggan': no linear layer of 'decode' reads the code as it is"):
        find_directions(model, "closed-form")


def test_layers_behind_spectral_norm_are_seen() -> None:
    model = lk.compose("vae", {**NARROW, "parts.G.spectral_norm": True})
    (weight,) = readers_of_code(model, codes_of(model), None, 0)
    torch.testing.assert_close(weight, linear_layers(model.parts["G"])[0].weight, atol=1e-5, rtol=1e-4)


def test_a_code_that_no_layer_reads_as_it_is_has_no_known_pieces() -> None:
    tables = lk.read("vae", NARROW).tables
    tables["inference"]["decode"] = "G(relu(z))"
    model = lk.compose(tables)
    with pytest.raises(LatentkitError, match="pieces are not known; say --chunks"):
        pieces_of_code(model, torch.randn(8, 16), None, 0)
    with pytest.raises(LatentkitError, match="no linear layer of 'decode' reads the code as it is"):
        readers_of_code(model, torch.randn(8, 16), None, 0)


def test_features_are_what_a_module_makes_of_the_codes() -> None:
    model = lk.compose("vae", NARROW)
    codes = codes_of(model)
    paths = [f"G.{path}" for path, module in model.parts["G"].named_modules() if isinstance(module, nn.Linear)]
    features = features_at(model, paths[0], codes, None, 0)
    first = linear_layers(model.parts["G"])[0]
    torch.testing.assert_close(features, first(codes).flatten(1).detach())
    torch.testing.assert_close(features_at(model, "G", codes, None, 0), model.decode(codes).flatten(1))
    with pytest.raises(LatentkitError, match=r"layer: 'vae' has no module 'G\.lineal'"):
        features_at(model, "G.lineal", codes, None, 0)
    with pytest.raises(LatentkitError, match="expected 'E' to be called once by 'decode'"):
        features_at(model, "E", codes, None, 0)


def test_components_of_features_are_carried_back_to_codes() -> None:
    model = lk.compose("vae", NARROW)
    paths = [f"G.{path}" for path, module in model.parts["G"].named_modules() if isinstance(module, nn.Linear)]
    found = find_directions(model, "principal-components", {"count": 2, "layer": paths[0], "samples": 400})
    weight = linear_layers(model.parts["G"])[0].weight.detach()
    # Codes are white, so that the largest spread of W z is along its first right singular vector.
    axis = torch.linalg.svd(weight).Vh[0]
    assert abs(float(found["component-0"].u @ axis)) > 0.85
    assert found["component-0"].details["layer"] == paths[0]


def test_hooks_are_gone_when_the_looking_is_over() -> None:
    model = lk.compose("vae", NARROW)
    readers_of_code(model, codes_of(model), None, 0)
    pieces_of_code(model, codes_of(model), None, 0)
    assert not any(module._forward_hooks for part in model.parts.values() for module in part.modules())
