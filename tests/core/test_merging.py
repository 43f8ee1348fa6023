"""How a recipe and what it extends, and overrides, become one set of tables."""

from __future__ import annotations

from collections import abc
from pathlib import Path

import pytest

from latentkit.errors import RecipeError
from latentkit.recipe.merging import merge
from latentkit.recipe.reading import structured
from latentkit.recipe.source import read

PARENT = """
title = "Parent"
[data]
use = "a.images"
resolution = 16
channels = 3
range = [0.0, 1.0]
split = 0.9
flip = true
per = "phase"
gives = { x = "image", y = "label" }
folder = "somewhere"
[draw]
z = { use = "normal", dim = 6 }
[parts]
E = { use = "a.enc", width = 8, frozen = true, constraint = { use = "clip-weights", limit = 0.01 } }
G = { use = "a.gen" }
[flow]
h = "E(x)"
[phase.first]
train = ["E"]
repeat = 3
loss.a = { use = "l2", of = "h", to = "z", weight = 2, every = 4 }
loss.b = "mean(h)"
[phase.second]
train = ["G"]
loss.a = "sum(G(z))"
[optimizer]
use = "adam"
lr = 0.002
beta1 = 0.5
E.lr = 0.1
"""
Tree = dict[str, object]
Merged = abc.Callable[..., Tree]


@pytest.fixture
def merged(tmp_path: Path) -> Merged:
    """Tables of a child of PARENT."""
    (tmp_path / "parent.toml").write_text(PARENT)

    def read_child(child: str, overrides: Tree | None = None) -> Tree:
        path = tmp_path / "child.toml"
        path.write_text(f'extends = "parent.toml"\n{child}')
        return read(path, overrides).tables

    return read_child


def at(tables: object, dotted: str) -> object:
    for key in dotted.split("."):
        assert isinstance(tables, dict)
        tables = tables[key]
    return tables


def test_child_without_a_word_is_its_parent(merged: Merged, tmp_path: Path) -> None:
    assert merged("") == read(tmp_path / "parent.toml").tables


def test_keys_merge_one_by_one(merged: Merged) -> None:
    tables = merged('title = "Child"\nflow.g = "G(z)"\nparts.E.width = 9')
    assert at(tables, "title") == "Child"
    assert at(tables, "flow") == {"h": "E(x)", "g": "G(z)"}
    assert at(tables, "parts.E.width") == 9
    assert at(tables, "parts.E.frozen") is True


def test_another_use_replaces_the_whole_table(merged: Merged) -> None:
    tables = merged('phase.first.loss.a = { use = "l1", of = "h" }\nparts.E.use = "a.other"')
    assert at(tables, "phase.first.loss.a") == {"use": "l1", "of": "h"}
    assert at(tables, "parts.E") == {"use": "a.other"}


def test_same_or_no_use_merges(merged: Merged) -> None:
    tables = merged('phase.first.loss.a = { use = "l2", to = "h" }\nparts.E.width = 9')
    assert at(tables, "phase.first.loss.a") == {"use": "l2", "of": "h", "to": "h", "weight": 2, "every": 4}
    tables = merged("phase.first.loss.a.weight = 3")
    assert at(tables, "phase.first.loss.a.every") == 4


def test_use_of_an_inner_table_replaces_only_that(merged: Merged) -> None:
    tables = merged('parts.E.constraint = { use = "other" }')
    assert at(tables, "parts.E.constraint") == {"use": "other"}
    assert at(tables, "parts.E.width") == 8


def test_another_optimizer_takes_nothing_over(merged: Merged) -> None:
    assert at(merged('optimizer = { use = "sgd" }'), "optimizer") == {"use": "sgd"}


def test_arrays_expressions_and_numbers_are_replaced(merged: Merged) -> None:
    tables = merged('flow.h = "E(2 * x)"\nphase.first = { train = ["E", "G"], repeat = 1 }')
    assert at(tables, "flow.h") == "E(2 * x)"
    assert at(tables, "phase.first.train") == ["E", "G"]
    assert at(tables, "phase.first.repeat") == 1


def test_a_schedule_replaces_a_schedule(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("scalars.g = { from = 0, to = 1, over = 10, shape = 'cosine' }\n")
    (tmp_path / "b.toml").write_text("extends = 'a.toml'\nscalars.g = { steps = [[0, 1.0]] }\n")
    assert read(tmp_path / "b.toml").tables == {"scalars": {"g": {"steps": [[0, 1.0]]}}}


def test_an_end_of_a_schedule_can_be_changed_alone(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("scalars.g = { from = 0, to = 1, over = 10 }\n")
    (tmp_path / "b.toml").write_text("extends = 'a.toml'\nscalars.g.to = 2\n")
    assert at(read(tmp_path / "b.toml").tables, "scalars.g") == {"from": 0, "to": 2, "over": 10}


def test_an_expression_term_becomes_a_table(merged: Merged) -> None:
    tables = merged("phase.first.loss.b.weight = 3")
    assert at(tables, "phase.first.loss.b") == {"of": "mean(h)", "weight": 3}
    tables = merged('phase.first.loss.b = { use = "l2", of = "h", to = "z" }')
    assert at(tables, "phase.first.loss.b") == {"use": "l2", "of": "h", "to": "z"}


def test_a_table_term_becomes_an_expression(merged: Merged) -> None:
    assert at(merged('phase.first.loss.a = "mean(h)"'), "phase.first.loss.a") == "mean(h)"


def test_common_options_of_data_survive_another_source(merged: Merged) -> None:
    tables = merged('data.use = "b.images"')
    assert at(tables, "data") == {
        "use": "b.images", "resolution": 16, "channels": 3, "range": [0.0, 1.0], "split": 0.9, "flip": True,
        "per": "phase", "gives": {"x": "image", "y": "label"},
    }  # fmt: skip
    tables = merged('data = { use = "b.images", resolution = 8, count = 3 }')
    assert (at(tables, "data.resolution"), at(tables, "data.count")) == (8, 3)
    assert at(tables, "data.channels") == 3


def test_remove_acts_before_the_child(merged: Merged) -> None:
    removed = 'remove = ["phase.first", "parts.E.width", "flow.h"]'
    tables = merged(f'{removed}\nphase.first.train = ["G"]\nparts.E.frozen = false')
    assert at(tables, "phase.first") == {"train": ["G"]}
    assert at(tables, "parts.E") == {
        "use": "a.enc", "frozen": False, "constraint": {"use": "clip-weights", "limit": 0.01},
    }  # fmt: skip
    assert at(tables, "flow") == {}
    assert "remove" not in tables
    assert "extends" not in tables


def test_removed_phase_that_returns_goes_last(merged: Merged) -> None:
    tables = merged('remove = ["phase.first"]\nphase.first = { train = ["E"], loss.b = "mean(h)" }')
    assert list(at(tables, "phase")) == ["second", "first"]  # type: ignore[call-overload]


def test_remove_of_what_is_not_there_names_all_such_paths(merged: Merged) -> None:
    with pytest.raises(RecipeError) as caught:
        merged('remove = ["phase.frist", "flow.h.x", "flow.h"]')
    first, second = caught.value.problems
    assert first.fact == "'parent' has no 'phase.frist'"
    assert first.hint == "did you mean 'phase.first'?"
    assert "child.toml, line 2" in first.where
    assert second.fact == "'parent' has no 'flow.h.x'"


@pytest.mark.parametrize("value", ['"flow.h"', "[1]"])
def test_remove_is_a_list_of_paths(value: str, merged: Merged) -> None:
    with pytest.raises(RecipeError, match=r"expected a list of dotted paths"):
        merged(f"remove = {value}")


def test_remove_needs_extends() -> None:
    with pytest.raises(RecipeError, match=r"'remove' needs 'extends'"):
        read({"remove": ["parts.G"]})


def test_new_phases_go_last_unless_order_says_otherwise(merged: Merged) -> None:
    third = 'phase.third = { train = ["G"], loss.a = "sum(G(z))" }\nphase.first.repeat = 2\n'
    assert list(at(merged(third), "phase")) == ["first", "second", "third"]  # type: ignore[call-overload]
    source = read({"phase": at(merged(third), "phase"), "order": ["third", "first", "second"]})
    assert list(structured(source).phases) == ["third", "first", "second"]


@pytest.mark.parametrize("order", [["first"], ["first", "second", "thrid"], ["first", "first", "second"]])
def test_order_names_each_phase_once(order: list[str], merged: Merged) -> None:
    with pytest.raises(RecipeError, match=r"must name each phase once: first, second"):
        structured(read({"phase": at(merged(""), "phase"), "order": order}))


def test_chains_are_followed_and_folders_count_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "a.toml").write_text("[train]\nsteps = 1\nbatch = 2\nseed = 3\n")
    (tmp_path / "inner" / "b.toml").write_text("extends = '../a.toml'\ntrain.batch = 20\n")
    (tmp_path / "c.toml").write_text("extends = 'inner/b.toml'\nremove = ['train.steps']\ntrain.seed = 30\n")
    source = read(tmp_path / "c.toml")
    assert source.tables == {"train": {"batch": 20, "seed": 30}}
    assert source.parent is not None
    assert source.parent.parent is not None
    assert [source.name, source.parent.name, source.parent.parent.name] == ["c", "b", "a"]
    assert source.where(("train", "batch")) == "b.toml, line 2, [train] batch"


def test_circle_is_named(tmp_path: Path) -> None:
    for name, other in (("a", "b"), ("b", "c"), ("c", "a")):
        (tmp_path / f"{name}.toml").write_text(f"extends = '{other}.toml'\n")
    circle = r"extends in a circle: a\.toml -> b\.toml -> c\.toml -> a\.toml"
    with pytest.raises(RecipeError, match=rf"c\.toml, line 1, extends: {circle}"):
        read(tmp_path / "a.toml")


def test_shipped_names_and_near_misses(tmp_path: Path) -> None:
    path = tmp_path / "known.toml"
    path.write_text("title = 'Known'\n")
    assert read({"extends": "known"}, shipped={"known": path}).tables == {"title": "Known"}
    with pytest.raises(RecipeError, match=r"no shipped recipe is called 'knwon'\n  did you mean 'known'\?"):
        read({"extends": "knwon"}, shipped={"known": path})
    with pytest.raises(RecipeError, match=r"no such recipe file: missing.toml"):
        read({"extends": "missing.toml"})
    with pytest.raises(RecipeError, match=r"expected a recipe's name, found 3"):
        read({"extends": 3})


def test_overrides_do_not_depend_on_their_order(merged: Merged) -> None:
    pairs = [
        ("phase.first.loss.a.use", "l1"), ("phase.first.loss.a.of", "h"), ("phase.first.loss.a.to", "z"),
        ("data.use", "c.images"), ("data.resolution", 4), ("phase.first.loss.b.weight", 3), ("optimizer.lr", 1),
    ]  # fmt: skip
    forward, backward = merged("", dict(pairs)), merged("", dict(reversed(pairs)))
    assert forward == backward
    assert at(forward, "phase.first.loss.a") == {"use": "l1", "of": "h", "to": "z"}
    assert at(forward, "data.resolution") == 4
    assert at(forward, "data.channels") == 3


@pytest.mark.parametrize("keys", [("flow", "flow.h"), ("flow.h", "flow")])
def test_override_of_a_table_and_of_a_key_in_it_agree(keys: tuple[str, str], merged: Merged) -> None:
    values = {"flow": {"g": "G(z)"}, "flow.h": "E(2 * x)"}
    assert at(merged("", {key: values[key] for key in keys}), "flow") == {"g": "G(z)", "h": "E(2 * x)"}


@pytest.mark.parametrize("keys", [("flow.h", "flow.h.x"), ("flow.h.x", "flow.h")])
def test_override_that_is_value_and_table_at_once_is_refused(keys: tuple[str, str], merged: Merged) -> None:
    with pytest.raises(RecipeError, match=r"'h' is set to a value and to a table"):
        merged("", dict.fromkeys(keys, "x"))


@pytest.mark.parametrize("backward", [False, True])
def test_override_with_a_table_in_it_merges_in_depth_and_stays_as_it_was(backward: bool, merged: Merged) -> None:
    table = {"loss": {"a": {"weight": 5}}}
    pairs = [("phase.first", table), ("phase.first.loss.a.every", 7), ("phase.first.loss.b.weight", 3)]
    tables = merged("", dict(reversed(pairs) if backward else pairs))
    assert at(tables, "phase.first.loss.a") == {"use": "l2", "of": "h", "to": "z", "weight": 5, "every": 7}
    assert at(tables, "phase.first.loss.b") == {"of": "mean(h)", "weight": 3}
    assert table == {"loss": {"a": {"weight": 5}}}


def test_override_is_named_as_the_place() -> None:
    source = read({"train": {"steps": 1}}, {"train.batch": "many"})
    with pytest.raises(
        RecipeError, match=r"--set train.batch, \[train\] batch: expected a whole number, found \"many\""
    ):
        structured(source)


def test_merge_changes_neither_of_its_tables() -> None:
    parent: Tree = {"a": {"b": {"c": 1}}}
    child: Tree = {"a": {"b": {"d": 2}}, "e": {"f": 3}}
    found = merge(parent, child)
    at(found, "a.b")["c"] = 5  # type: ignore[index]
    at(found, "e")["f"] = 6  # type: ignore[index]
    assert (parent, child) == ({"a": {"b": {"c": 1}}}, {"a": {"b": {"d": 2}}, "e": {"f": 3}})


def test_reading_twice_gives_equal_tables(merged: Merged) -> None:
    child = 'phase.first.loss.b.weight = 3\nremove = ["phase.second"]'
    assert merged(child.split("\n")[1] + "\n" + child.split("\n")[0]) == merged(child)


@pytest.mark.parametrize(
    "text",
    ["phase.a = { train = ['G'] }\n[phase.a.loss]\nx = 'y'\n", "parts = { G = { use = 'a' } }\nparts.D.use = 'b'\n"],
)
def test_key_after_a_closed_inline_table_is_explained(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(
        RecipeError, match=r"a\.toml, line \d: not valid TOML: [\s\S]*an inline table \{ \.\.\. \} is closed"
    ):
        read(tmp_path / "a.toml")


def test_files_that_are_no_recipes(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match=r"not a text file"):
        read(path)
    path.write_text("a = [" + "[" * 5000)
    with pytest.raises(RecipeError, match=r"a.toml"):
        read(path)
    path.write_text("a." * 60 + "b = 1")
    with pytest.raises(RecipeError, match=r"nested more than 32 deep"):
        read(path)
    path.write_text("#" * 1_100_000)
    with pytest.raises(RecipeError, match=r"1\.1 MB are no recipe; at most 100\.0 kB are read"):
        read(path)
