"""Directions, lattices, edits, moments and rejection against stored values in float64, gradients included."""

from __future__ import annotations

from collections import abc

import torch
from torch import Tensor

from latentkit.latent.attributes import least_squares, mean_differences
from latentkit.latent.directions import DirectionModel
from latentkit.latent.editing import moved, with_coordinate, within_norm, without
from latentkit.latent.lattice import Lattice
from latentkit.latent.moments import moments
from latentkit.latent.records import Steps, kept, threshold

Values = dict[str, Tensor]
Given = abc.Callable[[str], Values]
Reproduced = abc.Callable[..., None]


def test_lattice(given: Given, reproduced: Reproduced) -> None:
    values = given("lattice")
    ends = {"low": float(values["lo"]), "high": float(values["hi"])}
    lattice, s = Lattice(slopes=values["w"], **ends), values["s"].requires_grad_()
    g = lattice(s)
    got = {
        "g": g, "g_ones": Lattice(slopes=torch.ones_like(values["w"]), **ends)(s),
        "dg_ds": torch.autograd.grad(g.sum(), s)[0], "smooth": values["reg"] * lattice.roughness(),
        "knots": lattice.knots, "half_width": torch.tensor(lattice.half_width, dtype=torch.float64),
    }  # fmt: skip
    reproduced("lattice", got)


def test_direction(given: Given, reproduced: Reproduced) -> None:
    values = given("direction")
    v, w = values["v"].requires_grad_(), values["w"].requires_grad_()
    model = DirectionModel(v=v, lattice=Lattice(slopes=w, low=float(values["lo"]), high=float(values["hi"])))
    start, end, change = values["z0"], values["zt"], values["dt"]
    steps = Steps(start=start, end=end, change=change, error=torch.zeros_like(change))
    error = model.error(steps)
    of_v, of_w = torch.autograd.grad(error, [v, w], retain_graph=True)
    l2, smooth = float(values["l2"]), float(values["smooth"])
    got = {
        "pred": model.change(start, end), "mse": error, "dmse_dv": of_v, "dmse_dw": of_w, "u": model.direction,
        "total": model.penalised(steps, l2, smooth),
        "l2_reg": model.penalised(steps, l2, 0) - error, "smooth_reg": model.penalised(steps, 0, smooth) - error,
    }  # fmt: skip
    reproduced("direction", got)


def test_edit(given: Given, reproduced: Reproduced) -> None:
    values = given("edit")
    z, u = values["z"], values["u"]
    got = {
        "proj": without(z, u),
        "edited": with_coordinate(z, u, values["alphas"]),
        "clipped": within_norm(values["z_big"]),
    }
    reproduced("edit", got)


def test_saliency(given: Given, reproduced: Reproduced) -> None:
    found = moments(given("saliency")["s"])
    reproduced("saliency", {"x": found.x, "y": found.y, "mean": found.mean})


def test_reject(given: Given, reproduced: Reproduced) -> None:
    error = given("reject")["error"]
    reproduced("reject", {"threshold": threshold(error), "keep": kept(error).double()})


def test_attribute_vectors(given: Given, reproduced: Reproduced) -> None:
    values = given("ols")
    z, attributes = values["z"], values["attrs"]
    fitted = least_squares(z, attributes)
    got = {
        "coef": fitted.vectors, "bias": fitted.bias, "mean_diff": mean_differences(z, attributes),
        "coef_single_attr0": least_squares(z, attributes[:, :1]).vectors[0],
        "edited": moved(z[:2], fitted.vectors[0], 3),
    }  # fmt: skip
    reproduced("ols", got)
