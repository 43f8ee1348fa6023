"""Converters by name, and what becomes of what they return. No paper is needed for either."""

from __future__ import annotations

import sys
from collections import abc
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from safetensors.torch import save_file

import latentkit as lk
from latentkit.interfaces import Conversion, Converter
from latentkit.registry.catalogue import read_catalogue, shipped_catalogue
from latentkit.registry.manager import Registry
from latentkit.runs.plain import flat

SHIPPED = read_catalogue(shipped_catalogue())
RECIPE: dict[str, object] = {
    "data": {"use": "sprites", "resolution": 8, "count": 20},
    "draw": {"z": {"use": "normal", "dim": 4}},
    "parts": {
        "G": {"use": "mlp.generator", "hidden": 6, "layers": 2},
        "E": {"use": "mlp.encoder", "hidden": 6, "layers": 2},
    },
    "flow": {"x_fake": "G(z)"},
    "phase": {
        "rebuild": {"train": ["E", "G"], "loss": {"pixels": {"use": "l2", "of": "G(E(x))", "to": "x"}}},
        "match": {"train": ["E"], "loss": {"codes": {"use": "l2", "of": "E(x_fake)", "to": "z"}}},
    },
    "state": {"seen": {"next": "seen + 1"}},
    "average": {"slow": {"parts": ["G"], "half_life": 10}},
    "train": {"steps": 2, "batch": 4},
    "inference": {"sample": "G(z)", "encode": "E(x)", "code": "z", "decode": "G(z)"},
}


@attrs.frozen(kw_only=True)
class Plain(Converter):
    """Reads what this library's own modules would save."""

    more: dict[str, Any] = attrs.field(factory=dict)

    def convert(self, content: abc.Mapping[str, object], metadata: abc.Mapping[str, str]) -> Conversion:
        weights: dict[str, dict[str, torch.Tensor]] = {}
        for name, value in flat(content).items():
            part, _, rest = name.partition(".")
            weights.setdefault(part, {})[rest] = value
        step = int(metadata.get("step", 0))
        return Conversion(**{"recipe": RECIPE, "weights": weights, "step": step, "images": 4 * step, **self.more})


class Plugin:
    """A third party's plugin object."""

    def __init__(self, **named: object) -> None:
        self.named = named

    @lk.hookimpl
    def latentkit_converters(self) -> dict[str, object]:
        return self.named


def registry_with(**named: object) -> Registry:
    registry = Registry(SHIPPED)
    registry.add("third", Plugin(**named), "third-package", "1.2")
    return registry


@pytest.fixture
def weights() -> dict[str, torch.Tensor]:
    model = lk.compose(RECIPE, seed=5)
    return {f"{part}.{key}": value for part in "GE" for key, value in model.parts[part].state_dict().items()}


@pytest.fixture
def file(weights: dict[str, torch.Tensor], tmp_path: Path) -> Path:
    save_file(weights, tmp_path / "weights.safetensors", {"step": "7"})
    return tmp_path / "weights.safetensors"


@pytest.mark.parametrize("given", [Plain, Plain(), "lk_third_party:Plain"], ids=["class", "value", "name"])
def test_a_plugin_names_a_converter_in_the_hook(
    given: object, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lk_third_party", sys.modules[__name__])
    registry = registry_with(plain=given)
    assert not registry.plugins["third"].fault
    run = lk.convert("plain", file, tmp_path / "run", registry=registry)
    assert (run.model.step, run.model.images) == (7, 28)
    further = lk.train(None, run.path, steps=9, resume=True)
    assert (further.model.step, further.model.images) == (9, 36)
    assert "which was at step 7" in (run.path / "card.md").read_text()


def test_a_package_with_a_catalogue_names_converters_there_and_is_not_imported_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lk_conv").mkdir()
    (tmp_path / "lk_conv/__init__.py").touch()
    (tmp_path / "lk_conv/reading.py").write_text('raise RuntimeError("no luck")')
    (tmp_path / "lk_conv/registry.toml").write_text('[conv.converters]\nmine = "lk_conv.reading:Mine"\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = Registry(SHIPPED, [("conv", "lk_conv", "conv-package", "1.2")])
    assert registry.plugins["conv"].fault == ""
    assert set(registry.converters) == {"alae", "mine"}
    assert "lk_conv" not in sys.modules
    with pytest.raises(
        lk.RegistryError, match=r"converter 'mine' of plugin 'conv' cannot be used: RuntimeError: no luck"
    ):
        registry.converter("mine")
    sys.modules.pop("lk_conv", None)


def test_shipped_converters_are_found_without_importing_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "latentkit_plugins.alae.converting", raising=False)
    registry = Registry(SHIPPED)
    assert "latentkit_plugins.alae.converting" not in sys.modules
    assert {name: entry.name for name, entry in registry.converters.items()} == {"alae": "alae.alae"}
    for name, entry in registry.converters.items():
        assert isinstance(registry.converter(name), Converter)
        assert entry.summary()


def test_a_taken_name_puts_the_later_plugin_aside_and_names_both_owners() -> None:
    registry = registry_with(alae=Plain)
    assert registry.plugins["third"].fault.startswith("converter 'alae' is taken by plugin 'alae'")
    assert registry.converters["alae"].name == "alae.alae"
    assert "plugin 'third' of third-package 1.2 cannot be used" in registry.plugins["third"].told


@attrs.frozen(kw_only=True)
class Optioned(Plain):
    """One option has no default."""

    size: int


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (3, "'third.odd' is not a converter: expected a class derived from lk.Converter"),
        (Path, "'third.odd' is not a converter"),
        (Optioned, "'third.odd' cannot be made without options"),
    ],
)
def test_what_is_no_converter_is_a_fault(given: object, said: str) -> None:
    assert said in registry_with(odd=given).plugins["third"].fault


def test_unknown_names_get_the_nearest_and_a_list() -> None:
    with pytest.raises(lk.RegistryError) as caught:
        Registry(SHIPPED).converter("alea")
    assert str(caught.value).splitlines()[:2] == [
        "no converter is called 'alea'; did you mean 'alae'?", "converters that are installed:",
    ]  # fmt: skip
    with pytest.raises(lk.RegistryError, match="no converter is called 'x'\nconverters that are installed:\n  none"):
        Registry([]).converter("x")


def more_of(weights: dict[str, torch.Tensor], part: str) -> dict[str, torch.Tensor]:
    return {key.partition(".")[2]: value for key, value in weights.items() if key.startswith(f"{part}.")}


def test_averages_and_states_are_taken_over(file: Path, weights: dict[str, torch.Tensor], tmp_path: Path) -> None:
    slow = {key: value + 1 for key, value in more_of(weights, "G").items()}
    plain = Plain(more={"averages": {"slow": {"G": slow}}, "states": {"seen": torch.tensor(3.0)}, "notes": ("so",)})
    said: list[str] = []
    run = lk.convert("plain", file, tmp_path / "run", registry=registry_with(plain=plain), say=said.append)
    assert said == ["so"]
    for choice, offset in (("average", 1), ("raw", 0)):
        model = lk.load(run.path, weights=choice)  # type: ignore[arg-type]
        for key, value in model.parts["G"].state_dict().items():
            assert torch.equal(value, weights[f"G.{key}"] + offset)
        assert model.states["seen"] == 3


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "part": ({"weights": {"G": {}}}, "the conversion has no weights of E, which the recipe has"),
    "more": (
        {"weights": {"G": {}, "E": {}, "Q": {}}},
        "the conversion has weights of Q, which the recipe does not have",
    ),
    "keys": ({"weights": {"G": {"a": torch.ones(1)}, "E": {}}}, "of 'G' do not fit the recipe: there is no '"),
    "average": ({"averages": {"fast": {}}}, "the conversion has averages of fast, which the recipe does not have"),
    "average part": ({"averages": {"slow": {"E": {}}}}, "average 'slow' of E, which the recipe does not have"),
    "state": ({"states": {"w": torch.ones(1)}}, "states of w, which the recipe does not have"),
    "state shape": ({"states": {"seen": torch.ones(2)}}, "the state 'seen' has the shape [2]; the recipe's has []"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_conversion_that_does_not_fit_its_recipe_is_refused(kind: str, file: Path, tmp_path: Path) -> None:
    more, said = WRONG[kind]
    with pytest.raises(lk.RunError) as caught:
        lk.convert("plain", file, tmp_path / "run", registry=registry_with(plain=Plain(more=more)))
    assert str(caught.value).startswith(f"{file}: ")
    assert said in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_without_a_folder_the_run_is_named_after_its_recipe(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    registry = registry_with(plain=Plain)
    names = [lk.convert("plain", file, registry=registry).path.relative_to(tmp_path).as_posix() for _ in range(2)]
    assert names == ["runs/recipe-01", "runs/recipe-02"]
