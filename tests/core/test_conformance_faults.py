"""The conformance kit can fail: components and recipes with one fault each, found by the property that is about it."""

from __future__ import annotations

import importlib.util
import sys
from collections import abc
from pathlib import Path
from types import ModuleType

import pytest

from latentkit.registry.catalogue import read_catalogue, shipped_catalogue
from latentkit.registry.manager import Registry
from latentkit.testing import Check, Nonconforming, NotExercised, checks_of

HERE = Path(__file__).parent
FINDERS = {
    "anycount": "refuses wrong options",
}
AUTOENCODER = """
title = "An autoencoder"
data = {{ use = "sprites", resolution = 16 }}

[parts]
E = {{ use = "mlp.encoder", dim = 4 }}
G = {{ use = "mlp.generator" }}
{part}

[flow]
w = "E(x)"
x_rec = "G({code})"

[phase.rebuild]
train = ["E", "G"]
loss.pixels = {{ use = "l2", of = "x_rec", to = "x", weight = 1.0 }}
{more}

[inference]
encode = "w"
code = "w"
decode = "G(w)"
{role}
"""
RECIPES = {
    "sound": ("", "w", "", ""),
    "unbound": ("", "w", 'loss.nothing = "mean(square(x))"', ""),
    "leaks": ('D = { use = "faulty.drifting", frozen = true }', "D(w)", "", ""),
    "jitters": ('D = { use = "faulty.jitter" }', "D(w)", "", ""),
    "mute": ('D = { use = "faulty.unspeakable" }', "D(w)", "", ""),
    "undefined": ('D = { use = "faulty.undefined" }', "w", "", 'features = "D(w)"'),
    "wears-out": ('D = { use = "faulty.wears-out" }', "D(w)", "", ""),
}


def outcomes(checks: abc.Iterable[Check]) -> tuple[dict[str, str], dict[str, str]]:
    """The properties that do not hold, and those that were not looked at, with what is said of them."""
    failed: dict[str, str] = {}
    skipped: dict[str, str] = {}
    for check in checks:
        found = check.name.partition("[")[2].removesuffix("]")
        try:
            check.run()
        except Nonconforming as error:
            failed[found] = str(error)
        except NotExercised as error:
            skipped[found] = str(error)
    return failed, skipped


@pytest.fixture(scope="module")
def faults() -> ModuleType:
    spec = importlib.util.spec_from_file_location("latentkit_faults", HERE / "faults.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where attrs looks types up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def registry(faults: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Registry:
    folder = tmp_path_factory.mktemp("recipes")
    for name, (part, code, more, role) in RECIPES.items():
        (folder / f"{name}.toml").write_text(AUTOENCODER.format(part=part, code=code, more=more, role=role))
    registry = Registry(read_catalogue(shipped_catalogue()), ())
    registry.add("faulty", faults.Plugin({name: folder / f"{name}.toml" for name in RECIPES}), "tests", "0")
    assert not registry.plugins["faulty"].fault
    return registry


@pytest.fixture(scope="module")
def checks(registry: Registry) -> dict[str, list[Check]]:
    """All checks by the component that they are about."""
    found: dict[str, list[Check]] = {}
    for check in checks_of("faulty", registry=registry):
        found.setdefault(check.name.partition("[")[0], []).append(check)
    return found


def test_each_fault_is_found_by_its_property_and_by_no_other(
    faults: ModuleType, checks: dict[str, list[Check]]
) -> None:
    for name, (_, finder) in faults.FAULTS.items():
        failed, _ = outcomes(checks[f"faulty.{name}"])
        assert set(failed) == {finder}, (name, failed)
