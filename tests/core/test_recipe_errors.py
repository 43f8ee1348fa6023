"""What is said of a recipe that is wrong: where, what, and what would fix it; all of it at once."""

from __future__ import annotations

from collections import abc
from pathlib import Path

import pytest

from latentkit._building import wired
from latentkit.engine.training import Training
from latentkit.errors import LatentkitError, RecipeError
from latentkit.registry.manager import Registry

SYSTEMS = Path(__file__).parent / "systems"
Start = abc.Callable[..., Training]
Faults = abc.Callable[..., str]

RECIPE = """\
[data]
use = "toy.images"
[draw]
z = { use = "normal", dim = 6 }
[parts]
G = { use = "toy.gen" }
D = { use = "toy.disc" }
[flow]
x_fake = "G(z)"
fake = "D(x_fake)"
[phase.discriminate]
train = ["D"]
loss.adversarial = { use = "logistic-discriminator", real = "D(x)", fake = "fake" }
[phase.generate]
train = ["G"]
loss.adversarial = "-fake"
"""


@pytest.fixture
def faults(tmp_path: Path, registry: Registry) -> Faults:
    """The message for RECIPE with one line changed."""

    def message(old: str, new: str) -> str:
        assert old in RECIPE
        path = tmp_path / "mine.toml"
        path.write_text(RECIPE.replace(old, new))
        with pytest.raises(RecipeError) as caught:
            wired(path, None, registry)
        return str(caught.value).replace(f"{tmp_path}/", "")

    return message


def test_the_recipe_itself_is_right(tmp_path: Path, registry: Registry) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(RECIPE)
    assert wired(path, None, registry).warnings == ()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[phase.generate]", "[phaes.generate]", "mine.toml, line 14, [phaes]: unknown key\n  did you mean 'phase'?"),
        ('train = ["G"]', 'trian = ["G"]\ntrain = ["G"]',
         "mine.toml, line 15, [phase.generate] trian: unknown key\n  did you mean 'train'?"),
        ('use = "toy.gen"', 'use = "toy.gen", dmi = 3',
         "mine.toml, line 6, [parts] G.dmi: unknown key\n  did you mean 'dim'?"),
        ('use = "toy.images"', 'use = "toy.images"\nresolutoin = 8',
         "mine.toml, line 3, [data] resolutoin: unknown key\n  did you mean 'resolution'?"),
        ('"-fake"', '{ of = "fake", wieght = 2 }',
         "mine.toml, line 16, [phase.generate] loss.adversarial.wieght: unknown key\n"
         "  a term without 'use' has only of, weight and every"),
        ('real = "D(x)"', 'raal = "D(x)"',
         "mine.toml, line 13, [phase.discriminate] loss.adversarial.raal: unknown key"),
        ("[flow]", "[optimizer]\nG.rate = 1\n[flow]",
         "mine.toml, line 9, [optimizer] G.rate: unknown key\n  a part's own option is 'lr'"),
        ("[flow]", "[train]\nstep = 1\n[flow]",
         "mine.toml, line 9, [train] step: unknown key\n  did you mean 'steps'?"),
        ("[flow]", "[average]\nslow = { parts = ['G'], dacay = 0.9 }\n[flow]",
         "mine.toml, line 9, [average.slow] dacay: unknown key\n  did you mean 'decay'?"),
    ],
)  # fmt: skip
def test_unknown_key_names_its_line_and_the_nearest_known_one(old: str, new: str, message: str, faults: Faults) -> None:
    assert message in faults(old, new)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"G(z)"', "[1]", "mine.toml, line 9, [flow] x_fake: expected an expression in quotes, found [1]"),
        ('["G"]', '"G"', "mine.toml, line 15, [phase.generate] train: expected a list, each a string, found \"G\""),
        ("[flow]", "[train]\nbatch = 2.5\n[flow]", "[train] batch: expected a whole number, found 2.5"),
        ("[flow]", "[train]\nbatch = true\n[flow]", "[train] batch: expected a whole number, found true"),
        ("[parts]", "[state]\np = { next = 3 }\n[parts]", "[state] p.next: expected a string, found 3"),
        ("dim = 6", "dim = 'six'", "mine.toml, line 4, [draw] z.dim: expected a whole number, found \"six\""),
        ("dim = 6", "dim = 0", "mine.toml, line 4, [draw] z"),
        ("dim = 6", "dim = 6, per = 'epoch'", "[draw] z.per: expected one of \"step\", \"phase\", found \"epoch\""),
        ('use = "toy.images"', 'use = "toy.images"\nrange = [0, 1, 2]',
         "[data] range: expected a list of 2, each a number, found [0, 1, 2]"),
        ('"-fake"', '{ of = "fake", weight = true }', "loss.adversarial.weight: expected a number, a schedule"),
        ('"-fake"', '{ of = "fake", weight = { from = 1, to = 2 } }',
         "loss.adversarial.weight: a schedule with 'from' also needs 'over'"),
        ('"-fake"', '{ of = "fake", weight = { from = 1, to = 2, ovr = 2, over = 3 } }', "a schedule has no key 'ovr'"),
        ('"-fake"', '{ of = "fake", weight = { steps = [] } }', "expected steps = [[at, value], ...], found []"),
        ('"-fake"', '{ of = "fake", weight = { steps = [[3, 1], [2, 1]] } }', "the times in 'steps' must increase"),
        ('"-fake"', '{ of = "fake", weight = { from = 0, to = 1, over = 9, shape = "exponential" } }',
         "needs 'from' and 'to' of one sign"),
        ('"-fake"', '{ of = "fake", weight = nan }', "finite"),
        ("[flow]", "[optimizer]\nlr = inf\n[flow]", "finite"),
        ('train = ["G"]', 'train = ["G"]\nrepeat = "2 + 3"', "[phase.generate] repeat: expected a number, a schedule"),
        ('"-fake"', "[1]", "[phase.generate] loss.adversarial: expected a table, found [1]"),
        ('{ use = "toy.gen" }', "3", "mine.toml, line 6, [parts] G: expected a table, found 3"),
    ],
)  # fmt: skip
def test_wrong_type_says_what_was_expected_and_found(old: str, new: str, message: str, faults: Faults) -> None:
    assert message in faults(old, new)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('{ use = "toy.gen" }', "{ dim = 6 }", "mine.toml, line 6, [parts] G: needs use = the name of a component"),
        ('use = "toy.images"', "resolution = 8", "mine.toml, line 1, [data]: needs use = the name of a data source"),
        ('"-fake"', "{ weight = 2 }", "mine.toml, line 16, [phase.generate] loss.adversarial: needs 'use' or 'of'"),
        ('loss.adversarial = "-fake"', "", "mine.toml, line 14, [phase.generate]: has no loss"),
        ('["G"]', "[]", "mine.toml, line 15, [phase.generate] train: is empty"),
        ('train = ["G"]', "", "mine.toml, line 14, [phase.generate]: 'train' is missing"),
        ('["G"]', '["g"]', "mine.toml, line 15, [phase.generate] train: no part is called 'g'"),
        ('["G"]', '["G", "G"]', "[phase.generate] train"),
        ('{ use = "toy.gen" }', '{ use = "toy.gen", frozen = true }', "[phase.generate] train"),
        ("[flow]", "[average]\nslow = { parts = ['Q'] }\n[flow]", "no part is called 'Q'"),
        ("[flow]", "[optimizer]\nQ.lr = 1\n[flow]", "[optimizer] Q: no part is called 'Q'"),
        ('train = ["G"]', 'train = ["G"]\nevery = 0', "[phase.generate] every: must be at least 1, found 0"),
        ('train = ["G"]', 'train = ["G"]\nrepeat = -1', "[phase.generate] repeat"),
        ("[parts]", "[state]\np = { next = 'p', every = 0 }\n[parts]", "[state] p.every: must be at least 1, found 0"),
        ("[parts]", "[state]\np = { next = 'p', after = ['genrate'] }\n[parts]",
         "[state] p.after: no phase is called 'genrate'\n  did you mean 'generate'?"),
        ('train = ["G"]', 'train = ["G"]\nkeep = ["x_fak"]',
         "[phase.generate] keep: \"x_fak\": 'x_fak' is no value of this recipe\n  did you mean 'x_fake'?"),
        ('train = ["G"]', 'train = ["G"]\nkeep = ["G(z)"]', "[phase.generate] keep"),
        ("[parts]", "[parts]\nH = { use = 'toy.gen' }",
         "mine.toml, line 6, [parts] H: no expression uses the part 'H'"),
        ("[flow]", "[inference]\nencode = 'z'\n[flow]", "'encode' needs 'code'"),
        ("[flow]", "[inference]\ncode = 'w'\n[flow]", "[inference] code: \"w\": expected the name of a value"),
        ("[flow]", "[monitor]\nm = 'mean(grad(fake, x_fake))'\n[flow]", "[monitor] m"),
        ('use = "toy.images"', 'use = "toy.images"\ngives = { x = "image", y = "labels" }',
         "'y' wants the field 'labels', but toy.images offers image, label"),
        (", dim = 6", "",
         "mine.toml, line 6, [parts] G: dim of G (toy.gen) cannot be inferred from the flow\n  state dim = ..."),
    ],
)  # fmt: skip
def test_what_is_missing_or_impossible(old: str, new: str, message: str, faults: Faults) -> None:
    assert message in faults(old, new)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("toy.gen", "toy.gan",
         "mine.toml, line 6, [parts] G.use: no component for a part is called 'toy.gan'\n  did you mean 'toy.gen'?"),
        ('"logistic-discriminator"', '"logistic-discriminater"', "mine.toml, line 13, [phase.discriminate] "
         "loss.adversarial.use: no component for a loss is called 'core.logistic-discriminater'\n"
         "  did you mean 'core.logistic-discriminator'?"),
        ('"logistic-discriminator"', '"adam"',
         "'core.adam' is an optimizer; expected a loss or regularizer or function"),
        ('use = "normal"', 'use = "toy.gen"',
         "mine.toml, line 4, [draw] z.use: 'toy.gen' is a generator; expected a prior"),
        ("toy.images", "toy.imges", "no data source is called 'toy.imges'\n  did you mean 'toy.images'?"),
        ('real = "D(x)", ', "", "[phase.discriminate] loss.adversarial: logistic-discriminator needs 'real'"),
        ('"-fake"', '{ use = "r1", of = "fake" }', "[phase.generate] loss.adversarial: r1 needs 'wrt'"),
        ('"-fake"', '{ use = "l2", of = "fake", to = "fake", wrt = "z" }', "l2 takes no gradient, so it has no 'wrt'"),
        ('"-fake"', '{ use = "orthogonal", of = "x_fake" }',
         '"x_fake": expected the name of a part, whose weights the loss reads'),
        ('"-fake"', '{ use = "r1", of = "fake", wrt = "x" }',
         "[phase.generate] loss.adversarial.of: \"fake\": grad(y, x)"),
        ('"-fake"', '"mean(grad(D(detach(x_fake)), x_fake))"', "[phase.generate] loss.adversarial: \"mean(grad("),
    ],
)  # fmt: skip
def test_components_and_their_inputs(old: str, new: str, message: str, faults: Faults) -> None:
    assert message in faults(old, new)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"optimizer.use": "adm"}, "[optimizer] use: no optimizer is called 'core.adm'\n  did you mean 'core.adam'?"),
        ({"optimizer.bata1": 0.5}, "[optimizer] bata1: unknown key\n  did you mean 'beta1'?"),
        ({"phase.generate.optimizer": {"use": "adam", "lrr": 1}},
         "[phase.generate] optimizer.lrr: unknown key\n  did you mean"),
        ({"parts.G.constraint.use": "clip"}, "[parts] G.constraint.use: no constraint is called 'core.clip'"),
        ({"parts.G.init.use": "adam"}, "[parts] G.init.use: 'core.adam' is an optimizer; expected an initializer"),
        ({"parts.A": {"use": "toy.ada", "spectral_norm": True}, "draw.u": {"use": "uniform", "dim": 3},
          "flow.real": "D(A(x, 0.5, u))"}, "spectral_norm = true, but the part has no"),
    ],
)  # fmt: skip
def test_optimizers_constraints_and_initializers(table: dict[str, object], message: str, start: Start) -> None:
    with pytest.raises(LatentkitError) as caught:
        start("gan", table)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"G(z)"', '"G(fake)"', "[flow] fake: is defined in a circle: fake -> x_fake -> fake"),
        ('"G(z)"', '"x_fake"', "mine.toml, line 9, [flow] x_fake: is defined in a circle: x_fake -> x_fake"),
        ("[flow]", "[flow]\nz = 'x'", "mine.toml, line 9, [flow] z: 'z' is already a name in [draw]"),
        ("[flow]", "[scalars]\nG = 1\n[flow]", "'G' is already a name in [scalars]"),
        ("[flow]", "[flow]\nx = 'z'", "'x' is already a name in [data]"),
        ("[flow]", "[flow]\nclip = 'z'", "mine.toml, line 9, [flow] clip: 'clip' is an operation of the language"),
        ("[flow]", "[flow]\nx-fake = 'z'", "'x-fake' cannot be used in expressions: use letters, digits and _"),
        ("[flow]", "[scalars]\nlambda = 0.5\n[flow]", "'lambda' cannot be used in expressions"),
        ('"G(z)"', '"G(zz)"', "[flow] x_fake: \"G(zz)\": 'zz' is no value of this recipe\n  did you mean"),
        ('"G(z)"', '"g(z)"', "[flow] x_fake: \"g(z)\": no part is called 'g'"),
        ('"G(z)"', '"z(z)"', "'z' is a value, not a part"),
        ('"G(z)"', '"G"', "'G' is a part: call it, as in G(...)"),
        ('"G(z)"', '"G.inverse(z)"', "G (Gen) has no entry 'inverse'; it has: none"),
        ('"G(z)"', '"G(z).mu"', "has no field 'mu'; it has: none"),
        ('"G(z)"', '"G(z) ** 2"', "[flow] x_fake: \"G(z) ** 2\": 'G(z) ** 2' is not part of the language"),
        ('"G(z)"', '"chunk(G(z), 2, 2)"', "chunk"),
        ('"G(z)"', '"chunk(G(z), 0.5, 2)"', "chunk"),
        ('"G(z)"', '"roll(G(z), z)"', "roll"),
    ],
)  # fmt: skip
def test_names_and_expressions(old: str, new: str, message: str, faults: Faults) -> None:
    assert message in faults(old, new)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"D(x)"', '"D(z)"', 'mine.toml, line 13, [phase.discriminate] loss.adversarial.real = "D(z)": '
         "D wants x: image["),
        ('{ use = "toy.gen" }', '{ use = "toy.gen", dim = 7 }', 'mine.toml, line 9, [flow] x_fake = "G(z)": '
         "G wants z: latent[7], was given latent[6]"),
        ('{ use = "toy.gen" }', '{ use = "toy.gen", height = 16 }',
         'mine.toml, line 10, [flow] fake = "D(x_fake)": D wants x: image[1,8,8], was '
         "given image["),
        ('"-fake"', '"x_fake"', "[phase.generate] loss.adversarial: a loss is score or scalar, this is image[1,8,8]"),
        ('"-fake"', '{ of = "fake", weight = "fake" }', "a weight is scalar, this is score"),
        ('"-fake"', '{ of = "fake", weight = "D(x_fake)" }', "a weight is scalar, this is score"),
        ('"-fake"', '"sum(x_fake + z)"', '[phase.generate] loss.adversarial = "sum(x_fake + z)": '),
        ('"-fake"', '{ use = "l2", of = "x_fake", to = "z" }', "[phase.generate] loss.adversarial"),
        ('"-fake"', '"mean(grad(x_fake, z))"', "grad(y, x) wants one number per sample as y, was given image[1,8,8]"),
        ('"D(x_fake)"', '"D(x_fake, z)"', "D takes 1 inputs (x: image[channels,height,width]), was given 2"),
        ('"D(x)"', '"D()"', "D takes 1 inputs (x: image[channels,height,width]), was given 0"),
        ('"-fake"', '"mean(join(x_fake, z))"', "join() wants values that differ in their first size, was given image["),
        ('"-fake"', '"mean(chunk(x_fake, 0, 2) - x)"',
         "- wants values of equally many samples, was given 1/2 and 1 times the batch\n  chunk() and concat() change"),
        ('"-fake"', '"mean(take(x_fake, fake))"', "take(a, index) wants an index per sample, was given score"),
        ('"-fake"', '"fake + flip(2)"', "flip() picks samples of a batch, was given scalar, which has none"),
        ('"-fake"', '"mean(clip(x_fake, fake, 1))"', "clip(a, low, high) wants numbers as limits, was given score and"),
        ("[flow]", "[monitor]\nm = 'batch_mean(p)'\n[state]\np = { start = [6], next = 'p' }\n[flow]",
         "batch_mean() takes the batch away, was given one tensor[6], which has none"),
        ("[flow]", "[state]\np = { next = 'fake' }\n[flow]",
         "mine.toml, line 9, [state] p.next: a state has no batch, this is score\n  batch_mean() takes the batch away"),
    ],
)  # fmt: skip
def test_spaces_that_disagree_are_both_named_with_the_edge(old: str, new: str, message: str, faults: Faults) -> None:
    assert message in faults(old, new)


def test_a_prior_of_another_kind_is_named_where_it_is_used() -> None:
    labels = {"draw.z": {"use": "onehot", "classes": 8}, "inference.code": "z"}
    with pytest.raises(RecipeError) as caught:
        wired("alae-mlp", labels)
    assert '[flow] w = "F(z)": F wants z: latent[dim], was given label[8]' in str(caught.value)
    assert "E gives latent[dim], is used as label[8]" in str(caught.value)


def test_a_loss_is_called_as_recipes_call_it() -> None:
    with pytest.raises(RecipeError, match=r"likelihood: bernoulli-nll wants to: image.* in \[0, 1\], was given image"):
        wired("vae", {"data.range": [-1.0, 1.0], "parts.G.activation": "tanh"})


def test_a_value_out_of_range_says_what_is_in_it() -> None:
    with pytest.raises(RecipeError) as caught:
        wired("ogan", {"parts.G.kernel": 9})
    assert str(caught.value).startswith("--set parts.G.kernel, [parts] G.kernel: expected one of 4, 5, found 9\n")


def test_a_monitor_is_one_tensor(registry: Registry) -> None:
    with pytest.raises(RecipeError, match=r"\[monitor\] m: a monitor is one tensor, .*; this is posterior\[6\]"):
        wired(SYSTEMS / "introvae.toml", {"monitor.m": "q"}, registry)


def test_a_size_that_a_part_computes_is_compared_with_its_use() -> None:
    with pytest.raises(
        RecipeError, match=r"E: E.features\(...\) is features\[2048\] .*, but is used as features\[24\]"
    ):
        wired("ogan", {"inference.features": "E.features(x) / z"})


def test_a_batch_that_does_not_split_evenly_is_named(registry: Registry) -> None:
    with pytest.raises(RecipeError, match=r"chunk\(\) makes 2 equal parts, but a batch of 9 gives it 9 samples"):
        wired(SYSTEMS / "gaia.toml", {"train.batch": 9}, registry)


def test_all_problems_are_reported_at_once(registry: Registry) -> None:
    with pytest.raises(RecipeError) as caught:
        wired(SYSTEMS / "gan.toml", {
            "train.batch": "many", "phase.generate.trian": 1, "parts.Q": {"dim": 1}, "flow.a": 1.5, "flow.b": [],
            "average.slow": {"parts": ["G"], "decay": 2.0}, "colour": 1,
        }, registry)  # fmt: skip
    assert len(caught.value.problems) == 6
    with pytest.raises(RecipeError) as caught:
        wired(SYSTEMS / "gan.toml", {
            "flow.a": "q", "flow.x_fake": "g(z)", "parts.G.dmi": 1, "phase.generate.train": ["Q"],
            "phase.generate.loss.l": {"use": "l3", "of": "real"},
        }, registry)  # fmt: skip
    text = str(caught.value)
    calls = ("'q' is no value", "no part is called 'g'", "no part is called 'Q'")
    for fact in (*calls, "G.dmi: unknown key", "'core.l3'"):
        assert fact in text
    assert len(set(caught.value.problems)) == len(caught.value.problems)


@pytest.mark.parametrize("key", ["repeat", "keep"])
def test_together_excludes(key: str, registry: Registry) -> None:
    value = {"repeat": 2, "keep": ["h"]}[key]
    with pytest.raises(RecipeError, match=rf"\[phase\.encode\] {key}: together = true excludes '{key}'"):
        wired(SYSTEMS / "ogan.toml", {f"phase.encode.{key}": value}, registry)


def test_value_that_nothing_uses_is_a_warning(registry: Registry) -> None:
    wiring = wired(
        SYSTEMS / "gan.toml",
        {"flow.unused": "2 * x", "draw.spare": {"use": "normal", "dim": 2}, "scalars.s": 1.0}, registry,
    )  # fmt: skip
    assert set(wiring.warnings) == {
        "[draw] spare is used by nothing", "[flow] unused is used by nothing", "[scalars] s is used by nothing",
    }  # fmt: skip


def test_value_used_only_by_an_unused_value_is_a_warning_too(registry: Registry) -> None:
    wiring = wired(SYSTEMS / "gan.toml", {"flow.one": "2 * x", "flow.two": "2 * one"}, registry)
    assert set(wiring.warnings) == {"[flow] one is used by nothing", "[flow] two is used by nothing"}


def test_join_of_a_value_without_a_batch_is_told() -> None:
    with pytest.raises(RecipeError, match=r"join\(\) joins the features of each sample, was given one latent\[50\]"):
        wired("alae-mlp", {"state.w_avg.next": "join(lerp(w_avg, batch_mean(w), 0.005))"})
