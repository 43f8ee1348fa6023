"""``check`` and ``explain``."""

from __future__ import annotations

from collections import abc
from pathlib import Path
from typing import Any

Command = abc.Callable[..., Any]


def test_a_sound_recipe_is_told_with_what_was_proved(latentkit: Command) -> None:
    done = latentkit("check", "alae-mlp", "--set", "parts.E.hidden=8")
    assert done.code == 0
    assert done.out.startswith("alae-mlp is sound\n\nProved on the expressions, for all values:\n  names, spaces")
    for title in (
        "Proved on shapes, for these sizes",
        "Seen in one numeric step on synthetic data; no data was opened",
    ):
        assert f"\n{title}:\n  " in done.out


def test_all_problems_of_a_recipe_are_told_with_their_places(latentkit: Command) -> None:
    done = latentkit("check", "alae-mlp", "--set", "parts.E.hiden=8", "--set", "draw.z.dim=half")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: 2 problems\n")
    assert "--set parts.E.hiden, [parts] E.hiden: unknown key" in done.err
    assert 'expected a whole number, found "half"' in done.err


def test_check_is_json_for_programs(latentkit: Command) -> None:
    good = latentkit("check", "alae-mlp", "--json")
    assert (good.code, good.json["ok"], good.json["problems"]) == (0, True, [])
    bad = latentkit("check", "alae-mlp", "--json", "--set", "parts.E.hiden=8")
    assert (bad.code, bad.json["ok"]) == (2, False)
    assert bad.json["problems"][0]["fact"] == "unknown key"


def test_an_unknown_recipe_names_the_nearest(latentkit: Command) -> None:
    done = latentkit("check", "alae-mpl")
    assert (done.code, done.err) == (2, "error: no shipped recipe is called 'alae-mpl'\n  did you mean 'alae-mlp'?\n")


def test_explain_tells_a_recipe_and_draws_it(latentkit: Command) -> None:
    assert "alae-mlp" in latentkit("explain", "alae-mlp").out
    assert "flowchart" in latentkit("explain", "alae-mlp", "--mermaid").out


def test_explain_tells_what_differs_from_the_parent(latentkit: Command) -> None:
    assert "phase.reciprocate" in latentkit("explain", "alae-pearson", "--diff").out
    assert "train.batch" in latentkit("explain", "alae-mlp", "--diff", "--set", "train.batch=3").out
    assert "alae-pearson" in latentkit("explain", "alae-mlp", "--against", "alae-pearson").out


def test_diff_needs_something_to_differ_from(latentkit: Command) -> None:
    done = latentkit("explain", "alae-mlp", "--diff")
    assert done.code == 2
    assert "'alae-mlp' extends no recipe" in done.err


def test_options_of_explain_that_exclude_each_other_are_refused(latentkit: Command) -> None:
    both = latentkit("explain", "alae-mlp", "--diff", "--against", "ogan")
    assert both.code == 2
    assert "give one" in both.err
    drawn = latentkit("explain", "alae-pearson", "--mermaid", "--diff")
    assert drawn.code == 2
    assert "--mermaid draws one recipe" in drawn.err


def test_explain_compares_several_recipes_in_one_table(latentkit: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('extends = "alae-mlp"\n')
    done = latentkit("explain", "--compare", "vae", str(tmp_path / "mine.toml"))
    assert done.code == 0
    head, _, first, second, *_ = done.out.splitlines()
    assert head.split("  ")[1] == "recipe"
    assert first.split() == ["vae", "similarity", "imposed", "/", "divergence", "data"]
    assert second.split() == ["mine", "adversarial", "learned", "/", "reciprocity", "latent"]
    tables = latentkit("explain", "vae", "beta-vae", "--compare", "--json", "--set", "phase.elbo.loss.kl.weight=0").json
    assert tables[0]["latent_distribution"] == "imposed / none"


def test_several_recipes_and_json_are_for_compare(latentkit: Command) -> None:
    several = latentkit("explain", "vae", "gan")
    assert (several.code, several.out) == (2, "")
    assert several.err == "error: one recipe is explained at a time, found 2; --compare takes several\n"
    assert "--json is for --compare" in latentkit("explain", "vae", "--json").err
    assert "leave out --diff, --against and --mermaid" in latentkit("explain", "vae", "--compare", "--mermaid").err
    assert "did you mean 'vae'" in latentkit("explain", "--compare", "gan", "vaee").err
