"""Released checkpoints of the style form as runs: the same numbers, any size, and what does not fit is named."""

from __future__ import annotations

from collections import OrderedDict, abc
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import latentkit as lk
from latentkit.runs.plain import flat
from latentkit_plugins.alae.official import ENTRIES, below

Values = dict[str, Tensor]
Golden = abc.Callable[[str], Values]
SUBNETS = {"G": "decoder", "E": "encoder", "F": "mapping_f", "D": "mapping_d"}


def models(tensors: Values, suffix: str = "") -> dict[str, Any]:
    """Golden weights under the entries of a released checkpoint, with a fixed blur kernel as those have."""
    nets = {
        ENTRIES[letter][0] + suffix: OrderedDict(below(f"ref.{name}.", tensors)) for letter, name in SUBNETS.items()
    }
    blurred = tensors["ref.decoder.decode_block.0.bias_1"].shape[1]
    nets["generator" + suffix]["decode_block.0.blur.weight"] = torch.ones(blurred, 1, 3, 3) / 16
    return nets


def content(tensors: Values) -> dict[str, Any]:
    mean = {"buff": tensors["ref.dlatent_avg.buff"][:1].expand(2, -1).clone()}
    return {"models": {**models(tensors), **models(tensors, "_s"), "dlatent_avg": mean}}


def saved(path: Path, given: dict[str, Any]) -> Path:
    if path.suffix == ".safetensors":
        save_file({name: value.clone().contiguous() for name, value in flat(given).items()}, path)
    else:
        torch.save(given, path)
    return path


@pytest.mark.parametrize(("file", "name"), [("a.pth", "stylealae_32"), ("a.safetensors", "stylealae_128")])
def test_a_converted_run_gives_the_released_values(file: str, name: str, golden: Golden, tmp_path: Path) -> None:
    tensors = golden(name)
    top, batch = int(tensors["cfg"][2]) - 1, int(tensors["cfg"][5])
    run = lk.convert("alae", saved(tmp_path / file, content(tensors)), tmp_path / "run")
    for model in (run.model, lk.load(run.path), lk.load(run.path, weights="raw")):
        parts = {letter: part.requires_grad_(False) for letter, part in model.parts.items()}
        w = parts["E"](tensors[f"in.x.lod{top}"], 1)
        torch.testing.assert_close(w, tensors[f"E.lod{top}"], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(parts["D"](w), tensors[f"D.lod{top}"], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(parts["F"](tensors["in.z"]), tensors["out.F"], rtol=1e-4, atol=1e-5)
        maps = [tensors[f"noise.G.lod{top}.noise.{at:02d}"] for at in range(2 * (top + 1))]
        noise = torch.cat([item.expand(batch, -1, -1, -1).flatten(1) for item in maps], 1)
        images = parts["G"](tensors["in.styles"], 1, noise)
        torch.testing.assert_close(images, tensors[f"G.lod{top}.noise"], rtol=1e-4, atol=5e-4)
        assert torch.equal(model.states["w_avg"], tensors["ref.dlatent_avg.buff"][0])
        assert model.sample(2).shape == images[:2].shape


def test_a_tensor_that_does_not_fit_is_named_with_the_sizes_of_the_others(golden: Golden, tmp_path: Path) -> None:
    given = content(golden("stylealae_32"))
    for net in ("generator", "generator_s"):
        given["models"][net]["decode_block.1.conv_2.weight"] = torch.ones(3, 3, 3, 3)
    with pytest.raises(lk.RunError) as caught:
        lk.convert("alae", saved(tmp_path / "a.pth", given), tmp_path / "run")
    said = str(caught.value)
    assert "G ('generator'): 'decode_block.1.conv_2.weight' is [3, 3, 3, 3]" in said
    assert "a network for 32 x 32, 4 to 16 channels, latents of 16 (of no published recipe)" in said
    assert not (tmp_path / "run").exists()


def test_a_missing_tensor_and_other_numbers_of_levels_are_named(golden: Golden, tmp_path: Path) -> None:
    given = content(golden("stylealae_32"))
    for net in ("discriminator", "discriminator_s"):
        del given["models"][net]["encode_block.2.style_1.bias"]
    with pytest.raises(
        lk.RunError, match=r"E \('discriminator'\): nothing there is what is called 'blocks\.1\.style_1"
    ):
        lk.convert("alae", saved(tmp_path / "a.pth", given), tmp_path / "run")
    given = content(golden("stylealae_32"))
    for net in ("discriminator", "discriminator_s"):
        kept = {key: value for key, value in given["models"][net].items() if not key.startswith("encode_block.0.")}
        given["models"][net] = kept
    with pytest.raises(lk.RunError, match="G has 4 levels and E 3; both must have as many"):
        lk.convert("alae", saved(tmp_path / "b.pth", given), tmp_path / "run")
