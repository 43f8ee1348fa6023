"""What systems match and by what, derived from their wiring; the directions and origins that this rests on."""

from __future__ import annotations

import math
from collections import abc
from pathlib import Path

import pytest
import torch
from torch import Tensor

import latentkit as lk
from latentkit._building import RecipeLike, wired
from latentkit.explaining import compare
from latentkit.explaining.bounds import Bounds
from latentkit.explaining.deriving import taxon
from latentkit.explaining.facts import Facts
from latentkit.explaining.layout import WIDTH
from latentkit.explaining.pushes import Pushes
from latentkit.explaining.taxonomy import Taxon
from latentkit.functions import loss
from latentkit.recipe.source import read
from latentkit.registry.manager import Registry, default_registry
from latentkit.wiring.graph import differentiable_ancestors
from latentkit.wiring.wiring import Wiring

HERE = Path(__file__).parent
SYSTEMS = HERE / "systems"
TOYS = sorted(path.stem for path in SYSTEMS.glob("*.toml"))
SHIPPED = sorted(default_registry().recipes)
GAME, FIXED, LEARNED = "adversarial", "imposed", "learned"
Placed = abc.Callable[..., Taxon]


@pytest.fixture
def placed(registry: Registry) -> Placed:
    """The place of a toy system, or of one that extends it by tables."""

    def find(name: str, changes: dict[str, object] | None = None) -> Taxon:
        source = read(SYSTEMS / f"{name}.toml", changes)
        return taxon(wired(source, None, registry))

    return find


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("ae", ("similarity", "none", "data")),
        ("vae", ("similarity", "imposed / divergence", "data")),
        ("beta-vae", ("similarity", "imposed / divergence", "data")),
        ("beta-vae-capacity", ("similarity", "imposed / divergence", "data")),
        ("vampprior", ("similarity", "learned / divergence", "data")),
        ("aae", ("similarity", "imposed / adversarial", "data")),
        ("vae-gan", ("adversarial", "imposed / divergence", "data (features)")),
        ("gan", ("adversarial", "imposed / none", "none")),
        ("lsgan", ("adversarial", "imposed / none", "none")),
        ("wgan", ("adversarial", "imposed / none", "none")),
        ("wgan-gp", ("adversarial", "imposed / none", "none")),
        ("sngan", ("adversarial", "imposed / none", "none")),
        ("bigan", ("adversarial", "imposed / adversarial", "adversarial")),
        ("ali", ("adversarial", "imposed / adversarial", "adversarial")),
        ("veegan", ("adversarial", "imposed / reciprocity", "latent")),
        ("age", ("adversarial", "imposed / adversarial", "data, latent")),
        ("introvae", ("adversarial", "imposed / adversarial", "data")),
        ("introvae-per-sample", ("adversarial", "imposed / adversarial", "data")),
        ("cyclegan", ("adversarial", "none", "data")),
        ("alae-mlp", ("adversarial", "learned / reciprocity", "latent")),
        ("alae-pearson", ("adversarial", "learned / reciprocity", "latent")),
        ("ogan", ("adversarial", "imposed / reciprocity", "latent")),
        ("ogan-head", ("adversarial", "imposed / reciprocity", "latent")),
        ("ogan-learned-gauge", ("adversarial", "imposed / reciprocity", "latent")),
        ("ogan-mapping", ("adversarial", "learned / reciprocity", "latent")),
    ],
)
def test_shipped_recipes_have_their_place(name: str, cells: tuple[str, str, str]) -> None:
    assert taxon(wired(name)).cells == cells


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("aae", ("similarity", "imposed / adversarial", "data")),
        ("ada", ("adversarial", "imposed / none", "none")),
        ("age", ("adversarial", "imposed / adversarial", "data, latent")),
        ("beta-vae-capacity", ("similarity", "imposed / divergence", "data")),
        ("biggan", ("adversarial", "imposed / none", "none")),
        ("cyclegan", ("adversarial", "none", "data")),
        ("gaia", ("adversarial", "none", "data")),
        ("introvae", ("adversarial", "imposed / adversarial", "data")),
        ("perceptual-vae", ("similarity", "imposed / divergence", "data, data (features)")),
        ("roth", ("adversarial", "imposed / none", "none")),
        ("stylealae", ("adversarial", "learned / reciprocity", "latent")),
        ("vae-gan", ("adversarial", "imposed / divergence", "data (features)")),
        ("vampprior", ("similarity", "learned / divergence", "data")),
        ("veegan", ("adversarial", "imposed / reciprocity", "latent")),
    ],
)
def test_toy_systems_have_their_place(name: str, cells: tuple[str, str, str], placed: Placed) -> None:
    assert placed(name).cells == cells


@pytest.mark.parametrize("name", [*TOYS, *SHIPPED])
def test_every_term_is_a_reason_or_told_beside_and_the_page_is_as_wide_as_others(name: str, registry: Registry) -> None:
    recipe: RecipeLike = SYSTEMS / f"{name}.toml" if name in TOYS else name
    found = compare(recipe, registry=registry)
    (place,) = found.taxa
    reasons = {key for item in (*place.data, *place.latent, *place.reciprocity) for key in item.terms}
    terms = {(phase.name, term.name) for phase in wired(recipe, None, registry).phases for term in phase.terms}
    assert reasons | set(place.beside) == terms
    assert not reasons & set(place.beside)
    assert max(map(len, str(found).splitlines())) <= WIDTH
    assert "detach" not in str(found)


def test_reasons_name_who_plays_against_whom_over_what() -> None:
    (data,) = taxon(wired("alae-mlp")).data
    assert data.how == "E and D (discriminate) tell x from x_fake; F and G (generate) play against it"
    assert data.terms == (("discriminate", "adversarial"), ("generate", "adversarial"))
    assert taxon(wired("alae-mlp")).prior_how == "F makes w"
    place = taxon(wired("bigan"))
    assert place.data == place.latent
    assert place.data[0].how == "D (discriminate) tells (x, E(x)) from (x_fake, z); E and G (generate) play against it"
    (codes,) = taxon(wired("aae")).latent
    assert codes.how == "D (discriminate) tells prior from z; E (confuse) plays against it"
    introvae = taxon(wired("introvae"))
    assert introvae.data[0].how == "E (encode) tells x from x_fake and x_rec; G (decode) plays against it"
    assert introvae.latent[0].how == "K(q) (encode.kl), itself the score of the game"


def test_a_score_may_be_a_reconstruction_error(placed: Placed) -> None:
    (data,) = placed("gaia").data
    assert data.how.startswith("Ed and Gd (discriminate) tell x from x_mix")
    assert [trip.how.rpartition(" (")[0] for trip in placed("gaia").reciprocity] == [
        "Gd(Ed(x_mix)) against x_mix", "Gd(Ed(Gg(c, v))) against x", "Gd(Ed(x)) against x",
    ]  # fmt: skip
    assert placed("gaia").beside == (("generate", "distance"),)


def test_each_of_two_games_is_a_reason() -> None:
    how = [reason.how for reason in taxon(wired("cyclegan")).data]
    assert how == [
        "Da (discriminate) tells a from Pa(fake_a, u_a); F (generate) plays against it",
        "Db (discriminate) tells b from Pb(fake_b, u_b); G (generate) plays against it",
    ]


@pytest.mark.parametrize(
    ("critic", "player"),
    [
        ("softplus(-real) + softplus(fake)", "softplus(-fake)"),
        ("fake - real", "-fake"),
        ("2 * (batch_mean(fake) - batch_mean(real)) / 3", "1 - fake"),
        ("relu(1 - real) + relu(1 + fake)", "-mean(fake)"),
        ("square(real - 1) + square(fake)", "square(fake - 1)"),
        ("square(1 - sigmoid(real)) + square(sigmoid(fake))", "square(sigmoid(fake) - 1)"),
        ("softplus(fake - real)", "softplus(real - fake)"),
        ("square(real - fake - 1)", "square(fake - real - 1)"),
        ("-log(sigmoid(real)) - log(1 - sigmoid(fake))", "log(1 - sigmoid(fake))"),
        ("abs(real - 2) + abs(fake + 2)", "abs(fake)"),
        ("half * (fake - real)", "-half * fake"),
    ],
)
def test_a_game_is_found_in_expressions_as_in_components(critic: str, player: str, placed: Placed) -> None:
    phases = {"phase.discriminate.loss.adversarial": critic, "phase.generate.loss.adversarial": player}
    place = placed("gan", {**phases, "scalars.half": 0.5, "monitor.half": "half"})
    assert place.cells == ("adversarial", "imposed / none", "none")
    assert place.data[0].how == "D (discriminate) tells x from x_fake; G (generate) plays against it"


@pytest.mark.parametrize(
    ("critic", "player"),
    [
        ("softplus(real) + softplus(fake)", "softplus(-fake)"),  # both sides the same way
        ("softplus(-real) + softplus(fake)", "softplus(fake)"),  # with the critic, not against it
        ("square(real - fake)", "-fake"),  # in no direction
        ("square(real - 1) + square(fake - 1)", "square(fake)"),
        ("mean(grad(real, x)) - mean(grad(fake, x_fake))", "-fake"),
    ],
)
def test_what_is_no_game_is_none(critic: str, player: str, placed: Placed) -> None:
    phases = {"phase.discriminate.loss.adversarial": critic, "phase.generate.loss.adversarial": player}
    place = placed("gan", phases)
    assert place.cells == ("none", "imposed / none", "none")
    assert place.beside == (("discriminate", "adversarial"), ("generate", "adversarial"))


def test_a_negative_weight_turns_a_push_around_and_a_weight_of_0_takes_the_term_away(placed: Placed) -> None:
    place = "phase.discriminate.loss.adversarial"
    for weight in (-1, {"from": -1.0, "to": -0.5, "over": 10}):
        turned = {place: {"of": "real - fake", "weight": weight}}
        assert placed("wgan", {**turned, "phase.generate.loss.adversarial": "-fake"}).cells[0] == GAME
        assert placed("wgan", {**turned, "phase.generate.loss.adversarial": "fake"}).cells[0] == "none"
    off = placed("vae", {"phase.elbo.loss.kl.weight": 0})
    assert off.cells == ("similarity", "imposed / none", "data")
    assert off.beside == ()


def test_least_squares_components_are_told_by_their_targets() -> None:
    lsgan = {"phase.discriminate.loss.adversarial.real_target": -1.0, "phase.generate.loss.adversarial.target": 0.0}
    fake = {"phase.discriminate.loss.adversarial.fake_target": 1.0}
    assert taxon(wired("lsgan", {**lsgan, **fake})).cells[0] == GAME
    same = {"phase.discriminate.loss.adversarial.fake_target": 1.0}  # real and fake to one number
    assert taxon(wired("lsgan", same)).cells[0] == "none"
    willing = {"phase.generate.loss.adversarial.target": 0.0}  # where the discriminator wants it
    assert taxon(wired("lsgan", willing)).cells[0] == "none"


def test_batches_that_were_joined_for_one_call_are_told_apart(placed: Placed) -> None:
    (data,) = placed("biggan").data
    assert data.how == "D (discriminate) tells x from x_fake; G (generate) plays against it"
    faded: dict[str, object] = {
        "parts.B.use": "toy.fade", "flow.both": "sigmoid(D(B(concat(x, x_fake), 1, 0.5)))",
        "flow.real": "chunk(both, 0, 2)", "flow.fake": "chunk(both, 1, 2)",
    }  # fmt: skip
    (data,) = placed("gan", faded).data
    assert data.how == "D (discriminate) tells B(x, 1, 0.5) from B(G(z), 1, 0.5); G (generate) plays against it"
    apart: dict[str, object] = {**faded, "flow.fake": "chunk(both, 0, 2)"}
    assert placed("gan", apart).cells[0] == "none"


def test_a_value_that_two_phases_keep_is_what_it_was_at_first(placed: Placed) -> None:
    assert placed("introvae", {"phase.decode.keep": ["z", "x_rec"]}) == placed("introvae")


def test_codes_are_matched_by_moments_where_batches_are_compared() -> None:
    mmd: dict[str, object] = {"phase.elbo.loss.kl": {"use": "mmd", "of": "z", "to": "prior"}}
    assert taxon(wired("vae", mmd)).cells == ("similarity", "imposed / moments", "data")
    images: dict[str, object] = {
        "phase.generate.loss.adversarial": {"use": "mmd", "of": "E(x)", "to": "E(x_fake)"},
        "parts.E": {"use": "mlp.encoder", "dim": 4, "frozen": True},
    }
    place = taxon(wired("gan", {**images, "phase.discriminate.loss.adversarial": "0 * real"}))
    assert place.cells == ("moments", "imposed / none", "none")


def test_a_prior_is_learned_where_a_trained_part_makes_it_or_what_codes_are_compared_with() -> None:
    adversarial: dict[str, object] = {
        "parts.F": {"use": "mlp.mapping"}, "phase.confuse.train": ["E", "F"],
        "phase.confuse.loss.adversarial": "softplus(D(F(prior))) + softplus(-D(z))",
        "phase.discriminate.loss.adversarial.real": "D(F(prior))", "inference.sample": "G(F(prior))",
    }  # fmt: skip
    place = taxon(wired("aae", adversarial))
    assert place.cells == ("similarity", "learned / adversarial", "data")
    assert place.prior_how == "F makes F(prior)"
    unsampled = lk.read("vampprior")
    unsampled.tables["inference"].pop("sample")  # type: ignore[attr-defined]
    unsampled.tables["parts"]["E"]["dim"] = 16  # type: ignore[index]
    assert taxon(wired(unsampled)).prior == LEARNED
    frozen = taxon(wired("alae-mlp", {"phase.generate.train": ["G"], "phase.reciprocate.train": ["E", "G"],
                                      "parts.F.frozen": True}))  # fmt: skip
    assert (frozen.prior, frozen.prior_how) == (FIXED, "w, which no trained part makes")


def test_a_divergence_to_a_fixed_distribution_imposes_it_where_nothing_is_sampled() -> None:
    source = lk.read("vae")
    source.tables["inference"].pop("sample")  # type: ignore[attr-defined]
    source.tables["draw"].pop("prior")  # type: ignore[attr-defined]
    source.tables["parts"]["E"]["dim"] = 16  # type: ignore[index]
    place = taxon(wired(source))
    assert (place.prior, place.prior_how) == (FIXED, "a fixed distribution")


def test_an_undeclared_distance_is_found_and_an_undeclared_divergence_is_told_beside(registry: Registry) -> None:
    @loss("of: T, to: T -> score")
    def own(of: Tensor, to: Tensor) -> Tensor:
        return (of - to).flatten(1).abs().amax(1)

    @loss("of: posterior[dim] -> score")
    def odd(of: tuple[Tensor, Tensor]) -> Tensor:
        return of[0].square().sum(1)

    class Mine:
        @lk.hookimpl
        def latentkit_components(self) -> abc.Mapping[str, object]:
            return {"own": own, "odd": odd}

    registry.add("mine", Mine(), "tests", "0")
    assert not registry.plugins["mine"].fault
    changes: dict[str, object] = {
        "phase.elbo.loss.likelihood": {"use": "mine.own", "of": "x_rec", "to": "x"},
        "phase.elbo.loss.kl": {"use": "mine.odd", "of": "q"},
    }
    place = taxon(wired("vae", changes, registry))
    assert place.cells == ("similarity", "imposed / none", "data")
    assert place.beside == (("elbo", "kl"),)


def test_only_what_is_made_of_a_value_is_its_reconstruction(placed: Placed) -> None:
    other: dict[str, object] = {"phase.elbo.loss.likelihood": {"use": "core.sse", "of": "G(prior)", "to": "x"}}
    assert placed("vae", other).cells == ("none", "imposed / divergence", "none")
    unpassed: dict[str, object] = {"phase.generate.loss.near": "mean(square(w - z))"}  # through no image
    assert placed("alae-mlp", unpassed).beside == (("discriminate", "r1"), ("generate", "near"))


def test_tables_are_plain_values_with_the_terms_as_in_a_recipe() -> None:
    (table,) = compare(["alae-mlp"]).tables()
    assert {key: table[key] for key in ("name", "data_distribution", "latent_distribution", "reciprocity")} == {
        "name": "alae-mlp", "data_distribution": "adversarial", "latent_distribution": "learned / reciprocity",
        "reciprocity": "latent",
    }  # fmt: skip
    assert table["other_terms"] == ["discriminate.r1"]
    reasons = table["reasons"]
    assert isinstance(reasons, dict)
    assert reasons["prior"] == {"is": "learned", "how": "F makes w"}
    assert reasons["reciprocity"] == [
        {"space": "latent", "features": "", "how": "E(x_fake) against w (reciprocate.latent)",
         "terms": ["reciprocate.latent"]}
    ]  # fmt: skip


def test_files_tables_and_overrides_are_compared_too(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('extends = "vae"\nremove = ["phase.elbo.loss.kl"]\n')
    found = lk.compare([tmp_path / "mine.toml", {"extends": "gan", "title": "T"}], {"train.steps": 3})
    assert [place.cells for place in found.taxa] == [
        ("similarity", "imposed / none", "data"), ("adversarial", "imposed / none", "none"),
    ]  # fmt: skip
    assert lk.compare("vae").taxa == lk.compare(["vae"]).taxa
    with pytest.raises(lk.RecipeError, match="did you mean 'vae'"):
        lk.compare(["gan", "vaee"])


def test_the_table_of_the_documentation_is_the_computed_one() -> None:
    page = (HERE.parents[1] / "docs" / "taxonomy.md").read_text()
    shown = page[page.index("$ latentkit explain --compare ") :].partition("```")[0].splitlines()
    names = shown[0].partition("--compare ")[2].split()
    text = str(compare(names))
    assert "\n".join(shown[1:]) == text.partition("\n\n")[0]
    example = page[page.index("vae-gan — ") :].partition("```")[0]
    assert example.strip() in text
    units = page[page.index("  elbo:  E, G minimise") :].partition("```")[0].splitlines()
    told = lk.explain("vae", {"phase.elbo.loss.likelihood": {"use": "l2", "of": "x_rec", "to": "x"}}).splitlines()
    assert [line for line in told if line in units] == units


def directions(wiring: Wiring) -> dict[str, set[object]]:
    """Where minimising the term ``tried`` moves the calls in it."""
    found = Facts(wiring)
    (term,) = [term for term in found.terms if term.name == "tried"]
    node = found.sketch.of(term.node)
    live = differentiable_ancestors([node])
    pushes = Pushes(wiring).of(node, found.sketch.of(term.weight), live)
    moved: dict[str, set[object]] = {}
    for score, to in pushes:
        moved.setdefault(str(score.value), set()).add(to)
    return moved


@pytest.mark.parametrize(
    ("term", "moved"),
    [
        ("real", {"down"}),
        ("-real", {"up"}),
        ("3 - 2 * real", {"up"}),
        ("real / -2", {"up"}),
        ("2 / softplus(real)", {"up"}),
        ("1 / real", {"up"}),
        ("exp(-real) * sigmoid(-real)", {"up"}),
        ("abs(real)", {0.0}),
        ("square(2 * real - 3)", {1.5}),
        ("square(mean(real) / 2 + 1)", {-2.0}),
        ("-square(real - 1)", set()),
        ("square(relu(real))", {"down"}),
        ("square(-exp(real))", {"down"}),
        ("square(sigmoid(real) - 1)", {"up"}),
        ("square(sigmoid(real))", {"down"}),
        ("square(sigmoid(real) - 0.5)", set()),
        ("clip(real, -1, 1)", {"down"}),
        ("lerp(real, real, 0.5)", {"down"}),
        ("lerp(real, real, 2)", set()),
        ("log(1 - sigmoid(real))", {"up"}),
        ("sqrt(softplus(real))", {"down"}),
        ("real * half", {"down"}),
        ("real * falling", {"up"}),
        ("real * either", set()),
        ("real - real", {"up", "down"}),
    ],
)
def test_signs_tell_where_a_term_moves_a_score(term: str, moved: set[object], registry: Registry) -> None:
    changes: dict[str, object] = {
        "phase.discriminate.loss.tried": term,
        "scalars.half": 0.5,
        "scalars.falling": {"steps": [[0, -1], [10, -2]]},
        "scalars.either": {"from": -1.0, "to": 1.0, "over": 10},
        "monitor.used": "half + falling + either",
    }
    wiring = wired(read(SYSTEMS / "gan.toml", changes), None, registry)
    found = directions(wiring)
    assert found == ({"('D', '')": moved} if moved else {})


@pytest.mark.parametrize(
    ("expression", "low", "high"),
    [
        ("2", 2, 2), ("sigmoid(real)", 0, 1), ("1 - sigmoid(real)", 0, 1), ("3 * sigmoid(real) - 1", -1, 2),
        ("-relu(real)", -math.inf, 0), ("clip(real, -1, 2)", -1, 2), ("softplus(real) * exp(real)", 0, math.inf),
        ("-softplus(real) * exp(real)", -math.inf, 0), ("sigmoid(real) / 4", 0, 0.25), ("real", -math.inf, math.inf),
        ("sum(sigmoid(real))", 0, math.inf), ("relu(real) / real", -math.inf, math.inf), ("sign(real)", -1, 1),
        ("mean(abs(real))", 0, math.inf),
    ],
)  # fmt: skip
def test_operations_bound_values(expression: str, low: float, high: float, registry: Registry) -> None:
    wiring = wired(read(SYSTEMS / "gan.toml", {"monitor.tried": expression}), None, registry)
    assert Bounds({}).of(wiring.monitor["tried"]) == (low, high)


def test_a_declaration_of_pushes_names_ports_and_directions() -> None:
    def function(real: Tensor) -> Tensor:
        return real

    function.__annotations__ = {"real": Tensor}
    with pytest.raises(TypeError, match="'pushes' names 'fake', which is no port"):
        loss("real: score -> score", pushes={"fake": "up"})(function)
    with pytest.raises(TypeError, match="'pushes' says 'left'; expected up, down or an option"):
        loss("real: score -> score", pushes={"real": "left"})(function)


@pytest.mark.parametrize(
    "name",
    ["logistic-discriminator", "logistic-generator", "saturating-generator", "hinge-discriminator", "hinge-generator",
     "wasserstein-discriminator", "wasserstein-generator", "least-squares-discriminator", "least-squares-generator"],
)  # fmt: skip
def test_declared_pushes_are_the_signs_of_gradients(name: str) -> None:
    part = default_registry().load(name)()
    pushes = part.pushes
    assert pushes.keys() == {port.name for port in part.signatures()[""].inputs}
    scores = {port: torch.full((3,), 0.5, requires_grad=True) for port in pushes}
    part.build()(*scores.values()).sum().backward()
    for port, to in pushes.items():
        gradient = scores[port].grad
        assert gradient is not None
        wanted = {"up": -1.0, "down": 1.0}.get(to) or (1.0 if getattr(part, to) < 0.5 else -1.0)
        assert torch.equal(gradient.sign(), torch.full((3,), wanted))
