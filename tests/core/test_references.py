"""Toy systems against training loops written out by hand, in float64."""

from __future__ import annotations

import copy
from collections import abc
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentkit.engine.training import Training

Start = abc.Callable[..., Training]
CLOSE = {"rtol": 1e-12, "atol": 1e-12}


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def copies(training: Training) -> dict[str, nn.Module]:
    return {name: copy.deepcopy(module) for name, module in training.modules.items()}


def adam(modules: abc.Mapping[str, nn.Module], lr: float = 1e-3) -> torch.optim.Adam:
    return torch.optim.Adam([p for part in modules.values() for p in part.parameters()], lr=lr)


def descend(optimizer: torch.optim.Adam, loss: Tensor, *parts: nn.Module) -> None:
    """One step of these parts alone; all others have no gradient and are left alone."""
    optimizer.zero_grad(set_to_none=True)
    parameters = [p for part in parts for p in part.parameters()]
    for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        parameter.grad = gradient
    optimizer.step()


def same_weights(training: Training, modules: abc.Mapping[str, nn.Module]) -> None:
    for name, module in modules.items():
        for mine, theirs in zip(training.modules[name].parameters(), module.parameters(), strict=True):
            torch.testing.assert_close(mine, theirs, **CLOSE)


def pearson(a: Tensor, b: Tensor) -> Tensor:
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))


def test_ogan_gives_the_gradients_of_the_released_scalar(start: Start) -> None:
    training = start("ogan", precision="float64")
    parts = copies(training)
    seen: dict[str, Any] = {}

    def watch(program: Any, slots: Any, outcome: Any) -> None:
        seen.update({value[1]: slots[slot] for slot, value, _ in program.inputs})
        seen["gradients"] = outcome.gradients

    training.watch = watch
    training.step()
    G, E = parts["G"], parts["E"]
    x, z = seen["x"], seen["z"]
    fake = G(z)
    stopped = fake.detach()
    real_score, fake_score, stopped_score = E(x).mean(1), E(fake).mean(1), E(stopped).mean(1)
    t1, t2 = real_score - stopped_score, fake_score - stopped_score
    penalty = 0.25 * t1.square() / (x - stopped).square().flatten(1).mean(1)
    joint = (t1 + t2 - 0.5 * pearson(z, E(fake))).mean() + penalty.mean()
    for phase, module in (("encode", E), ("generate", G)):
        wanted = torch.autograd.grad(joint, list(module.parameters()), retain_graph=True)
        assert max(gradient.abs().max() for gradient in wanted) > 1e-3
        for mine, theirs in zip(seen["gradients"][phase], wanted, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)


def test_ogan_penalty_does_not_reach_the_generator(start: Start) -> None:
    with_penalty, without = (
        start("ogan", {"phase.encode.loss.quotient.weight": weight}, "float64") for weight in (100.0, 0)
    )
    found = []
    for training in (with_penalty, without):
        training.watch = lambda _p, _s, outcome: found.append(outcome.gradients)
        training.step()
    assert all(torch.equal(a, b) for a, b in zip(found[0]["generate"], found[1]["generate"], strict=True))
    assert not torch.equal(found[0]["encode"][0], found[1]["encode"][0])


def test_alae_with_given_codes_is_a_loop_written_by_hand(start: Start) -> None:
    training = start("alae-mlp", precision="float64")
    parts = copies(training)
    M, G, E, D = (parts[name] for name in "FGED")
    optimizer = adam(parts)
    average = torch.zeros(6, dtype=torch.float64)
    for step in range(3):
        x = normal(8, 1, 8, 8, seed=step)
        z = [normal(8, 6, seed=10 * step + phase) for phase in range(3)]
        training.step({
            "discriminate": {"x": x, "z": z[0]}, "generate": {"z": z[1]}, "reciprocate": {"z": z[2]},
        })  # fmt: skip
        for code in range(3):
            if code == 0:
                leaf = x.clone().requires_grad_()
                real, fake = D(E(leaf)), D(E(G(M(z[0]))))
                (gradient,) = torch.autograd.grad(real.sum(), leaf, create_graph=True)
                loss = (F.softplus(-real) + F.softplus(fake)).mean() + 5 * gradient.square().flatten(1).sum(1).mean()
                trained = (E, D)
            elif code == 1:
                loss, trained = F.softplus(-D(E(G(M(z[1]))))).mean(), (M, G)
            else:
                w = M(z[2])
                loss, trained = (E(G(w)) - w.detach()).square().mean(1).mean(), (E, G, M)
            average = average.lerp(M(z[code]).mean(0).detach(), 0.005)
            descend(optimizer, loss, *trained)
    same_weights(training, parts)
    torch.testing.assert_close(training.states["w_avg"], average, **CLOSE)


def intro_by_hand(training: Training, kept: bool) -> dict[str, nn.Module]:
    parts = copies(training)
    E, G = parts["E"], parts["G"]
    optimizer = adam(parts)

    def kl(q: Any) -> Tensor:
        return 0.5 * (q.mu.square() + q.logvar.exp() - q.logvar - 1).sum(1)

    def sse(a: Tensor, b: Tensor) -> Tensor:
        return (a - b).square().flatten(1).sum(1).mean()

    for step in range(3):
        x, eps, prior = normal(8, 1, 8, 8, seed=step), normal(8, 6, seed=50 + step), normal(8, 6, seed=90 + step)
        values = {"x": x, "eps": eps, "prior": prior}
        training.step({"encode": values, "decode": values})
        q = E(x)
        z = q.mu + (0.5 * q.logvar).exp() * eps
        rec = G(z)
        margin = F.relu(8 - kl(E(rec.detach())).mean()) + F.relu(8 - kl(E(G(prior).detach())).mean())
        descend(optimizer, 0.05 * sse(rec, x) + kl(q).mean() + 0.25 * margin, E)
        if not kept:
            q = E(x)
            z = q.mu + (0.5 * q.logvar).exp() * eps
        rec = G(z.detach())
        descend(optimizer, 0.05 * sse(rec, x) + 0.5 * (kl(E(rec)) + kl(E(G(prior)))).mean(), G)
    return parts


def test_introvae_decodes_the_code_of_the_encoder_before_its_update(start: Start) -> None:
    training = start("introvae", precision="float64")
    same_weights(training, intro_by_hand(training, kept=True))


def test_introvae_without_keep_decodes_the_new_code(start: Start) -> None:
    training = start("introvae", {"phase.encode.keep": []}, "float64")
    same_weights(training, intro_by_hand(training, kept=False))
