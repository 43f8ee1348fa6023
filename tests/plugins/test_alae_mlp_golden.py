"""MLP-ALAE's four networks against values of the released ones: reduced width, and true size."""

from __future__ import annotations

import functools
from collections import abc

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentkit.interfaces import Part
from latentkit_plugins.alae.mlp import AlaeMlpDiscriminator, AlaeMlpEncoder, AlaeMlpGenerator, AlaeMlpMapping
from latentkit_plugins.alae.official import reference_state

Values = dict[str, Tensor]
Golden = abc.Callable[[str], Values]
Weights = abc.Callable[[Values], Values]
FILES = ("alae_mlp", "alae_mlp_full")


def parts(cfg: Tensor, side: int | None = None, **slopes: float) -> dict[str, Part]:
    """F, G, E and D by the file's sizes; ``side`` is that of the outer image."""
    latent, hidden, mapping_layers, score_layers, _, image, _ = cfg.tolist()
    outer = side or image
    shape = {"channels": 1, "height": outer, "width": outer, "dim": latent, "hidden": hidden}
    resized = shape | ({"side": image} if side else {})
    return {
        "F": AlaeMlpMapping(dim=latent, layers=mapping_layers),
        "G": AlaeMlpGenerator(**resized, **{k: v for k, v in slopes.items() if k == "slope"}),
        "E": AlaeMlpEncoder(**resized, **slopes),
        "D": AlaeMlpDiscriminator(dim=latent, layers=score_layers),
    }


def load(built: abc.Mapping[str, Part], weights: Values, dtype: torch.dtype) -> dict[str, nn.Module]:
    modules = {letter: part.build().to(dtype) for letter, part in built.items()}
    for letter, module in modules.items():
        module.load_state_dict(reference_state(letter, weights))
    return modules


def forward(tensors: Values, weights: Values, dtype: torch.dtype) -> Values:
    m = load(parts(tensors["cfg"]), weights, dtype)
    x, z = tensors["in.x_u8"].to(dtype) / 255, tensors["in.z"].to(dtype)
    w, h = m["F"](z), m["E"](x)
    x_fake = m["G"](w)
    return {
        "w": w, "G": x_fake, "E_x": h, "E_x_long": m["E"].features(x), "E_G": m["E"](x_fake),
        "recon_x": m["G"](h), "D_x_all": m["D"].outputs(h), "D_x": m["D"](h), "D_G": m["D"](m["E"](x_fake)),
    }  # fmt: skip


def padded(tensors: Values, dtype: torch.dtype) -> Tensor:
    """The padded image in [-1, 1]. The float64 results are of the unrounded one, which is not stored."""
    stored = tensors["head.in.x32"]
    border = (stored.shape[-1] - tensors["in.x_u8"].shape[-1]) // 2
    exact = F.pad(tensors["in.x_u8"].double() / 255 * 2 - 1, (border,) * 4, value=-1)
    torch.testing.assert_close(exact.float(), stored, rtol=0, atol=1e-6)
    return exact if dtype == torch.float64 else stored


def forward_head(tensors: Values, weights: Values, dtype: torch.dtype) -> Values:
    cfg, slopes = tensors["cfg"], {"slope": 0.2, "output_slope": 0.2}
    sides = {key: tensors[f"head.out.{key}"].shape[-1] for key in ("G_32", "G_lod2_16")}
    at = {key: load(parts(cfg, side, **slopes), weights, dtype) for key, side in sides.items()}
    m = at["G_32"]
    w, h = m["F"](tensors["in.z"].to(dtype)), m["E"](padded(tensors, dtype))
    images = {key: modules["G"](w) for key, modules in at.items()}
    return {"E": h, "F": w, "D": m["D"](h)} | images


def compare(got: Values, tensors: Values, prefix: str, dtype: torch.dtype, also: abc.Set[str] = frozenset()) -> None:
    start = f"f64.{prefix}" if dtype == torch.float64 else prefix
    wanted = {key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)}
    assert got.keys() == wanted.keys() - also
    for key, value in got.items():
        rtol, atol = (1e-9, 1e-10) if dtype == torch.float64 else (1e-4, 1e-4 if value.ndim == 4 else 1e-5)
        named = functools.partial("{}: {}".format, key)
        torch.testing.assert_close(value, wanted[key], rtol=rtol, atol=atol, msg=named)


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("name", FILES)
def test_networks_give_the_released_values(
    name: str, dtype: torch.dtype, golden: Golden, reference_weights: Weights
) -> None:
    tensors = golden(name)
    got = forward(tensors, reference_weights(tensors), dtype)
    compare(got, tensors, "out.", dtype, also={"F_layers_shape"})
    batch, _, dim = tensors["out.F_layers_shape"].tolist()  # the released F repeats w for each layer
    assert got["w"].shape == (batch, dim)


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
def test_options_give_the_classes_of_the_main_branch(
    dtype: torch.dtype, golden: Golden, reference_weights: Weights
) -> None:
    tensors = golden("alae_mlp")
    compare(forward_head(tensors, reference_weights(tensors), dtype), tensors, "head.out.", dtype)


def test_step_multipliers_are_the_released_ones(golden: Golden) -> None:
    tensors = golden("alae_mlp")
    for letter, part in parts(tensors["cfg"]).items():
        module = part.build()
        ours = {
            f"{path}.{leaf}": multiplier
            for path, layer in module.named_modules()
            for leaf, multiplier in getattr(layer, "step_multipliers", {}).items()
        }
        theirs = reference_state(letter, tensors, prefix="lrcoef.")
        assert ours.keys() == theirs.keys() == dict(module.named_parameters()).keys()
        for name, multiplier in ours.items():
            assert multiplier == pytest.approx(float(theirs[name]), rel=1e-12)
