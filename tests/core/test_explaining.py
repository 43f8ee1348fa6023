"""Recipes in words: equations, routing, shapes, counts, differences, flowcharts."""

from __future__ import annotations

import re
from collections import abc
from pathlib import Path

import pytest
import torch
from torch import Tensor

from latentkit._building import wired
from latentkit.api import compose
from latentkit.components.posteriors import Posterior
from latentkit.errors import LatentkitError, RecipeError
from latentkit.explaining import explain
from latentkit.explaining.differences import flat, written
from latentkit.explaining.layout import WIDTH, columns, listed
from latentkit.explaining.objectives import equation
from latentkit.explaining.rendering import Renderer, quantity
from latentkit.explaining.units import ends
from latentkit.recipe.quantities import read_quantity
from latentkit.registry.manager import Registry, default_registry
from latentkit.wiring.graph import Graph
from latentkit.wiring.names import Names
from latentkit.wiring.scope import Scope

SYSTEMS = Path(__file__).parent / "systems"
TOYS = sorted(path.stem for path in SYSTEMS.glob("*.toml"))
SHIPPED = sorted(default_registry().recipes)


def block(page: str, head: str) -> list[str]:
    """The lines of a section (below its rule) or of a phase (below its name), up to the next empty line."""
    lines = page.splitlines()
    start = next(number for number, line in enumerate(lines) if line.strip().startswith(head)) + 1
    start += set(lines[start]) == {"─"}
    end = lines.index("", start) if "" in lines[start:] else len(lines)
    return [line.strip() for line in lines[start:end]]


@pytest.fixture
def toy(registry: Registry) -> abc.Callable[..., str]:
    return lambda name, **more: explain(SYSTEMS / f"{name}.toml", registry=registry, **more)


def test_a_first_column_gives_way_to_the_last() -> None:
    rows = [["a" * 50, "b" * 38, "(given to decode)"], ["c", "d", "(data)"]]
    assert columns(rows) == [
        f"  {'a' * 50}",
        f"     {'b' * 38}  (given to decode)",
        f"  c  {'d':38}  (data)",
    ]


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_recipe_fits_the_page(name: str) -> None:
    page = explain(name)
    assert max(map(len, page.splitlines())) <= WIDTH
    assert page.startswith(f"{name} — ")
    assert not re.search(r"<|Node|\bat 0x| $", page, re.MULTILINE)


@pytest.mark.parametrize("name", TOYS)
def test_every_system_fits_the_page(name: str, toy: abc.Callable[..., str]) -> None:
    page = toy(name)
    assert max(map(len, page.splitlines())) <= WIDTH
    assert not re.search(r"<|Node|\bat 0x| $", page, re.MULTILINE)


def test_objectives_are_equations_with_weights_and_names() -> None:
    page = explain("alae-mlp")
    discriminate = block(page, "discriminate:  E, D minimise")
    assert discriminate == [
        "𝔼[ logistic-discriminator(real = D(E(x)), fake = D(E(x_fake))) ]  (adversarial)",
        "+ 5 · 𝔼[ r1(∂real/∂x) ]                                             (r1)",
        "no graph  w = F(z),  x_fake = G(w)",
        "update    lreq-adam, rate 0.002",
    ]
    assert block(page, "reciprocate:  E, G, F minimise")[:2] == [
        "𝔼[ l2(of = E(x_fake), to = detach(w)) ]  (latent)",
        "cut     detach(w): no gradient to F this way",
    ]


def test_routing_says_what_a_gradient_passes_without_changing_it() -> None:
    assert "passes  through D and E, unchanged" in block(explain("alae-mlp"), "generate:  F, G minimise")
    page = explain("ogan")
    assert "passes  through D, unchanged" in block(page, "encode:  E minimises")
    assert "cut     detach(x_fake): nothing trained here is behind it" in block(page, "encode:  E minimises")
    assert "one forward pass that all phases share" in page


def test_where_a_penalty_differentiates_no_graph_reaches_back(toy: abc.Callable[..., str]) -> None:
    assert re.search(r"no graph  x_in = B\(x, lod, blend\)", toy("stylealae"))


def test_terms_that_reach_different_parts_are_told_apart(toy: abc.Callable[..., str]) -> None:
    assert "reach     a reaches Da; b reaches Db" in block(toy("cyclegan"), "discriminate:  Da, Db minimise")
    assert "reach     " not in toy("gan")


def test_lazy_terms_repeats_keeps_and_rates_are_spelled(toy: abc.Callable[..., str]) -> None:
    assert "(r1, every 16 steps, then × 16)" in toy("gan-r1-lazy")
    assert "runs      5 times a step, all but the first on fresh data and draws" in toy("wgan-gp")
    assert "runs      (7, then 5 from step 2) times a step" in toy("wgan")
    assert "keeps   fake_a and fake_b, for the phases after it" in toy("cyclegan")
    assert "update  adam (state of its own), rate 0.0001" in toy("aae")
    assert "capacity = 0 → 25 over 1,000 steps" in toy("beta-vae-capacity")
    assert "update  adam, rate 1e-4 * (1 - s)" in toy("gaia")


def test_one_number_per_batch_is_not_averaged_and_a_formula_is_in_brackets(toy: abc.Callable[..., str]) -> None:
    assert "  clip(R - p_fake * F, -1, 1)  (balance)" in toy("gaia")
    assert "+ 0.0001 · core.orthogonal(G)" in toy("biggan")
    assert "+ (gamma / 2) · 𝔼[ square(1 - sigmoid(real)) * g_real" in toy("roth")
    assert "+ 0.25 · (relu(8 - kl_rec) + relu(8 - kl_fake))" in toy("introvae")


def units(page: str, phase: str) -> list[str]:
    """What is said of units and weights in a phase, a line each."""
    lines = block(page, phase)
    start = next((number for number, line in enumerate(lines) if line.startswith("units ")), len(lines))
    end = next((number for number, line in enumerate(lines) if re.match(r"(update|runs) ", line)), len(lines))
    found: list[str] = []
    for line in lines[start:end]:
        text = re.sub(r"^(units|balance) +", "", line)
        found += [text] if text != line or re.match(r"\w+: ", line) else [f"{found.pop()} {line}"]
    return found


def test_likelihoods_and_divergences_say_their_units_and_over_what_they_are_summed() -> None:
    assert units(explain("vae"), "elbo:") == [
        "likelihood: nats per image, summed over 1,024 pixels, mean over the batch",
        "kl: nats per image, summed over 16 coordinates, mean over the batch",
        "kl weighs as much as likelihood, both in nats per image",
    ]
    age = explain("age")
    assert units(age, "encode:") == [
        "kl_real: nats per coordinate, mean over 32 coordinates, one number for the batch",
        "kl_fake: nats per coordinate, mean over 32 coordinates, one number for the batch",
        "data: absolute error per pixel, mean over 1,024 pixels and the batch",
    ]
    summed = explain("age", {"phase.encode.loss.kl_real.mean": False})
    assert "kl_real: nats per image, summed over 32 coordinates, one number for the batch" in summed
    assert units(explain("alae-mlp"), "reciprocate:") == [
        "latent: squared error per coordinate, mean over 50 coordinates and the batch"
    ]
    assert units(explain("gan"), "discriminate:") == []
    assert "data: squared error per image, summed over 3,072 pixels and channels" in explain(
        "ae", {"data.channels": 3}
    ).replace("\n            ", " ")


def test_units_of_expressions_are_those_of_what_they_are_made_of(toy: abc.Callable[..., str]) -> None:
    introvae = explain("introvae")
    assert "margin: nats per image, summed over 16 coordinates, mean over the batch" in introvae
    assert units(introvae, "decode:")[1] == "kl: nats per image, summed over 16 coordinates, mean over the batch"
    veegan = units(explain("veegan"), "generate:")
    assert veegan == ["latent: squared error per sample, summed over 32 coordinates, mean over the batch"]
    assert units(toy("cyclegan"), "generate:")[0].startswith("cycle_a:")  # a score less 1 is no error
    both = "0.5 * sum(square(x - x_rec)) + beta * K(q) - 3"
    page = explain("introvae", {"phase.encode.loss.both": both, "scalars.beta": 2.0})
    joint = [line for line in units(page, "encode:") if line.startswith("both:")]
    assert joint == [
        "both: squared error per image, summed over 1,024 pixels, mean over the batch; nats per image, summed over 16 "
        "coordinates, mean over the batch",
        "both: weight 0.5 on a squared error summed over 1,024 pixels = a Gaussian of variance 1",
        "both: weight 0.5 on a squared error summed over 1,024 pixels, beside weight 2 on the divergence = a Gaussian "
        "of variance 2",
    ]


@pytest.mark.parametrize(
    ("likelihood", "kl", "told"),
    [
        ({"use": "sse", "weight": 0.5}, {},
         "weight 0.5 on a squared error summed over 1,024 pixels = a Gaussian of variance 1"),
        ({"use": "sse"}, {"weight": 4},
         "weight 1 on a squared error summed over 1,024 pixels, beside weight 4 on kl = a Gaussian of variance 2"),
        ({"use": "l2"}, {}, "weight 1 on a squared error averaged over 1,024 pixels = a Gaussian of variance 512"),
        ({"use": "l1", "weight": 256}, {},
         "weight 256 on an absolute error averaged over 1,024 pixels = a Laplace distribution of scale 4"),
        ({"use": "sse", "weight": {"from": 0.5, "to": 2.0, "over": 10}}, {},
         "weight 0.5 → 2 on a squared error summed over 1,024 pixels = a Gaussian of variance 1 → 0.25"),
        ({"use": "l2", "weight": "batch_mean(mean(x_rec))"}, {}, None),
    ],
)  # fmt: skip
def test_an_error_beside_a_divergence_is_a_likelihood_of_known_width(
    likelihood: dict[str, object], kl: dict[str, object], told: str | None
) -> None:
    terms = {"likelihood": {"of": "x_rec", "to": "x", **likelihood}, "kl": kl}
    page = explain("vae", {"phase": {"elbo": {"loss": terms}}})
    assert units(page, "elbo:")[2:] == ([f"likelihood: {told}"] if told else [])


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        ({"kl": 4}, "kl weighs 4 times as much as likelihood"),
        ({"likelihood": 2, "kl": 0.5}, "kl weighs 0.25 times as much as likelihood"),
        ({"kl": {"from": 0, "to": 1, "over": 9}}, "kl weighs 0 → 1 times as much as likelihood"),
        ({"kl": {"steps": [[0, 1], [5, 3], [9, 2]]}}, "kl weighs 1 → 2 times as much as likelihood"),
    ],
)
def test_a_likelihood_and_a_divergence_are_weighed_in_nats(weights: dict[str, object], told: str) -> None:
    page = explain("vae", {f"phase.elbo.loss.{name}.weight": weight for name, weight in weights.items()})
    assert units(page, "elbo:")[2:] == [f"{told}, both in nats per image"]


def test_only_posteriors_of_data_are_weighed_beside_reconstructions_of_data() -> None:
    assert len(units(explain("age"), "encode:")) == 3  # of a batch of codes
    assert len(units(explain("introvae"), "decode:")) == 2  # posteriors of what was made
    (balance,) = units(explain("vae-gan"), "encode:")[2:]
    assert balance.endswith("weight 2 on a squared error summed over 2,048 features = a Gaussian of variance 0.25")
    assert ends(read_quantity("gamma / 2")) is None


def test_discrepancies_have_no_unit_or_that_of_codes() -> None:
    mmd = explain("vae", {"phase.elbo.loss.kl": {"use": "mmd", "of": "z", "to": "prior"}})
    assert units(mmd, "elbo:")[1:] == ["kl: no unit, one number for the batch"]
    sliced = {"use": "sliced-wasserstein", "of": "z", "to": "prior", "projections": "directions"}
    drawn = {"phase.elbo.loss.kl": sliced, "draw.directions.use": "sphere"}
    assert units(explain("vae", drawn), "elbo:")[1:] == ["kl: squared distance, one number for the batch"]
    assert units(explain("vae", {**drawn, "phase.elbo.loss.kl.p": 1}), "elbo:")[1].startswith("kl: distance,")


def measured(name: str, options: dict[str, object], scale: float = 1.0, copies: int = 1) -> float:
    """A loss of values of a unit so much smaller, with so many copies of each feature."""
    part = default_registry().load(name)(**options)
    generator = torch.Generator().manual_seed(3)

    def drawn(port: str) -> object:
        value = scale * torch.rand(5, 4, generator=generator, dtype=torch.float64).repeat(1, copies)
        kind = str(part.signatures()[""].inputs[names.index(port)].space)
        if "posterior" in kind:
            return Posterior(value, torch.rand(5, 4, generator=generator, dtype=torch.float64).repeat(1, copies))
        if "image" in kind:
            return value[:, :, None, None]
        return {"capacity": 0.0, "nats": 0.1}.get(port, value)

    names = [port.name for port in part.signatures()[""].inputs]
    inputs = [drawn(port) for port in names if port not in ("std", "weight_logits")]
    result: Tensor = part.build()(*inputs)
    return float(result.mean())


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("l1", {}), ("l2", {}), ("sse", {}), ("bernoulli-nll", {}), ("gaussian-nll", {}), ("kl", {}), ("kl-two", {}),
        ("kl-free-bits", {}), ("kl-capacity", {}), ("vamp.kl", {}), ("age.kl-moments", {}),
        ("age.kl-moments", {"mean": False}),
    ],
)  # fmt: skip
def test_declared_units_and_reductions_are_true(name: str, options: dict[str, object]) -> None:
    part = default_registry().load(name)(**options)
    once, twice = measured(name, options), measured(name, options, copies=2)
    if name != "vamp.kl":  # whose mixture weighs its components by all coordinates together
        assert twice == pytest.approx(once * {"sum": 2, "mean": 1}[part.reduction])
    power = {"absolute": 1, "squared": 2}.get(part.unit)
    if power is not None:
        assert measured(name, options, scale=3.0) == pytest.approx(once * 3.0**power)
    assert part.unit == "nats" or power


def test_every_loss_that_compares_declares_what_and_how(registry: Registry) -> None:
    for entry in default_registry().of_kind("loss"):
        part = default_registry().load(entry.name)
        if entry.name.startswith(("core.", "vamp.", "age.", "ogan.")) and entry.name != "core.drift":
            assert part.role or part.pushes, entry.name
            assert part.role != "divergence" or part.unit == "nats"


def test_every_value_stands_with_its_space() -> None:
    rows = dict(re.split(r"\s{2,}", row, maxsplit=1) for row in block(explain("alae-mlp"), "Values and spaces"))
    assert rows["x"] == "image[1,28,28] in [0, 1]  (data)"
    assert rows["z"].split() == ["latent[50]", "(draw)"]
    assert rows["w_avg"].split() == ["one", "latent[50]", "(state)"]
    assert rows["w"].split() == ["latent[50]", "(given", "to", "decode)"]
    assert rows["w = F(z)"] == "latent[50]"
    assert rows["x_fake = G(w)"] == "image[1,28,28] in [0, 1]"
    assert rows["∂real/∂x"] == "image[1,28,28]"
    assert rows["E.features(x)"] == "features[1024]"


def test_parameters_are_those_of_the_built_parts() -> None:
    model, page = compose("ogan"), "\n".join(block(explain("ogan"), "Parts"))
    total = 0
    for name, part in model.parts.items():
        count = sum(p.numel() for p in part.parameters())
        total += count
        assert re.search(rf"^{name}  \S+ +{f'{count:,}' if count else 'no'} parameters", page, re.MULTILINE)
    assert re.search(rf"^{total:,} parameters  in all$", page, re.MULTILINE)
    assert "E  dcgan.encoder" in page
    assert re.search(r"^E .*trained in encode$", page, re.MULTILINE)


def test_frozen_parts_and_their_treatment_are_told(toy: abc.Callable[..., str]) -> None:
    assert re.search(r"parameters  frozen$", toy("perceptual-vae"), re.MULTILINE)
    assert "spectral norm" in toy("sngan")
    assert "constraint clip-weights" in toy("wgan").replace("core.", "")


def test_settings_tell_averages_states_and_roles() -> None:
    page = explain("alae-mlp", {"train.steps": 12345, "train.batch": 100})
    # 0.5 ** (100 / 10000)
    assert "of F, G, E and D, half-life 10,000 images, decay 0.993092 per step" in page
    assert "w_avg     next lerp(w_avg, batch_mean(w), 0.005), after each phase" in page
    assert "12,345 steps of 100, seed 0" in page
    assert re.search(r"inference +sample +G\(F\(z\)\)\n +encode +E\(x\)\n", page)


@pytest.mark.parametrize("name", TOYS)
def test_what_is_written_reads_back_as_the_same_node(name: str, registry: Registry) -> None:
    wiring = wired(SYSTEMS / f"{name}.toml", None, registry)
    graph = Graph()
    graph.nodes, graph.table, graph.origin = [*wiring.graph.nodes], {**wiring.graph.table}, {**wiring.graph.origin}
    scope = Scope(graph, Names(wiring.recipe, wiring.source, wiring.parts))
    renderer = Renderer(wiring)
    readable = {"call", "field", "add", "sub", "mul", "div", "neg", "lerp", "clip", "mean", "square", "detach"}
    for flow in wiring.recipe.flow:
        node = scope.expression(flow, ("flow", flow))
        assert node is not None
        if node.op in readable and "∂" not in renderer.expanded(node):
            assert scope.expression(renderer.expanded(node), ("test",)) is node


@pytest.mark.parametrize(
    "text",
    ["a - (b - c)", "a - b - c", "(a + b) * c", "a / (b * c)", "a / b / c", "-(a + b) * c", "-a * -b", "2 * (a / b)",
     "1 - (1 - a) * b", "square(a - b) / (1 + c)", "a * (b * c)", "-(a * b)", "1e-05 * a", "a - -3", "a + (b + c)"],
)  # fmt: skip
def test_brackets_stand_where_they_are_needed(text: str) -> None:
    draws = {name: {"use": "normal", "dim": 50} for name in "abc"}
    tables = {"extends": "alae-mlp", "draw": draws, "phase": {"generate": {"loss": {"more": f"mean({text} + 0 * w)"}}}}
    wiring = wired(tables)
    graph = wiring.graph
    scope = Scope(graph, Names(wiring.recipe, wiring.source, wiring.parts))
    node = scope.expression(text, ("test",))
    assert node is not None
    assert scope.expression(Renderer(wiring).expanded(node), ("test",)) is node


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.002, "0.002"),
        (5, "5"),
        (1e-5, "1e-05"),
        (100000, "100000"),
        ({"from": 2.0, "to": 0.02, "over": 1000}, "2 → 0.02 over 1,000 steps"),
        (
            {"from": 1, "to": 0.1, "over": 5e6, "start": 1000, "unit": "images", "shape": "cosine"},
            "1 → 0.1 over 5,000,000 images from 1,000, cosine",
        ),
        ({"steps": [[0, 100], [25, 5]]}, "100, then 5 from step 25"),
        ({"steps": [[0, 1], [20000, 2]], "unit": "images"}, "1, then 2 from image 20,000"),
        ("gamma / 2", "gamma / 2"),
    ],
)
def test_quantities_in_words(value: object, text: str) -> None:
    assert quantity(read_quantity(value)) == text


def test_a_difference_is_told_by_keys_and_equations() -> None:
    assert explain("alae-pearson", against="parent").splitlines() == [
        "alae-pearson against alae-mlp",
        "═════════════════════════════",
        "",
        "Keys",
        "────",
        '  changed  phase.reciprocate.loss.latent.use  "l2"  →  "ogan.correlation"',
        "",
        "Objectives",
        "──────────",
        "  reciprocate:  E, G, F",
        "    was    𝔼[ l2(of = E(x_fake), to = detach(w)) ]                (latent)",
        "    now    𝔼[ ogan.correlation(of = E(x_fake), to = detach(w)) ]  (latent)",
    ]


def test_a_difference_tells_parts_and_who_trains_them() -> None:
    text = explain("ogan-learned-gauge", against="parent")
    assert re.search(r'removed  parts\.N\.use +was "ogan\.normalize"', text)
    assert re.search(r'added +parts\.W\.use +"ogan\.matrix"', text)
    assert "  encode:  E, W  (was E)" in text
    assert re.search(r"now  \+ (\d[\d.]* · )?𝔼\[ l2\(of = W\(h\), to = z\) \] +\(latent\)", text)
    assert re.search(r"W +no such part  →  576", text)
    assert "title" not in text


def test_new_changed_and_dropped_phases_are_told(toy: abc.Callable[..., str]) -> None:
    text = toy("aae", against="parent")
    assert "  confuse:  E  (new phase)\n    new    𝔼[ core.logistic-generator(D(z)) ]  (adversarial)\n" in text
    assert "  elbo:  E, G  (no longer a phase)\n    was    0.5 · 𝔼[" in text
    lazy = toy("gan-r1-lazy", against="parent")
    assert "    new  + 5 · 𝔼[ core.r1(∂real/∂x) ]" in lazy
    assert re.search(r"^           𝔼\[ core.logistic-discriminator", lazy, re.MULTILINE)


def test_any_two_recipes_can_be_compared_and_overrides_with_the_recipe_itself() -> None:
    assert "changed  optimizer.use" in explain("alae-mlp", against="ogan")
    text = explain("ogan", {"train.steps": 8, "phase.generate.loss.latent.weight": 3}, against="parent")
    assert text.startswith("ogan with other settings\n")
    assert re.search(r"changed  train\.steps +\d+  →  8", text)
    assert "now  + 3 · 𝔼[ ogan.correlation(of = h, to = z) ]" in text
    assert "Parameters" not in text
    narrow = explain("alae-mlp", {"draw.z.dim": 10}, against="alae-mlp")
    assert re.search(r"  F +15,300  →  660\n", narrow)
    assert explain("ogan", against="ogan").splitlines()[-1] == "no differences"


def test_what_cannot_be_explained_is_an_error() -> None:
    with pytest.raises(LatentkitError, match="'ogan' extends no recipe"):
        explain("ogan", against="parent")
    with pytest.raises(LatentkitError, match="leave out 'against' or 'mermaid'"):
        explain("ogan", against="alae-mlp", mermaid=True)
    with pytest.raises(RecipeError, match="did you mean 'ogan'"):
        explain("ogam")
    with pytest.raises(RecipeError, match="no shipped recipe is called 'nothing'"):
        explain("ogan", against="nothing")


def test_a_loss_in_short_is_the_same_as_in_full() -> None:
    short: dict[str, object] = {"phase": {"generate": {"train": ["G"], "loss": {"a": "-fake"}}}, "title": "T"}
    full: dict[str, object] = {"phase": {"generate": {"train": ["G"], "loss": {"a": {"of": "-fake"}}}}}
    assert flat(short) == flat(full) == {"phase.generate.train": ["G"], "phase.generate.loss.a.of": "-fake"}


@pytest.mark.parametrize(
    ("value", "text"),
    [("a", '"a"'), (True, "true"), (0.5, "0.5"), ([1, 2], "[1, 2]"), ({}, "{ }"), ("a = b", '"a = b"')],
)
def test_values_are_written_as_in_a_recipe(value: object, text: str) -> None:
    assert written(value) == text


@pytest.mark.parametrize("name", TOYS)
def test_a_flowchart_declares_all_that_it_connects(name: str, toy: abc.Callable[..., str]) -> None:
    chart = toy(name, mermaid=True).splitlines()
    assert chart[0] == "flowchart LR"
    declared = {match[1] for line in chart if (match := re.match(r"\s+(\w+)[\[({]+\"", line))}
    edges = [match for line in chart if (match := re.match(r"\s+(\w+) (?:-->|-\.->|-\. kept \.->) (\w+)$", line))]
    assert edges
    assert {end for edge in edges for end in edge.groups()} <= declared
    styles = {match[1] for line in chart if (match := re.match(r"\s+classDef (\w+) ", line))}
    assert set(re.findall(r":::(\w+)$", "\n".join(chart), re.MULTILINE)) <= styles
    assert sum(line.strip().startswith("subgraph") for line in chart) == chart.count("  end")
    assert all(line.count('"') in (0, 2) for line in chart)


def test_a_flowchart_colours_parts_by_the_phases_that_train_them() -> None:
    chart = explain("alae-mlp", mermaid=True)
    colours = dict(re.findall(r'key_(\w+)\["([^"]+)"\]', chart))
    of = dict(re.findall(r'\["(\w)<br/>[^"]+"\]:::(\w+)', chart))
    assert {part: colours[style] for part, style in of.items()} == {
        "E": "discriminate and reciprocate", "D": "discriminate",
        "F": "generate and reciprocate", "G": "generate and reciprocate",
    }  # fmt: skip
    assert 'loss_discriminate_r1{{"r1<br/>5 · r1"}}:::loss' in chart
    assert chart.count('["E<br/>') == 2
    assert len(re.findall(r"v\d+ -\.-> n\d+", chart)) == 1


def test_a_flowchart_shows_kept_values_and_parts_that_nothing_trains(toy: abc.Callable[..., str]) -> None:
    chart = toy("cyclegan", mermaid=True)
    assert len(re.findall(r"v\d+ -\. kept \.-> n\d+", chart)) == 2
    assert re.search(r'\["Pa<br/>toy\.pool"\]:::fixed', chart)


def test_columns_wrap_their_last_cell_and_lift_a_first_cell_that_is_too_wide() -> None:
    assert columns([("a", "1"), ("bcd", "2")]) == ["  a    1", "  bcd  2"]
    lines = columns([("name", " ".join(["word"] * 40))])
    assert len(lines) == 3
    assert all(line.startswith("        word") for line in lines[1:])
    assert columns([("a", "1"), ("long " * 12, "2")]) == ["  a  1", "  " + ("long " * 12).strip(), "     2"]
    assert columns([]) == []


def test_the_first_summand_has_no_plus_sign_and_a_dropped_one_does_not_count() -> None:
    terms = [("+ a", "one"), ("- 2 · b", "two")]
    assert equation(terms, ["  "] * 2) == ["    a      (one)", "  - 2 · b  (two)"]
    assert equation([("- a", "one")], [""]) == ["- a  (one)"]
    assert equation([("+ a", "x"), ("+ b", "x")], ["was ", "now "]) == ["was   a  (x)", "now   b  (x)"]


@pytest.mark.parametrize(("items", "text"), [("", ""), ("a", "a"), ("ab", "a and b"), ("abc", "a, b and c")])
def test_lists_in_words(items: str, text: str) -> None:
    assert listed(items) == text
