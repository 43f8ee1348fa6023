"""Adversarial objectives, and the systems made of them, against numpy values in float64; every value is compared."""

from __future__ import annotations

from collections import abc
from typing import Any

import torch
from torch import Tensor

Values = dict[str, Tensor]
Given = abc.Callable[[str], Values]
Component = abc.Callable[..., abc.Callable[..., Tensor]]
Valued = abc.Callable[..., Values]
Reproduced = abc.Callable[..., None]


def test_objectives_of_gans(given: Given, component: Component, reproduced: Reproduced) -> None:
    values = given("gan")
    s = {"real": values["s_real"].requires_grad_(), "fake": values["s_fake"].requires_grad_()}
    minus_plus = {"real_target": 1.0, "fake_target": -1.0}
    out = {
        "ns_d": component("logistic-discriminator")(**s),
        "ns_g": component("logistic-generator")(s["fake"]),
        "sat_g": component("saturating-generator")(s["fake"]),
        "hinge_d": component("hinge-discriminator")(**s),
        "hinge_g": component("hinge-generator")(s["fake"]),
        "wgan_d": component("wasserstein-discriminator")(**s),
        "wgan_g": component("wasserstein-generator")(s["fake"]),
        "lsgan01_d": component("least-squares-discriminator")(**s),
        "lsgan01_g": component("least-squares-generator")(s["fake"]),
        "lsgan_pm_d": component("least-squares-discriminator", **minus_plus)(**s),
        "lsgan_pm_g": component("least-squares-generator", target=0.0)(s["fake"]),
        "drift": 1e-3 * component("drift")(s["real"]),
    }
    out = {name: value.mean() for name, value in out.items()}
    for name in ("ns_d", "hinge_d", "lsgan01_d", "ns_g", "sat_g", "lsgan01_g"):
        for side in ("real", "fake") if name.endswith("_d") else ("fake",):
            (out[f"{name}_d{side}"],) = torch.autograd.grad(out[name], s[side], retain_graph=True)
    big = torch.tensor([1e3, -1e3, 40.0], dtype=torch.float64)
    reproduced("gan", out | {"big_logits": component("logistic-generator")(-big)})


def adversarial(real: str, fake: str) -> dict[str, Any]:
    return {"use": "logistic-discriminator", "real": real, "fake": fake}


def test_bigan_veegan_and_reciprocity(given: Given, valued: Valued, reproduced: Reproduced) -> None:
    objectives = {
        "d_loss": {"adversarial": adversarial("s_enc", "s_gen")},
        "eg_loss": {"adversarial": adversarial("s_gen", "s_enc")},
        "veegan_d": {"adversarial": adversarial("s_gen", "s_enc")},
        "veegan_eg": {"adversarial": "s_gen", "latent": {"use": "sse", "of": "z_rec", "to": "z"}},
        "alae_reciprocity_mean": {"latent": {"use": "l2", "of": "z_rec", "to": "z"}},
        "latent_l2_sum": {"latent": {"use": "sse", "of": "z_rec", "to": "z"}},
    }
    reproduced("bigan", valued(objectives, given("bigan")))


def test_aae(given: Given, valued: Valued, reproduced: Reproduced) -> None:
    objectives = {
        "d_loss": {"adversarial": adversarial("s_prior", "s_post")},
        "g_loss": {"adversarial": {"use": "logistic-generator", "fake": "s_post"}},
    }
    reproduced("aae", valued(objectives, given("aae")))


def test_cyclegan(given: Given, valued: Valued, reproduced: Reproduced) -> None:
    cycle = {name: {"use": "l1", "of": f"{name}_rec", "to": name} for name in ("a", "b")}
    identity = {f"idt_{name}": {"use": "l1", "of": f"idt_{name}", "to": name} for name in ("a", "b")}
    fool = {"adversarial": "mean(square(d_fake_b - 1)) + mean(square(d_fake_a - 1))"}
    total = {name: term | {"weight": "lam"} for name, term in cycle.items()}
    total |= {name: term | {"weight": "idt_w * lam"} for name, term in identity.items()}
    objectives = {"cycle": cycle, "identity": identity, "adv_g": fool, "total_g": fool | total}
    reproduced("cyclegan", valued(objectives, given("cyclegan")))


def test_vaegan(given: Given, valued: Valued, reproduced: Reproduced) -> None:
    features = {"use": "sse", "of": "f_rec", "to": "f_real", "weight": 0.5}
    divergence = {"use": "kl", "of": "q"}
    fake_both = "softplus(s_rec) + softplus(s_prior)"
    discriminate = {"adversarial": f"softplus(-s_real) + {fake_both}"}
    decoder = {"likelihood": features | {"weight": "gamma / 2"}}
    objectives = {
        "feat_nll": {"likelihood": features},
        "kl": {"kl": divergence},
        "gan_ce": discriminate,
        "loss_enc": {"likelihood": features, "kl": divergence},
        "loss_dec": decoder | {"adversarial": f"-softplus(-s_real) - ({fake_both})"},
        "loss_dec_ns": decoder | {"adversarial": "softplus(-s_rec) + softplus(-s_prior)"},
        "loss_dis": discriminate,
    }
    made = {"parts": {"Q": {"use": "toy.gaussian"}}, "flow": {"q": "Q(mu, logvar)"}}
    reproduced("vaegan", valued(objectives, given("vaegan"), **made))


def test_introvae(given: Given, valued: Valued, reproduced: Reproduced) -> None:
    flow = {
        "outside": "relu(m - batch_mean(kl_rec)) + relu(m - batch_mean(kl_fake))",
        "outside_each": "relu(m - kl_rec) + relu(m - kl_fake)",
        "half": "0.5 * w_kl",
    }
    data = {"data": {"of": "sse", "weight": "w_rec"}}
    divergence = {"kl": {"of": "kl_real", "weight": "w_kl"}}
    fool = {"kl": {"of": "kl_rec + kl_fake", "weight": "half"}}
    objectives = {
        "margin": {"kl": "kl_real", "margin": {"of": "outside", "weight": "0.5 * w_neg"}},
        "margin_per_sample": {"kl": "kl_real", "margin": {"of": "outside_each", "weight": "0.5 * w_neg"}},
        "loss_E": data | divergence | {"margin": {"of": "outside", "weight": "half * w_neg"}},
        "loss_E_per_sample": data | divergence | {"margin": {"of": "outside_each", "weight": "half * w_neg"}},
        "loss_G_adv": fool,
        "loss_G_effective": data | fool,
        "vae_pretrain": {"data": "sse", "kl": "kl_real"},
        "paper_L_AE": {"data": {"of": "sse", "weight": 0.5}},
    }
    reproduced("introvae", valued(objectives, given("introvae"), flow=flow))
