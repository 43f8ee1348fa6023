"""Packages that cannot be used: each is put aside with one line that says which, why, and how to remove it."""

from __future__ import annotations

import sys
from collections import abc
from pathlib import Path

import pytest

import latentkit as lk
from latentkit.errors import RegistryError
from latentkit.registry.catalogue import Entry, module_path, read_catalogue, shipped_catalogue
from latentkit.registry.manager import Registry
from latentkit.registry.packages import entry_points
from latentkit.registry.quarantine import PluginInfo, guarded

SHIPPED = read_catalogue(shipped_catalogue())
Install = abc.Callable[..., tuple[str, str, str, str]]

HOOKS = "from pathlib import Path\nimport latentkit as lk\n"
COMPONENTS = HOOKS + "@lk.hookimpl\ndef latentkit_components():\n    {}\n"
RECIPES = HOOKS + "@lk.hookimpl\ndef latentkit_recipes():\n    {}\n"
LOSS = '''
@lk.loss("of: T -> score")
def warmth(of):
    """How warm it is."""
    return of.flatten(1).mean(1)
'''
WELL = COMPONENTS.format("return {'warmth': warmth}") + LOSS


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> abc.Iterator[Install]:
    """Writes a package that can be imported; what an entry point says of it."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name: str, text: str = "", **files: str) -> tuple[str, str, str, str]:
        (tmp_path / f"lk_{name}").mkdir()
        for file, content in {"__init__.py": text, **files}.items():
            (tmp_path / f"lk_{name}" / file).write_text(content)
        return name, f"lk_{name}", f"{name}-package", "1.2"

    yield write
    for name in [name for name in sys.modules if name.startswith("lk_")]:
        del sys.modules[name]


def put_aside(*points: tuple[str, str, str, str]) -> tuple[Registry, PluginInfo]:
    """A registry with these packages, in which all else works, and what it tells of the last one."""
    registry = Registry(SHIPPED, points)
    info = list(registry.plugins.values())[-1]
    assert info.fault
    assert "\n" not in info.told
    assert info.told.startswith(f"plugin '{info.name}' of {info.origin} {info.version} cannot be used: {info.reason}")
    assert registry.load("l2").__doc__
    assert {"ogan", "alae-mlp"} <= set(registry.recipes)
    return registry, info


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("raise RuntimeError('no luck\\nat all')", "RuntimeError: no luck"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise SystemExit", "SystemExit"),
        ("class Odd(BaseException):\n    pass\nraise Odd('odd')", "Odd: odd"),
        ("class Mute(Exception):\n    def __str__(self):\n        return 1 / 0\nraise Mute", "Mute"),
        ("import not_installed_at_all", "ModuleNotFoundError: No module named 'not_installed_at_all'"),
        ("def (", "SyntaxError: invalid syntax (__init__.py, line 1)"),
        (COMPONENTS.format("raise OSError('later')"), "OSError: later"),
        (COMPONENTS.format("raise SystemExit('bye')"), "SystemExit: bye"),
        (
            COMPONENTS.format("return {}").replace("components", "componets"),
            "no hook is called 'latentkit_componets'; did you mean 'latentkit_components'?",
        ),
        (
            HOOKS + "@lk.hookimpl\ndef latentkit_evaluated(event, figurs): pass",
            "Plugin 'catalogue of bad' for hook 'latentkit_evaluated' hookimpl definition: "
            "latentkit_evaluated(event, figurs) Argument(s) {'figurs'} are declared in the hookimpl but can not be "
            "found in the hookspec",
        ),
        (
            COMPONENTS.format("return ['warmth']"),
            "latentkit_components() returned list ['warmth']; expected a dict with names as keys",
        ),
        (COMPONENTS.format("pass"), "latentkit_components() returned None; expected a dict with names as keys"),
        (
            COMPONENTS.format("return {1: 'a:b'}"),
            "latentkit_components() returned dict {1: 'a:b'}; expected a dict with names as keys",
        ),
        (COMPONENTS.format("return {'x': 3}"), "'bad.x' is not a component: expected a class derived from lk.Encoder"),
        (COMPONENTS.format("return {'x': dict}"), "'bad.x' is not a component: "),
        (COMPONENTS.format("return {'x': print}"), "'bad.x' is not a component: "),
        (COMPONENTS.format("return {'x': 'no target'}"), "'bad.x' is not a component: "),
        (COMPONENTS.format("return {'x': lk.Part}"), "'bad.x' is of no known kind: its class has to derive from"),
        (RECIPES.format("return []"), "latentkit_recipes() returned list []; expected a dict with names as keys"),
        (RECIPES.format("return {'r': 1}"), "recipe 'r': expected the path of a .toml file, found int 1"),
        (
            RECIPES.format("return {'ogan': Path('x.toml')}"),
            "recipe 'ogan' is taken by plugin 'ogan' (built in ",
        ),
    ],
)
def test_a_package_that_fails_is_put_aside_with_its_reason(text: str, reason: str, install: Install) -> None:
    registry, info = put_aside(install("bad", text))
    assert info.reason.startswith(reason)
    assert info.remedy == "to remove it: pip uninstall bad-package"
    assert info.told.endswith("; to remove it: pip uninstall bad-package")
    assert not [name for name in registry.entries if name.startswith("bad.")]
    with pytest.raises(RegistryError, match=r"^plugin 'bad' is broken, so 'bad\.x' is not available: .*pip uninstall"):
        registry.find("bad.x")


def test_the_whole_message_and_the_place_are_kept_below_the_reason(install: Install, tmp_path: Path) -> None:
    _, info = put_aside(install("bad", "\nraise RuntimeError('no luck\\nat all')"))
    assert info.fault == f"RuntimeError: no luck\nat all\n({tmp_path / 'lk_bad' / '__init__.py'}, line 2)"


def test_a_module_that_does_not_exist_is_named(install: Install) -> None:
    _, info = put_aside(("bad", "lk_nowhere.at.all", "bad-package", "1.2"))
    assert info.fault == "ModuleNotFoundError: No module named 'lk_nowhere'"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[bad", "registry.toml: "),
        ('[other]\ntitle = "x"', "its registry.toml has no table [bad]"),
        ("bad = 1", "registry.toml: expected a table [bad], found 1"),
        ('[bad.losses]\nx = "m:a"', "registry.toml, [bad]: unknown kind 'losses'; known: mapping, "),
        ("[bad]\nloss = 1", "registry.toml, [bad]: unknown kind 'loss'"),
        ("[bad.loss]\nx = 1", 'registry.toml, [bad.loss] x: expected "module:attribute", found 1'),
        ('[bad.loss]\nx = "lk_bad"', "registry.toml, [bad.loss] x: expected \"module:attribute\", found 'lk_bad'"),
        ("[bad]\nrecipes = 3", "registry.toml, [bad.recipes]: expected one line on each recipe, found 3"),
        ('[bad.recipes]\nogan = "mine"', "recipe 'ogan' is taken by plugin 'ogan' (built in "),
        ("[bad]\ntitle = '\x80'", "registry.toml: 'utf-8' codec"),
    ],
)
def test_a_faulty_catalogue_is_told_with_its_place(text: str, reason: str, install: Install, tmp_path: Path) -> None:
    point = install("bad", "raise RuntimeError('never imported')")
    (tmp_path / "lk_bad" / "registry.toml").write_bytes(text.encode("latin-1"))
    registry, info = put_aside(point)
    assert info.reason.startswith(reason)
    assert "ogan" in registry.recipes
    assert "lk_bad" not in sys.modules


def test_a_taken_name_leaves_the_owner_alone_and_says_which_to_uninstall(install: Install) -> None:
    _, info = put_aside(("ogan", *install("ogan", WELL)[1:]))
    assert info.reason == f"its name is taken by plugin 'ogan' (built in {Registry(SHIPPED).plugins['core'].version})"
    assert info.remedy == "to remove it: pip uninstall ogan-package"


def test_of_two_packages_with_one_name_either_can_be_uninstalled(install: Install) -> None:
    first, second = install("warm", WELL), install("warmer", WELL)
    registry, info = put_aside(first, ("warm", *second[1:]))
    assert info.told == (
        "plugin 'warm' of warmer-package 1.2 cannot be used: its name is taken by plugin 'warm' (warm-package 1.2); "
        "to keep one of the two: pip uninstall warmer-package or pip uninstall warm-package"
    )
    assert registry.entries["warm.warmth"].target is sys.modules["lk_warm"].warmth


def test_of_two_packages_with_one_recipe_either_can_be_uninstalled(install: Install) -> None:
    text = RECIPES.format("return {'r': Path('r.toml')}")
    registry, info = put_aside(install("one", text), install("two", text))
    assert info.reason == "recipe 'r' is taken by plugin 'one' (one-package 1.2)"
    assert info.remedy == "to keep one of the two: pip uninstall two-package or pip uninstall one-package"
    assert registry.recipe_owner["r"] == "one"


def test_a_module_that_two_names_share_stays_with_the_first(install: Install) -> None:
    point = install("one", WELL)
    registry, info = put_aside(point, ("two", *point[1:]))
    assert info.reason == "its module is in use already, by the catalogue of one"
    assert registry.manager.is_registered(sys.modules["lk_one"])


def test_a_name_that_no_recipe_could_write_is_refused(install: Install) -> None:
    _, info = put_aside(("so.so", *install("so", WELL)[1:]))
    assert info.reason == "'so.so' is no name for a plugin: expected letters, digits, '-' and '_'"


def test_ctrl_c_is_not_a_fault_of_the_package_that_is_being_imported(install: Install) -> None:
    with pytest.raises(KeyboardInterrupt):
        Registry(SHIPPED, [install("slow", "raise KeyboardInterrupt")])


def test_what_packages_print_when_imported_goes_to_standard_error(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    late = '[late.loss]\nwarmth = "lk_late:warmth"\n'
    points = [
        install("loud", "print('hello')\n" + COMPONENTS.format("print('asked'); return {}")),
        install("late", f"print('late')\n{HOOKS}{LOSS}", **{"registry.toml": late}),
    ]
    registry = Registry(SHIPPED, points)
    assert capsys.readouterr() == ("", "hello\nasked\n")
    registry.load("late.warmth")
    assert capsys.readouterr() == ("", "late\n")


def test_lists_run_no_code_of_a_package_and_survive_what_cannot_be_parsed(install: Install) -> None:
    catalogue = '[bad]\n[bad.loss]\nlate = "lk_bad.parts:late"\nlost = "lk_bad.lost:lost"\n'
    point = install("bad", "raise RuntimeError", **{"registry.toml": catalogue, "parts.py": "def ("})
    registry = Registry(SHIPPED, [point])
    assert not registry.plugins["bad"].fault
    assert [entry.summary() for entry in registry.of_kind("loss") if entry.name.startswith("bad.")] == ["", ""]
    assert "lk_bad" not in sys.modules


def test_files_of_modules_are_found_without_importing_their_packages(install: Install, tmp_path: Path) -> None:
    install("bad", "raise RuntimeError", **{"parts.py": ""})
    assert module_path("lk_bad.parts") == tmp_path / "lk_bad" / "parts.py"
    assert [module_path(name) for name in ("lk_bad.no", "lk_bad.parts.no", "lk_no.parts", "sys", "", "..")] == [
        None
    ] * 6


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ("1 / 0", "'bad.x' of plugin 'bad' cannot be imported: ZeroDivisionError: division by zero ({file}, line 1)"),
        ("raise SystemExit(0)", "'bad.x' of plugin 'bad' cannot be imported: SystemExit: 0 ({file}, line 1)"),
        ("", "'bad.x' of plugin 'bad' cannot be imported: AttributeError: module 'lk_bad.parts' has no attribute 'x'"),
        ("x = 3", "'bad.x' is not a component: expected a class derived from lk.Encoder, lk.Prior, ..., or a function"),
        ("def x(of): pass", "'bad.x' is not a component: "),
    ],
)
def test_a_component_that_fails_when_it_is_used_is_one_message(
    parts: str, said: str, install: Install, tmp_path: Path
) -> None:
    point = install("bad", **{"registry.toml": '[bad.loss]\nx = "lk_bad.parts:x"\n', "parts.py": parts})
    registry = Registry(SHIPPED, [point])
    with pytest.raises(RegistryError) as caught:
        registry.load("bad.x")
    text = str(caught.value)
    assert text.startswith(said.format(file=tmp_path / "lk_bad" / "parts.py"))
    assert text.endswith(" (bad-package 1.2; to remove it: pip uninstall bad-package)")
    recipe = {"extends": "alae-mlp", "phase": {"reciprocate": {"loss": {"latent": {"use": "bad.x"}}}}}
    (problem,) = lk.check(recipe, registry=registry).problems
    assert problem.fact == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 / 0", "plugin 'bad' cannot take part in a run: ZeroDivisionError: division by zero ({file}, line 1)"),
        (
            HOOKS + "@lk.hookimpl\ndef latentkit_run_begun(event): pass",
            "plugin 'bad' cannot take part in a run: no hook is called 'latentkit_run_begun'; "
            "did you mean 'latentkit_run_started'?",
        ),
    ],
)
def test_a_plugin_that_fails_when_a_run_starts_ends_it_with_one_message_and_no_folder(
    text: str, said: str, install: Install, tmp_path: Path
) -> None:
    install("parts", HOOKS + LOSS)
    point = install("bad", text, **{"registry.toml": '[bad.loss]\nwarmth = "lk_parts:warmth"\n'})
    registry = Registry(SHIPPED, [point])
    term = {"phase.generate.loss.warmth": {"use": "bad.warmth", "of": "x_fake"}}
    small: dict[str, object] = {"parts.E.hidden": 8, "parts.G.hidden": 8, "data.count": 8, "train.batch": 4, **term}
    for _ in range(2):
        with pytest.raises(RegistryError) as caught:
            lk.train("alae-mlp", tmp_path / "run", steps=1, overrides=small, registry=registry)
        file = tmp_path / "lk_bad" / "__init__.py"
        whose = "(bad-package 1.2; to remove it: pip uninstall bad-package)"
        assert str(caught.value) == f"{said.format(file=file)} {whose}"
    assert not (tmp_path / "run").exists()
    well = {key: value for key, value in small.items() if key not in term}
    assert lk.train("alae-mlp", tmp_path / "run", steps=1, overrides=well, registry=registry).model.step == 1


METRICS = """
import attrs

@attrs.frozen(kw_only=True)
class Half(lk.Metric):
    def applies(self, model, samples):
        return ""
"""


def test_a_metric_that_cannot_be_made_has_a_reason_unless_it_was_asked_for(install: Install) -> None:
    catalogue = '[bad.metric]\nlost = "lk_bad.lost:Lost"\nhalf = "lk_bad:Half"\n'
    registry = Registry(SHIPPED, [install("bad", HOOKS + METRICS, **{"registry.toml": catalogue})])
    model = lk.compose("alae-mlp", {"parts.E.hidden": 8, "parts.G.hidden": 8, "data.count": 32})
    reasons = {result.name: result.reason for result in lk.evaluate(model, n=4, registry=registry)}
    assert reasons["bad.lost"].startswith("'bad.lost' of plugin 'bad' cannot be imported: ModuleNotFoundError: ")
    assert reasons["bad.half"].startswith("the metric 'bad.half' cannot be made: Can't instantiate abstract class Half")
    with pytest.raises(RegistryError, match=r"'bad\.lost' of plugin 'bad' cannot be imported"):
        lk.evaluate(model, ["bad.lost"], registry=registry)


def distribution(folder: Path, name: str, points: str, metadata: str | None) -> None:
    (folder / f"{name}-1.2.dist-info").mkdir()
    (folder / f"{name}-1.2.dist-info" / "entry_points.txt").write_text(f"[latentkit]\n{points}\n")
    if metadata is not None:
        (folder / f"{name}-1.2.dist-info" / "METADATA").write_text(metadata)


def test_entry_points_come_in_order_and_damaged_ones_do_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = "Metadata-Version: 2.1\nName: {}\nVersion: 1.2\n"
    distribution(tmp_path, "b_pack", "lk-same = lk_b", whole.format("b-pack"))
    distribution(tmp_path, "a_pack", "lk-same = lk_a [extra]\nlk-odd = not a module", whole.format("a-pack"))
    distribution(tmp_path, "c_pack", "lk-torn = lk_c:plugin", None)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    found = [point for point in entry_points() if point[0].startswith("lk-")]
    assert found[:3] == [
        ("lk-odd", "not a module", "a-pack", "1.2"),
        ("lk-same", "lk_a", "a-pack", "1.2"),
        ("lk-same", "lk_b", "b-pack", "1.2"),
    ]
    assert found[3][:2] == ("lk-torn", "lk_c")
    registry = Registry(SHIPPED, found)
    assert "No module named" in registry.plugins["lk-odd"].reason


def test_a_package_without_metadata_is_told_without_a_command_to_remove_it() -> None:
    _, info = put_aside(("torn", "lk_nowhere", "?", "?"))
    assert (info.remedy, info.told) == ("", f"plugin 'torn' of ? ? cannot be used: {info.reason}")


def test_an_error_of_ones_own_passes_the_guard_as_it_is() -> None:
    error = RegistryError("mine")
    with pytest.raises(RegistryError) as caught, guarded():
        raise error
    assert caught.value is error
    assert Entry("a.b", "loss", "a:b").summary() == ""
