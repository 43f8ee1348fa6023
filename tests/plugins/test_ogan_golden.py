"""O-GAN's operators, correlation and objectives against numpy values in float64; every value is compared."""

from __future__ import annotations

import functools
from collections import abc

import pytest
import torch
from torch import Tensor

from latentkit.latents import normalized, normalized_lerp
from latentkit_plugins.ogan.operators import N, avg, rho, std
from latentkit_plugins.ogan.parts import correlation, mean_score, normalize

Values = dict[str, Tensor]


def vecops(given: Values) -> Values:
    z = given["z"]
    return {"avg": avg(z), "std": std(z), "N": N(z), "N_sqnorm": N(z).square().sum(-1)}


def pearson(given: Values) -> Values:
    z, zhat = given["z"], given["zhat"].requires_grad_()
    per_row, loss = rho(z, zhat), correlation(of=zhat, to=z).mean()
    return {
        "rho": per_row,
        "mean_rho": per_row.mean(),
        "loss": loss,
        "sqdist_N": (N(z) - N(zhat)).square().sum(-1),
        "two_n_one_minus_rho": 2 * z.shape[1] * (1 - per_row),
        "drho_dzhat": torch.autograd.grad(per_row.sum(), zhat, retain_graph=True)[0],
        "dloss_dzhat": torch.autograd.grad(loss, zhat)[0],
    }


def ogan(given: Values) -> Values:
    e_real, e_fake = given["e_real"].requires_grad_(), given["e_fake"].requires_grad_()
    gap = (given["x_real"] - given["x_fake"]).square().flatten(1)
    real, fake, frozen = mean_score(e_real), mean_score(e_fake), mean_score(e_fake.detach())
    t1, latent = real - fake, correlation(of=e_fake, to=given["z"])
    qp = given["lam_qp"] * t1.square() / gap.mean(1)
    loss_encoder = (t1 + qp + given["lam_rho"] * latent).mean()
    loss_generator = (fake + given["lam_rho"] * latent).mean()
    joint = (real - frozen + (fake - frozen) + given["lam_rho"] * latent + qp).mean()
    of_real, of_fake = torch.autograd.grad(loss_encoder, [e_real, e_fake], retain_graph=True)
    return {
        "t1": t1, "qp": qp, "R_sum": t1.square() / gap.sum(1), "rho": -latent,
        "loss_E": loss_encoder, "joint_value": joint, "loss_G": loss_generator,
        "dlossE_de_real": of_real, "dlossE_de_fake": of_fake,
        "dlossG_de_fake": torch.autograd.grad(loss_generator, e_fake)[0],
        "z_rec": 0.9 * normalize(e_real),
    }  # fmt: skip


CASES = {case.__name__: case for case in (vecops, pearson, ogan)}


@pytest.mark.parametrize("name", CASES)
def test_values_of_the_case_are_reproduced(name: str, golden: abc.Callable[[str], Values]) -> None:
    tensors = golden("losses")
    given = {key.split("/")[2]: value for key, value in tensors.items() if key.startswith(f"{name}/in/")}
    wanted = {key.split("/")[2]: value for key, value in tensors.items() if key.startswith(f"{name}/out/")}
    got = CASES[name](given)
    assert got.keys() == wanted.keys()
    for key, value in got.items():
        named = functools.partial("{}: {}".format, key)
        torch.testing.assert_close(value, wanted[key], rtol=1e-9, atol=1e-10, msg=named)


def test_normalized_interpolation_is_by_the_papers_normalisation() -> None:
    a, b = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(normalized(3 * a + 1), N(3 * a + 1), rtol=1e-12, atol=1e-12)
    t = torch.linspace(0, 1, 5, dtype=torch.float64)
    torch.testing.assert_close(normalized_lerp(a, b, t), N(torch.lerp(N(a), N(b), t[:, None])), rtol=1e-12, atol=1e-12)
