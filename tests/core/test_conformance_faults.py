"""The conformance kit can fail: components and recipes with one fault each, found by the property that is about it."""

from __future__ import annotations

import importlib.util
import sys
from collections import abc
from pathlib import Path
from types import ModuleType

import pytest

from latentkit.errors import RegistryError
from latentkit.hooks import hookimpl
from latentkit.registry.catalogue import Entry, read_catalogue, shipped_catalogue
from latentkit.registry.manager import Registry
from latentkit.runs import loop
from latentkit.testing import Check, Nonconforming, NotExercised, checks_of
from latentkit.testing.workplace import global_draws

HERE = Path(__file__).parent
AUTOENCODER = """
title = "An autoencoder"
data = {{ use = "{source}", resolution = 16 }}

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
    "of-files": ("", "w", "", ""),
}
"""By name: a part, the code that G is given, a term, a role. The last needs the path of its example."""
FINDERS = {
    "unbound": "check", "leaks": "phases train their own parts", "jitters": "continues exactly", "mute": "explains",
    "undefined": "roles run", "wears-out": "trains",
}  # fmt: skip


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
        source = "faulty.needs-help" if name == "of-files" else "sprites"
        text = AUTOENCODER.format(part=part, code=code, more=more, role=role, source=source)
        (folder / f"{name}.toml").write_text(text)
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
    finders = {name: {finder} for name, (_, finder) in faults.FAULTS.items()}
    found = {name: set(outcomes(checks[f"faulty.{name}"])[0]) for name in finders}
    assert found == finders


def test_there_is_a_fault_for_every_property_of_components(faults: ModuleType, checks: dict[str, list[Check]]) -> None:
    listed = {check.name.partition("[")[2].removesuffix("]") for name, looks in checks.items() for check in looks
              if name.startswith("faulty.")}  # fmt: skip
    assert listed == {finder for _, finder in faults.FAULTS.values()}


def test_each_fault_of_a_recipe_is_found_by_its_property_and_by_no_other(checks: dict[str, list[Check]]) -> None:
    found = {name: set(outcomes(checks[f"recipe:{name}"])[0]) for name in RECIPES}
    assert found == {"sound": set(), "of-files": set(), **{name: {finder} for name, finder in FINDERS.items()}}
    assert outcomes(checks["recipe:of-files"]) == ({}, {})


def test_a_run_without_a_card_is_found(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "write_card", lambda *_: None)
    sound = [check for check in checks_of("faulty", registry=registry) if check.name.startswith("recipe:sound[")]
    assert outcomes(sound) == ({"writes card and pictures": "a run has not written card.md"}, {})
    listed = {check.name.partition("[")[2].removesuffix("]") for check in sound}
    assert listed == {*FINDERS.values(), "writes card and pictures"}


def test_a_fault_is_told_in_words(checks: dict[str, list[Check]]) -> None:
    def told(name: str) -> str:
        (text,) = outcomes(checks[name])[0].values()
        return text

    assert told("faulty.powers-of-two") == (
        "at channels = 1, height = 28, width = 28, dim = 17: KeyError: 28; "
        "expected a module, or a LatentkitError that says why not"
    )
    assert told("faulty.half-inverse") == (
        "'inverse', a batch of 1, train: declares latent[3], but its result is of shape [1, 1], not [1, 3]"
    )
    assert told("faulty.loud").startswith("forward, a batch of 1, train: declares image[1,8,8] in [-1, 1], but its ")
    assert told("faulty.anything") == "slope = { no_such_key = 1.0 }: is accepted, but 'slope' is Any"
    assert told("faulty.any-eps") == "eps = 0.0: is accepted, and then parameters are not finite after updates"
    assert told("converter:credulous") == "a checkpoint with nothing in it: is taken for its own layout"
    assert "it depends on no part at all" in told("recipe:unbound")


def test_what_follows_from_a_fault_is_skipped_and_says_where_to_look(checks: dict[str, list[Check]]) -> None:
    _, skipped = outcomes(checks["faulty.unbuildable"])
    assert set(skipped.values()) == {"it could not be built: see [builds]"}
    _, skipped = outcomes(checks["faulty.logarithm"])
    assert set(skipped) == {"finite gradients", "every choice works", "refuses values out of range"}
    assert set(skipped.values()) == {"its values are not finite: see [finite values]"}
    _, skipped = outcomes(checks["recipe:wears-out"])
    assert skipped["continues exactly"] == "training it raises RuntimeError: worn out: see [trains]"


@pytest.mark.parametrize("name", ["needs-help", "only-one-size", "towards"])
def test_examples_say_how_a_component_can_be_exercised(name: str, checks: dict[str, list[Check]]) -> None:
    assert outcomes(checks[f"faulty.{name}"]) == ({}, {})


def test_without_examples_what_cannot_be_exercised_is_skipped_with_the_reason(faults: ModuleType) -> None:
    registry = Registry(read_catalogue(shipped_catalogue()), ())
    registry.add("bare", faults.Unhelpful({}), "tests", "0")
    found: dict[str, tuple[dict[str, str], dict[str, str]]] = {}
    for name in ("needs-help", "only-one-size", "towards"):
        found[name] = outcomes(
            check for check in checks_of("bare", registry=registry) if check.name.startswith(f"bare.{name}[")
        )
    failed, skipped = found["needs-help"]
    assert failed == {}
    assert set(skipped) == {
        "opens as offered",
        "same data twice",
        "refuses wrong options",
        "refuses values out of range",
    }
    assert set(skipped.values()) == {"bare.needs-help: no value is known for 'path'; give one in latentkit_examples"}
    failed, skipped = found["only-one-size"]
    assert failed == {}
    assert "agrees with its ports" in skipped
    assert skipped["builds"].startswith(
        "no sizes were found that it takes; tried: channels = 1, height = 8, width = 8: "
    )
    failed, _ = found["towards"]
    assert list(failed) == ["agrees with its ports"]
    assert failed["agrees with its ports"].endswith("give others in latentkit_examples")


def test_examples_that_are_none_are_told(faults: ModuleType) -> None:
    class Wrong(faults.Plugin):  # type: ignore[name-defined,misc]
        @hookimpl
        def latentkit_examples(self, folder: Path) -> dict[str, object]:
            return {"needs-help": {"path": folder}}

    registry = Registry(read_catalogue(shipped_catalogue()), ())
    registry.add("wrong", Wrong({}), "tests", "0")
    first = next(check for check in checks_of("wrong", registry=registry) if "needs-help" in check.name)
    with pytest.raises(Nonconforming, match="latentkit_examples of plugin 'wrong': expected a dict of Example by name"):
        first.run()


def test_plugins_that_are_not_there_are_refused() -> None:
    with pytest.raises(RegistryError, match=r"no plugin 'mpl' is installed; did you mean 'mlp'\?"):
        checks_of("mlp", "mpl")


def test_a_component_that_cannot_be_imported_is_a_failure() -> None:
    registry = Registry(read_catalogue(shipped_catalogue()), ())
    registry.entries["core.broken"] = Entry("core.broken", "loss", "latentkit.nowhere:broken")
    (check,) = [check for check in checks_of("core", registry=registry) if check.name.startswith("core.broken[")]
    assert check.name == "core.broken[is there]"
    with pytest.raises(Nonconforming, match=r"'core.broken' of plugin 'core' cannot be imported: ModuleNotFoundError"):
        check.run()


def test_looking_leaves_the_generators_and_the_registry_as_they_were(registry: Registry) -> None:
    before, entries = global_draws(), dict(registry.entries)
    for check in checks_of("mlp", "ogan", with_recipes=False, registry=registry):
        check.run()
    assert global_draws() == before
    assert registry.entries == entries
