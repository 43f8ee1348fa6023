"""Plugins: the catalogue, third-party packages, faults in quarantine."""

from __future__ import annotations

import sys
from collections import abc
from pathlib import Path

import pytest
import torch

import latentkit as lk
from latentkit._building import wired
from latentkit.engine.training import Training
from latentkit.errors import RegistryError
from latentkit.hooks import hookimpl
from latentkit.registry.catalogue import KINDS, read_catalogue, shipped_catalogue
from latentkit.registry.manager import Registry

SHIPPED = read_catalogue(shipped_catalogue())


def package(folder: Path, name: str, files: dict[str, str]) -> tuple[str, str, str, str]:
    (folder / name).mkdir(parents=True)
    for file, text in files.items():
        (folder / name / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / name / file).write_text(text)
    return name.replace("lk_", ""), name, f"{name}-package", "1.2"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> abc.Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("lk_")]:
        del sys.modules[name]


def test_every_shipped_component_loads_and_is_of_its_kind() -> None:
    registry = Registry(SHIPPED)
    assert [info.fault for info in registry.plugins.values()] == [""] * len(registry.plugins)
    for entry in registry.of_kind():
        cls = registry.load(entry.name)
        assert cls.kind == entry.kind  # type: ignore[attr-defined]
        assert entry.kind in KINDS
        assert entry.summary().endswith(".") or entry.summary()
    assert all(path.is_file() for path in registry.recipes.values())


def test_a_name_without_a_dot_is_of_core() -> None:
    registry = Registry(SHIPPED)
    assert registry.load("l2") is registry.load("core.l2")


def test_unknown_names_get_the_nearest_and_other_kinds_are_refused() -> None:
    registry = Registry(SHIPPED)
    with pytest.raises(RegistryError, match=r"'ogan\.corelation'; did you mean 'ogan\.correlation'\?"):
        registry.load("ogan.corelation", ("loss",))
    with pytest.raises(RegistryError, match=r"'gone\.x': no plugin 'gone' is installed; see `latentkit plugins`"):
        registry.load("gone.x", ("loss",))
    with pytest.raises(RegistryError, match=r"'core\.l2' is a loss; expected a prior"):
        registry.load("l2", ("prior",))


def test_a_package_with_a_catalogue_is_not_imported_until_used(folder: Path) -> None:
    point = package(folder, "lk_warm", {
        "__init__.py": "", "parts.py": PART,
        "registry.toml": '[warm]\ntitle = "Warm"\n[warm.loss]\nwarmth = "lk_warm.parts:warmth"\n',
    })  # fmt: skip
    registry = Registry(SHIPPED, [point])
    assert registry.plugins["warm"].version == "1.2"
    assert "lk_warm.parts" not in sys.modules
    assert registry.find("warm.warmth").summary() == "How warm it is."
    assert registry.load("warm.warmth", ("loss",)).kind == "loss"  # type: ignore[attr-defined]


PART = '''"""Warmth."""
from latentkit import loss

@loss("of: T -> score")
def warmth(of):
    """How warm it is."""
    return of.flatten(1).mean(1)
'''
HOOKS = (
    PART
    + """
from latentkit import hookimpl

@hookimpl
def latentkit_components():
    return {"warmth": warmth}
"""
)


def test_a_loss_is_one_function_and_one_line(folder: Path) -> None:
    point = package(folder, "lk_one", {
        "__init__.py": "", "parts.py": PART, "registry.toml": '[one.loss]\nwarmth = "lk_one.parts:warmth"\n',
    })  # fmt: skip
    registry = Registry(SHIPPED, [point])
    small: dict[str, object] = {"parts.E.hidden": 8, "parts.G.hidden": 8, "data.resolution": 8, "train.batch": 4}
    term = {"use": "one.warmth", "of": "x_fake", "weight": 0.1}
    wiring = wired("alae-mlp", {**small, "phase.generate.loss.warmth": term}, registry)
    terms = Training(wiring, registry).step({phase: {"x": torch.rand(4, 1, 8, 8)} for phase in ("discriminate",)})
    assert torch.isfinite(terms["generate", "warmth"])


def test_a_package_without_a_catalogue_answers_the_hook(folder: Path) -> None:
    registry = Registry(SHIPPED, [package(folder, "lk_hooks", {"__init__.py": HOOKS})])
    assert registry.find("hooks.warmth").kind == "loss"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("raise RuntimeError('no luck')", "RuntimeError: no luck"),
        ("import not_installed_at_all", "ModuleNotFoundError: No module named 'not_installed_at_all'"),
        ("def (", "SyntaxError"),
    ],
)
def test_a_package_that_fails_is_quarantined_and_the_rest_works(text: str, why: str, folder: Path) -> None:
    registry = Registry(SHIPPED, [package(folder, "lk_broken", {"__init__.py": text})])
    assert why in registry.plugins["broken"].fault
    assert registry.load("core.l2") is not None
    with pytest.raises(RegistryError, match=r"plugin 'broken' is broken, so 'broken\.x' is not available"):
        registry.find("broken.x")


def test_a_taken_name_names_both_owners(folder: Path) -> None:
    point = package(folder, "lk_ogan", {"__init__.py": HOOKS})
    registry = Registry(SHIPPED, [point])
    assert registry.plugins["ogan (lk_ogan-package)"].fault.startswith("its name is taken by plugin 'ogan' (built in ")
    assert registry.plugins["ogan"].fault == ""


def test_a_taken_recipe_name_is_a_fault(folder: Path) -> None:
    text = "from pathlib import Path\nfrom latentkit import hookimpl\n@hookimpl\ndef latentkit_recipes():\n"
    point = package(folder, "lk_rec", {"__init__.py": text + "    return {'ogan': Path('x.toml')}\n"})
    registry = Registry(SHIPPED, [point])
    assert "recipe 'ogan' is taken by plugin 'ogan'" in registry.plugins["rec"].fault


def test_a_misspelt_hook_is_a_fault() -> None:
    class Misspelt:
        @hookimpl
        def latentkit_componets(self) -> dict[str, object]:
            return {}

    registry = Registry(SHIPPED)
    registry.add("misspelt", Misspelt(), "tests", "0")
    assert "latentkit_componets" in registry.plugins["misspelt"].fault


def test_a_component_that_cannot_be_imported_says_whose_it_is(folder: Path) -> None:
    point = package(folder, "lk_lost", {
        "__init__.py": "", "registry.toml": '[lost.loss]\ngone = "lk_lost.nowhere:gone"\n',
    })  # fmt: skip
    registry = Registry(SHIPPED, [point])
    with pytest.raises(RegistryError, match=r"'lost\.gone' of plugin 'lost' cannot be imported: ModuleNotFoundError"):
        registry.load("lost.gone")


def test_no_public_name_is_hidden_by_a_module_of_the_package() -> None:
    modules = {path.stem for path in Path(lk.__file__).parent.iterdir()}
    assert modules & set(lk.__all__) == set()


def test_every_public_name_is_there() -> None:
    for name in lk.__all__:
        assert getattr(lk, name) is not None
