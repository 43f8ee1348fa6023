"""Checkpoints of the released ALAE code as runs: the same numbers, any size, and clear words for everything else."""

from __future__ import annotations

import json
import sys
import types
from collections import OrderedDict, abc
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import latentkit as lk
from latentkit.registry.manager import default_registry
from latentkit.runs.files import read_tensors
from latentkit.runs.plain import flat
from latentkit_cli import main
from latentkit_plugins.alae.official import ENTRIES, SUBNETS, below

Values = dict[str, Tensor]
Golden = abc.Callable[[str], Values]
Content = dict[str, Any]
SMALL = {"data.count": 40, "train.batch": 8}


@pytest.fixture(autouse=True)
def _fresh_registry() -> None:
    default_registry.cache_clear()


def models(weights: abc.Mapping[str, Tensor], suffix: str = "") -> dict[str, Any]:
    """Golden weights under the entries of a released checkpoint."""
    nets = {entry[0] + suffix: below(f"ref.{SUBNETS[letter]}.", weights) for letter, entry in ENTRIES.items()}
    return {name: OrderedDict(state) for name, state in nets.items()}


def random_weights(dim: int, hidden: int, pixels: int, mapping_layers: int = 2, score_layers: int = 1) -> Values:
    """Weights of another size, under the names of the golden file."""
    generator = torch.Generator().manual_seed(0)
    widths = {"encoder.fc_{}": [pixels, hidden, hidden, dim], "decoder.fc_{}": [dim, hidden, hidden, pixels]}
    found: Values = {}
    for name, (first, *rest) in widths.items():
        for index, after in enumerate(rest, 1):
            found[f"ref.{name.format(index)}.weight"] = torch.randn(after, first, generator=generator)
            found[f"ref.{name.format(index)}.bias"] = torch.randn(after, generator=generator)
            first = after
    names = [f"mapping_fl.map_blocks.{index}.fc" for index in range(mapping_layers)]
    names += [f"mapping_tl.map_blocks.{index}" for index in range(score_layers)]
    for name in names:
        found |= {f"ref.{name}.weight": torch.eye(dim), f"ref.{name}.bias": torch.zeros(dim)}
    return found


def with_tracker(content: Content) -> Content:
    """As the released code saves it: with objects of its own classes beside the weights."""
    module = types.ModuleType("tracker")
    for name in ("RunningMean", "RunningMeanTorch", "LossTracker"):
        setattr(module, name, type(name, (), {"__module__": "tracker", "__qualname__": name}))
    sys.modules["tracker"] = module
    mean, torch_mean, tracker = module.RunningMean(), module.RunningMeanTorch(), module.LossTracker()
    mean.mean, mean.n = 0.5, 7
    torch_mean.values = [torch.ones(1), torch.zeros(1)]
    tracker.tracks = OrderedDict(loss_d=torch_mean, lae=mean)
    auxiliary = {
        "tracker": {"tracks": tracker.tracks, "epochs": [0, 1], "means_over_epochs": OrderedDict(), "itself": tracker},
        "scheduler": {"encoder_optimizer": {"last_epoch": 157}, "decoder_optimizer": {"last_epoch": 157}},
        "encoder_optimizer": {"state": {0: {"step": 9, "exp_avg_sq": torch.ones(2)}}, "param_groups": [{"lr": 0.002}]},
    }
    return {**content, "auxiliary": auxiliary}


def saved(path: Path, content: Content, archived: bool = True) -> Path:
    try:
        torch.save(content, path, _use_new_zipfile_serialization=archived)
    finally:
        sys.modules.pop("tracker", None)
    return path


@torch.no_grad()
def assert_golden(model: lk.Model, golden: Values) -> None:
    x, z = golden["in.x_u8"].float() / 255, golden["in.z"]
    F, G, E, D = (model.parts[letter] for letter in "FGED")
    got = {"w": F(z), "G": G(F(z)), "E_x": E(x), "E_x_long": E.features(x), "E_G": E(G(F(z))), "recon_x": G(E(x)),
           "D_x_all": D.outputs(E(x)), "D_x": D(E(x)), "D_G": D(E(G(F(z))))}  # type: ignore[operator]  # fmt: skip
    for name, value in got.items():
        torch.testing.assert_close(value, golden[f"out.{name}"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors", "sub-nets"])
def test_a_converted_run_gives_the_released_values(kind: str, golden: Golden, tmp_path: Path) -> None:
    values = golden("alae_mlp")
    mean = torch.arange(12.0).repeat(8, 1)
    content = {"models": {**models(values), **models(values, "_s"), "dlatent_avg": {"buff": mean}}}
    file = tmp_path / "model_157.pth"
    if kind == "safetensors":
        file = file.with_suffix(".safetensors")
        save_file({name: value.clone() for name, value in flat(content).items()}, file)
    elif kind == "sub-nets":
        file = file.with_suffix(".safetensors")
        save_file({**below("ref.", values), "dlatent_avg.buff": mean}, file)
    else:
        saved(file, with_tracker(content), archived=kind == "zip")
    run = lk.convert("alae", file, tmp_path / "run")
    assert "tracker" not in sys.modules
    for model in (run.model, lk.load(run.path), lk.load(run.path, weights="raw")):
        assert_golden(model, values)
        assert model.states["w_avg"].tolist() == list(range(12))


def test_a_converted_run_is_complete_and_says_where_it_came_from(golden: Golden, tmp_path: Path) -> None:
    values = golden("alae_mlp")
    file = saved(tmp_path / "model_157.pth", with_tracker({"models": {**models(values), **models(values, "_s")}}))
    said: list[str] = []
    run = lk.convert("alae", file, tmp_path / "run", say=said.append)
    names = {path.relative_to(run.path).as_posix() for path in run.path.rglob("*") if path.is_file()}
    assert names == {
        "recipe.toml", "model.safetensors", "training.safetensors", "state.json", "metrics.jsonl", "card.md",
        "origin.json", "samples/00000000.png",
    }  # fmt: skip
    card, origin = (run.path / "card.md").read_text(), json.loads((run.path / "origin.json").read_text())
    assert (origin["converter"], origin["file"]) == ("alae", "model_157.pth")
    for part in ("model_157.pth", origin["sha256"], "Converted, and not trained further", "epoch 157"):
        assert part in card
    assert said == [
        "no 'dlatent_avg': the running mean of w starts at 0",
        "its scheduler stands at epoch 157; steps are counted from 0 here",
    ]
    recipe = lk.read(str(run.path / "recipe.toml")).tables
    assert recipe["draw"] == {"z": {"use": "normal", "dim": 12}}
    assert recipe["parts"]["G"] == {"use": "alae.mlp-generator", "layers": 3, "hidden": 48}  # type: ignore[index]


def test_a_converted_run_trains_further_on_the_recipes_data(golden: Golden, tmp_path: Path) -> None:
    values = golden("alae_mlp")
    file = saved(tmp_path / "a.pth", {"models": {**models(values), **models(values, "_s")}})
    run = lk.convert("alae", file, tmp_path / "run", overrides=SMALL)
    before = read_tensors(run.path / "training.safetensors")[0]
    assert all(float(value.abs().max()) == 0 for key, value in before.items() if key.startswith("optimizer."))
    further = lk.train(None, run.path, steps=2, resume=True)
    assert (further.model.step, further.model.images) == (2, 16)
    after = read_tensors(run.path / "training.safetensors")[0]
    moved = (after["parts.E.layers.0.weight"] - before["parts.E.layers.0.weight"]).abs().max()
    assert 0 < moved < 0.01
    card = (run.path / "card.md").read_text()
    assert "Trained for 2 steps" in card
    assert "a.pth" in card


def test_averaged_weights_are_kept_apart_from_raw_ones(golden: Golden, tmp_path: Path) -> None:
    values = golden("alae_mlp")
    raw = {name: value + 1 if name.startswith("ref.") else value for name, value in values.items()}
    run = lk.convert(
        "alae", saved(tmp_path / "a.pth", {"models": {**models(raw), **models(values, "_s")}}), tmp_path / "run"
    )
    assert_golden(run.model, values)
    mine = lk.load(run.path, weights="raw").parts["D"].state_dict()["layers.2.bias"]
    assert torch.equal(mine, values["ref.mapping_tl.map_blocks.2.bias"] + 1)


@pytest.mark.parametrize(("suffix", "fact"), [("", "no averaged weights of F"), ("_s", "no raw weights of F")])
def test_weights_that_are_there_once_stand_for_both(suffix: str, fact: str, golden: Golden, tmp_path: Path) -> None:
    values = golden("alae_mlp")
    said: list[str] = []
    file = saved(tmp_path / "a.pth", {"models": models(values, suffix)})
    run = lk.convert("alae", file, tmp_path / "run", say=said.append)
    assert_golden(run.model, values)
    assert_golden(lk.load(run.path, weights="raw"), values)
    assert len([note for note in said if "stand for both" in note]) == 4
    assert [note for note in said if note.startswith(fact)] == [
        f"{fact} ('mapping_fl'): the {SAME[suffix]} ones stand for both"
    ]


SAME = {"": "raw", "_s": "averaged"}


@pytest.mark.parametrize(
    ("dim", "hidden", "pixels", "channels", "side"), [(5, 7, 64, 1, 8), (8, 16, 3 * 16 * 16, 3, 16), (3, 4, 81, 1, 9)]
)
def test_sizes_are_read_from_the_weights(
    dim: int, hidden: int, pixels: int, channels: int, side: int, tmp_path: Path
) -> None:
    weights = random_weights(dim, hidden, pixels, mapping_layers=4, score_layers=2)
    file = saved(tmp_path / "a.pth", {"models": {name: {k: v.half() for k, v in net.items()}
                                                 for name, net in models(weights).items()}})  # fmt: skip
    model = lk.convert("alae", file, tmp_path / "run").model
    assert model.sample(2).shape == (2, channels, side, side)
    assert model.encode(torch.rand(2, channels, side, side)).shape == (2, dim)
    found = model.parts["G"].state_dict()["layers.0.weight"]
    assert found.dtype == torch.float32
    assert torch.equal(found, weights["ref.decoder.fc_1.weight"].half().float())
    assert len(model.parts["F"].layers) == 4  # type: ignore[arg-type]


def test_buffers_that_the_form_does_not_use_are_left_out_and_told(tmp_path: Path) -> None:
    nets = models(random_weights(4, 5, 64))
    nets["generator"]["bn_2.running_mean"] = torch.zeros(5)
    said: list[str] = []
    lk.convert("alae", saved(tmp_path / "a.pth", {"models": nets}), tmp_path / "run", say=said.append)
    assert "left out, as this form does not use them: generator.bn_2.running_mean" in said


def without(entry: str) -> Content:
    nets = models(random_weights(4, 5, 64))
    del nets[entry]
    return {"models": nets}


def changed(**tensors: Tensor) -> Content:
    nets = models(random_weights(4, 5, 64))
    for name, value in tensors.items():
        entry, _, key = name.partition("__")
        nets[entry][key.replace("__", ".")] = value
    return {"models": nets}


def style(blocks: int, dim: int) -> Content:
    """Names and shapes as in the style form."""
    encoder = {f"encode_block.{j}.conv_1.weight": torch.zeros(4, 4, 3, 3) for j in range(blocks)}
    encoder |= {f"from_rgb.{j}.from_rgb.weight": torch.zeros(4, 3, 1, 1) for j in range(blocks)}
    decoder = {f"decode_block.{i}.conv_2.weight": torch.zeros(4, 4, 3, 3) for i in range(blocks)}
    decoder["const"] = torch.ones(1, 4, 4, 4)
    mapping = {"map_blocks.0.fc.weight": torch.eye(dim), "map_blocks.0.fc.bias": torch.zeros(dim)}
    score = {"map_blocks.0.weight": torch.zeros(2 * dim, dim), "map_blocks.0.bias": torch.zeros(2 * dim)}
    return {"models": {"discriminator": encoder, "generator": decoder, "mapping_fl": mapping, "mapping_tl": score}}


WRONG: dict[str, tuple[Content, str]] = {
    "style form, in part": (style(7, 16), "G ('generator'): 'to_rgb.6.to_rgb.weight' is missing"),
    "no F": (without("mapping_fl"), "no 'mapping_fl' (F) as in a checkpoint of the released ALAE code; 'models' has: "
                                    "discriminator, generator, mapping_tl"),
    "none of it": ({"state_dict": {"conv.weight": torch.ones(1)}, "epoch": 3}, "the file has: state_dict, epoch"),
    "nothing": ({}, "the file has: nothing"),
    "other network": ({"models": {**changed()["models"], "generator": {"conv.weight": torch.ones(1)}}},
                      "'generator' has no layer of the MLP form; it has: conv.weight"),
    "a layer is missing": (changed(generator__fc_5__bias=torch.ones(1)), "expected 4 layers with weight and bias each"),
    "no matrix": (changed(generator__fc_2__weight=torch.ones(5)), "layer 1 is not linear: weight [5] and bias [5]"),
    "no chain": (changed(discriminator__fc_2__weight=torch.ones(5, 6)), "layer 1 takes 6 numbers, and gets 5"),
    "other latent": (changed(mapping_tl__map_blocks__0__weight=torch.ones(4, 8)),
                     "D ('mapping_tl'): expected layers from 4 to 4"),
    "a score of the style form": (
        changed(mapping_tl__map_blocks__0__weight=torch.ones(8, 4), mapping_tl__map_blocks__0__bias=torch.ones(8)),
        "expected layers from 4 to 4 numbers, found [4, 8]",
    ),
    "other image": ({"models": {**changed()["models"], "generator": models(random_weights(4, 5, 49))["generator"]}},
                    "G ('generator'): expected layers from 4 to 64 numbers with one width between them"),
    "no square": ({"models": models(random_weights(4, 5, 65))}, "reads 65 numbers per image, which are no square"),
    "not finite": (changed(mapping_fl__map_blocks__0__fc__bias=torch.tensor([0, 1, float("nan"), 0])),
                   "'layers.0.bias' has numbers that are not finite"),
    "other mean": ({"models": {**changed()["models"], "dlatent_avg": {"buff": torch.ones(2, 9)}}},
                   "'dlatent_avg.buff' is [2, 9]; expected rows of 4 numbers"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_what_the_converter_does_not_know_is_said(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, said = WRONG[kind]
    file = saved(tmp_path / "a.pth", content)
    assert main(["convert", "alae", str(file), "--out", str(tmp_path / "run")]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"error: {file}: ")
    assert said in told.err
    assert told.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_overrides_that_change_a_size_do_not_fit(tmp_path: Path) -> None:
    file = saved(tmp_path / "a.pth", changed())
    with pytest.raises(
        lk.RunError, match=r"weights of 'G' do not fit the recipe: 'layers\.0\.weight' is \[5, 4\] and not"
    ):
        lk.convert("alae", file, tmp_path / "run", overrides={"parts.G.hidden": 9})
    with pytest.raises(lk.RecipeError, match="no_such_option"):
        lk.convert("alae", file, tmp_path / "run", overrides={"parts.G.no_such_option": 9})
    assert not (tmp_path / "run").exists()


def test_a_folder_in_use_is_refused_before_the_checkpoint_is_read(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/notes.txt").touch()
    with pytest.raises(lk.RunError, match="exists already and is not an empty folder; choose another --out"):
        lk.convert("alae", tmp_path / "missing.pth", tmp_path / "run")


def test_the_command_says_what_it_made_and_what_comes_next(
    golden: Golden, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    values = golden("alae_mlp")
    saved(tmp_path / "a.pth", {"models": models(values, "_s")})
    assert main(["convert", "alae", "a.pth", "--out", "one", "--set", "data.count=40", "--set", "train.batch=8"]) == 0
    told = capsys.readouterr()
    assert told.out.startswith("alae-mlp: converted from a.pth by 'alae'\n")
    assert "one/model.safetensors" in told.out
    assert "latentkit compose --out one --resume --steps N" in told.out
    assert "note: no raw weights of E ('discriminator'): the averaged ones stand for both\n" in told.err
    assert main(["convert", "alae", "a.pth", "--out", "two", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["run"], made["converter"], made["checkpoint"], made["step"]) == ("two", "alae", "a.pth", 0)
    assert set(made["files"]) == {"weights", "samples", "figures", "card"}
    assert main(["compose", "--out", "one", "--resume", "--steps", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["step"] == 1


def test_a_converter_that_is_missing_or_unknown_is_answered_with_those_that_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    listed = "converters that are installed:\n  alae  Released ALAE checkpoints, of the MLP form"
    for arguments, fact in (
        (["aale", "a.pth"], "no converter is called 'aale'; did you mean 'alae'?\n"),
        ([], "a converter's name"),
    ):
        assert main(["convert", *arguments]) == 2
        told = capsys.readouterr().err
        assert f"error: {fact}" in told
        assert listed in told
    assert main(["convert", "alae"]) == 2
    assert "which checkpoint? expected: latentkit convert alae CHECKPOINT" in capsys.readouterr().err
    assert main(["plugins"]) == 0
    assert "  alae  Released ALAE checkpoints" in capsys.readouterr().out
