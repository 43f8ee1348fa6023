"""Likelihoods, divergences and discrepancies against numpy values in float64; every value of a case is compared."""

from __future__ import annotations

import math
from collections import abc

import torch
from torch import Tensor

from latentkit_plugins.vamp.losses import joint_log_density

Values = dict[str, Tensor]
Given = abc.Callable[[str], Values]
Component = abc.Callable[..., abc.Callable[..., Tensor]]
Valued = abc.Callable[..., Values]
Reproduced = abc.Callable[..., None]
Q = {"use": "toy.gaussian"}


def test_divergences(given: Given, component: Component, reproduced: Reproduced) -> None:
    values = given("kl")
    gaussian = component("toy.gaussian")
    mu, logvar = values["mu"].requires_grad_(), values["logvar"].requires_grad_()
    q, other = gaussian(mu, logvar), gaussian(values["mu2"], values["logvar2"])
    each = component("kl")(q)
    of_mu, of_logvar = torch.autograd.grad(each.mean(), [mu, logvar], retain_graph=True)
    got = {
        "kl": each, "kl_mean": each.mean(), "kl_elem_mean": each.mean() / mu.shape[1],
        "kl_two": component("kl-two")(of=q, to=other),
        "dkl_mean_dmu": of_mu, "dkl_mean_dlogvar": of_logvar,
    }  # fmt: skip
    reproduced("kl", got)


def test_vae(given: Given, valued: Valued, reproduced: Reproduced) -> None:
    values = given("vae")
    as_images = {name: values[name][:, None, None] for name in ("x", "logits")}  # b d -> b 1 1 d
    parts = {
        "Q": Q, "K": {"use": "kl"}, "B": {"use": "bernoulli-nll"}, "P": {"use": "bernoulli-nll", "logits": False},
        "S": {"use": "sse"},
    }  # fmt: skip
    flow = {"q": "Q(mu, logvar)", "p": "sigmoid(logits)"}
    bernoulli = {"likelihood": {"use": "bernoulli-nll", "of": "logits", "to": "x"}}
    squares = {"likelihood": {"use": "sse", "of": "p", "to": "x"}}
    divergence = {"kl": {"use": "kl", "of": "q"}}
    capacity = {"use": "kl-capacity", "of": "q", "capacity": "C", "weight": "gamma"}
    wanted = {
        "z": "reparameterize(q, eps)",
        "bce": "B(logits, x)", "bce_of_probabilities": "P(p, x)", "sse": "S(p, x)", "kl": "K(q)",
        "vae_bce": bernoulli | divergence,
        "vae_mse_half": {"likelihood": squares["likelihood"] | {"weight": 0.5}} | divergence,
        "vae_mse_sum": squares | divergence,
        "beta_vae": bernoulli | {"kl": divergence["kl"] | {"weight": "beta"}},
        "capacity": bernoulli | {"kl": capacity},
        "gauss_nll_unit": {"likelihood": {"use": "gaussian-nll", "of": "p", "to": "x"}},
    }  # fmt: skip
    got = valued(wanted, values | as_images, parts=parts, flow=flow)
    torch.testing.assert_close(got.pop("bce_of_probabilities"), got["bce"], rtol=1e-9, atol=1e-10)
    reproduced("vae", got)


def test_vamp_prior(given: Given, valued: Valued, component: Component, reproduced: Reproduced) -> None:
    values = given("vamp")
    parts = {"Q": Q, "P": {"use": "vamp.log-prob"}, "K": {"use": "vamp.kl"}}
    flow = {"q": "Q(mu_q, logvar_q)", "pseudo": "Q(mu_k, logvar_k)"}
    wanted = {
        "log_p": "P(z, pseudo)",
        "log_p_weighted": "P(z, pseudo, weight_logits)",
        "kl_mc": "K(q, z, pseudo)",
        "log_q": "K(q, z, pseudo) + P(z, pseudo)",
    }
    got = valued(wanted, values, parts=parts, flow=flow)
    pseudo = component("toy.gaussian")(values["mu_k"], values["logvar_k"])
    without_constant = {"log_p_noconst": got["log_p"] + 0.5 * values["z"].shape[1] * math.log(2 * math.pi)}
    reproduced("vamp", got | without_constant | {"resp": joint_log_density(values["z"], pseudo).softmax(1)})


def test_age(given: Given, valued: Valued, component: Component, reproduced: Reproduced) -> None:
    values = given("age")
    parts = {
        "released": {"use": "age.kl-moments", "released": True},
        "reverse": {"use": "age.kl-moments", "released": True, "reverse": True},
        "true": {"use": "age.kl-moments"},
        "total": {"use": "age.kl-moments", "mean": False},
    }
    wanted = {
        "mean": "batch_mean(e)",
        "var": "batch_mean(square(e - batch_mean(e)))",
        "kl_qp_code": "released(e)", "kl_pq_code": "reverse(e)", "kl_qp_true_mean": "true(e)",
        "kl_qp_true_sum": "total(e)",
        "e_unit": "e / sqrt(sum(square(e)))",
        "match_cos": {"latent": "2 - mean(e / sqrt(sum(square(e))) * z / sqrt(sum(square(z))))"},
        "match_l1": {"data": {"use": "l1", "of": "gex", "to": "x"}},
        "match_l2": {"data": {"use": "l2", "of": "gex", "to": "x"}},
    }  # fmt: skip
    got = valued(wanted, values, parts=parts)
    axes = torch.eye(values["e"].shape[1], dtype=torch.float64)
    uniform = torch.cat([axes, -axes])  # on the unit sphere, with the moments of the uniform distribution there
    ideal = {"ideal_kl_code": component("age.kl-moments", released=True)(uniform)}
    reproduced("age", got | ideal)


def test_discrepancies(given: Given, component: Component, reproduced: Reproduced) -> None:
    values = given("mmd")
    pair = {"of": values["a"], "to": values["b"]}
    scales, options = tuple(values["scales"].tolist()), {"bandwidth": float(values["bandwidth"])}
    rows = values["projections"].T
    got = {
        "rbf_unbiased": component("mmd", kernel="rbf", **options)(**pair),
        "rbf_biased": component("mmd", kernel="rbf", biased=True, **options)(**pair),
        "imq_unbiased": component("mmd", scales=scales, **options)(**pair),
        "imq_biased": component("mmd", scales=scales, biased=True, **options)(**pair),
        "imq_single_unbiased": component("mmd", **options)(**pair),
        "sw2_sq": component("sliced-wasserstein")(**pair, projections=rows),
        "sw1": component("sliced-wasserstein", p=1)(**pair, projections=rows),
    }
    reproduced("mmd", got)
