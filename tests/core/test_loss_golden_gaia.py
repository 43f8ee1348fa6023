"""GAIA against numpy values in float64: the shipped recipes' own expressions, on given reconstructions."""

from __future__ import annotations

from collections import abc
from typing import Any

import torch
from torch import Tensor

import latentkit as lk
from latentkit_plugins.gaia._layers import adaptive_norm, layer_norm
from latentkit_plugins.gaia.distances import distance, relative_distances, squared_distances

Values = dict[str, Tensor]
Given = abc.Callable[[str], Values]
Valued = abc.Callable[..., Values]
Reproduced = abc.Callable[..., None]
MADE = {"z", "x_rec", "x_mix", "d", "d_rec", "d_mix"}
"""Values of the recipes that come from networks."""


def tables(recipe: str) -> dict[str, Any]:
    return lk.read(recipe).tables


def flow_without_networks(recipe: str) -> dict[str, Any]:
    return {name: text for name, text in tables(recipe)["flow"].items() if name not in MADE}


def test_gaia_distances(given: Given, reproduced: Reproduced) -> None:
    values = given("gaia_dist")
    x, z = values["x"], values["z"].requires_grad_()
    sqd_x, sqd_z = squared_distances(x), squared_distances(z)
    (dloss_dz,) = torch.autograd.grad(distance(x, z), z)
    got = {
        "sqd_x": sqd_x, "sqd_z": sqd_z, "norm_x": relative_distances(x), "norm_z": relative_distances(z),
        "dist_true": (sqd_x - sqd_z).abs().mean(),
        "loss": distance(x, z), "dloss_dz": dloss_dz, "loss_log2": distance(x, z, base2=True),
        "loss_raw_log2_mean": distance(x, z, normalized=False, base2=True),
        "loss_raw_log2_sum_over_B": distance(x, z, normalized=False, base2=True, mean=False),
    }  # fmt: skip
    reproduced("gaia_dist", got)


def test_gaia_interpolation(given: Given, valued: Valued, reproduced: Reproduced) -> None:
    values = given("gaia_interp")
    z, raw = values["z"], values["chi2_raw"]
    own = tables("gaia")
    flow = {name: own["flow"][name] for name in ("z_a", "z_b", "z_mix")}
    draw = {name: own["draw"][name] for name in ("t_1", "t_2")}
    between = valued({"z_sampled": "z_mix"}, {"z": z, "t_1": values["a1"], "t_2": values["a2"]}, flow=flow, draw=draw)
    numbers = torch.arange(len(raw))
    partner = (numbers[:, None] + numbers) % len(raw)  # the sample that the k-th weight of the i-th is for
    wanted = {"shares": "raw / sum(raw)", "z_dirichlet": tables("gaia-simple")["flow"]["z_mix"]}
    many = valued(
        wanted, {"z": z, "raw": raw.T.gather(1, partner)}, parts={"M": {"use": "gaia.convex"}},
        flow={"weights": "raw / sum(raw)"},
    )  # fmt: skip
    shares = many.pop("shares")
    alpha = torch.distributions.Normal(*(torch.tensor(draw["t_1"][name]).double() for name in ("mean", "std")))
    got = {
        "dirichlet_weights": torch.zeros_like(shares).scatter(1, partner, shares).T,
        "p_extrapolate": alpha.cdf(torch.zeros(()).double()) + 1 - alpha.cdf(torch.ones(()).double()),
    }
    reproduced("gaia_interp", between | many | got)


def test_gaia_losses(given: Given, valued: Valued, reproduced: Reproduced) -> None:
    values = given("gaia_loss")
    own = tables("gaia")
    assert torch.equal(values["w_dist"], values["lr_max"] / 2)
    names = {"x": "x", "x_mix": "gz", "d": "dx", "d_rec": "dgx", "d_mix": "dgz"}
    supplied = {mine: values[theirs] for mine, theirs in names.items()}
    supplied |= {"rate": values["lr_max"], "slope": values["slope"], "sigma": values["sigma"]}
    supplied["dist"] = values["dist"].expand(len(values["x"]))

    def losses(recipe: str, phase: str) -> dict[str, Any]:
        terms: dict[str, Any] = dict(tables(recipe)["phase"][phase]["loss"])
        if "distance" in terms:
            terms["distance"] = {"of": "dist", "weight": terms["distance"]["weight"]}
        return terms

    wanted = {
        "R": "R", "Fr": "F_rec", "Fs": "F_mix", "F": "F", "m_global": own["monitor"]["global"],
        "delta_disc": "s", "delta_gen": "1 - s",
        "lr_D": own["optimizer"]["D"]["lr"], "lr_G": own["optimizer"]["G"]["lr"],
        "p_fake": "p_fake", "p_sample": "p_mix",
        "L_D": losses("gaia", "discriminate"), "L_G": losses("gaia", "generate"),
    }  # fmt: skip
    paper = {
        "paper_L_D": losses("gaia-paper", "discriminate"),
        "paper_L_G_with_dist": losses("gaia-paper", "generate"),
        "paper_L_G": {"balance": losses("gaia-paper", "generate")["balance"]},
    }
    simple = {"tf2_gen": losses("gaia-simple", "generate"), "tf2_disc": losses("gaia-simple", "discriminate")}
    got: Values = {}
    for recipe, asked in (("gaia", wanted), ("gaia-paper", paper), ("gaia-simple", simple)):
        flow = flow_without_networks(recipe)
        flow = {name: text for name, text in flow.items() if not name.startswith("z_")}
        got |= valued(asked, supplied, parts={"L": tables(recipe)["parts"]["L"]}, flow=flow)
    reproduced("gaia_loss", got)


def test_gaia_balance(given: Given, valued: Valued, reproduced: Reproduced) -> None:
    values = given("gaia_balance")
    supplied = {"slope": values["b"], "R": values["d"], "F": torch.zeros_like(values["d"])}
    got = valued({"delta_disc": "s", "delta_gen": "1 - s"}, supplied, flow={"s": tables("gaia")["flow"]["s"]})
    reproduced("gaia_balance", got)


def test_gaia_layers(given: Given, reproduced: Reproduced) -> None:
    values = given("gaia_layers")
    norm = layer_norm(values["x"].shape[1]).double()
    norm.load_state_dict({"weight": values["ln_gamma"], "bias": values["ln_beta"]})
    got = {
        "adain": adaptive_norm(values["x"], values["mu"], values["sigma"]), "layer_norm": norm(values["x"]).detach(),
    }  # fmt: skip
    reproduced("gaia_layers", got)


def test_gaia_gradient_through_the_balance_turns_negative_where_the_page_says(valued: Valued) -> None:
    gap = torch.tensor([-0.1, 0.0, 0.06392, 0.06393, 0.1, 0.2], dtype=torch.float64)
    own = tables("gaia")
    loss, detached = own["phase"]["generate"]["loss"]["balance"], own["flow"]["p_mix"]
    through = detached.removeprefix("detach(").removesuffix(")")
    supplied = {"F_rec": torch.full_like(gap, 0.3), "F_mix": 0.3 + gap, "slope": torch.tensor(20.0).double()}
    shares, slopes = (
        valued({"it": wanted}, supplied, flow={"p_mix": text, "loss": loss})["it"]
        for wanted, text in (("p_mix", detached), ("grad(loss, F_rec)", through))
    )
    torch.testing.assert_close(slopes, (1 - shares) * (1 - 20 * gap * shares))
    assert (slopes < 0).tolist() == [False, False, False, True, True, True]
    mirrored = valued(
        {"it": "grad(loss, F_mix)"}, supplied | {"F_mix": 0.3 - gap}, flow={"p_mix": through, "loss": loss}
    )
    torch.testing.assert_close(mirrored["it"], slopes)
    kept = valued({"it": "grad(loss, F_rec)"}, supplied, flow={"p_mix": detached, "loss": loss})["it"]
    torch.testing.assert_close(kept, 1 - shares)
