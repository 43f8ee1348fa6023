"""``list``, ``recipes``, ``plugins``, ``show``."""

from __future__ import annotations

import tomllib
from collections import abc
from typing import Any

import pytest

Command = abc.Callable[..., Any]


def test_list_groups_components_by_kind_with_a_line_on_each(latentkit: Command) -> None:
    lines = latentkit("list").out.splitlines()
    assert "loss" in lines
    line = next(line for line in lines if line.startswith("  core.l2 "))
    assert line.endswith("Squared error, averaged over features.")
    assert lines.index("mapping") < lines.index("loss") < lines.index("prior")


def test_list_of_a_kind_has_that_kind_only(latentkit: Command) -> None:
    found = latentkit("list", "regularizer", "--json").json
    (r1,) = (entry for entry in found if entry["name"] == "core.r1")
    assert {"kind": "regularizer", "plugin": "core"}.items() <= r1.items()
    assert {entry["kind"] for entry in found} == {"regularizer"}


def test_list_of_an_unknown_kind_names_the_nearest(latentkit: Command) -> None:
    done = latentkit("list", "losses")
    assert (done.code, done.err) == (2, "error: no kind of component is called 'losses'; did you mean 'loss'?\n")


def test_recipes_stand_under_their_plugin(latentkit: Command) -> None:
    out = latentkit("recipes").out
    assert out.index("arXiv:1903.01931") < out.index("  ogan-mapping ")
    found = {recipe["name"]: recipe for recipe in latentkit("recipes", "--json").json}
    assert found["alae-mlp"]["plugin"] == "alae"


def test_plugins_tell_how_much_each_brings(latentkit: Command) -> None:
    found = {plugin["name"]: plugin for plugin in latentkit("plugins", "--json").json}
    assert found["ogan"]["recipes"] >= 3
    assert found["core"]["fault"] is None
    assert "O-GAN" in latentkit("plugins").out


def test_show_has_options_with_types_defaults_and_the_text_below_them(latentkit: Command) -> None:
    out = latentkit("show", "alae.mlp-encoder").out
    assert "arXiv:2004.04467" in out
    assert "x: image[channels, height, width] in range -> w: latent[dim]" in out
    assert ".features" in out
    rows = {line.split()[0]: line for line in out.partition("options\n")[2].splitlines() if line.strip()}
    assert rows["hidden"].split()[1:] == ["int", "1024"]
    assert "Resizes images to this side" in rows["side"]
    assert "Inferred" in rows["dim"]


def test_show_of_a_component_is_json_for_programs(latentkit: Command) -> None:
    shown = latentkit("show", "sprites", "--json").json
    options = {option["name"]: option for option in shown["options"]}
    assert (shown["kind"], options["count"]["default"]) == ("data", "10000")
    assert "split" in shown["common"]


def test_every_component_can_be_shown(latentkit: Command) -> None:
    for entry in latentkit("list", "--json").json:
        assert latentkit("show", entry["name"]).code == 0, entry


def test_show_of_a_recipe_prints_a_recipe(latentkit: Command) -> None:
    assert tomllib.loads(latentkit("show", "alae-mlp").out)["paper"] == "arXiv:2004.04467"
    assert latentkit("show", "alae-mlp", "--json").json["plugin"] == "alae"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("alae-mpl", "did you mean 'alae-mlp'?"),
        ("correlation", "did you mean 'ogan.correlation'?"),
        ("ogan.corelation", "did you mean 'ogan.correlation'?"),
        ("zzz", "see `latentkit list` and `latentkit recipes`"),
    ],
)
def test_show_of_an_unknown_name_says_what_comes_near(latentkit: Command, name: str, hint: str) -> None:
    done = latentkit("show", name)
    assert (done.code, done.err) == (2, f"error: no component or recipe is called '{name}'; {hint}\n")


def test_the_version_is_told(latentkit: Command) -> None:
    assert latentkit("--version").out.startswith("latentkit ")
