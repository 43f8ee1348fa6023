"""The two places of the equalised learning rate are one method, as far as weights and their steps go.

Where a weight acts as w = c u, and u is stored, g_u = c g_w. Adam without momentum keeps v_u = c^2 v_w. Its step
-lr g_u / (sqrt(v_u) + eps) is c times as large in w: -lr c g_w / (sqrt(v_w) + eps / c). So does ``lreq-adam`` move a w
that is stored itself, with c as the factor of its rate, but for the place of epsilon; with an epsilon of nothing the
two agree in every step.
"""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import torch
from torch import Tensor, nn

from latentkit.engine.updates import Slot, multipliers, update
from latentkit.optimizers import Adam, LreqAdam
from latentkit_plugins.style.parts import (
    GrowingDiscriminator,
    PgganGenerator,
    StyleEncoder,
    StyleGenerator,
    StyleMapping,
)

IMAGES: dict[str, Any] = {
    "channels": 3, "height": 16, "width": 16, "levels": 3, "channels_base": 4, "max_channels": 8,
}  # fmt: skip
X, Z = (2, 3, 16, 16), (2, 5)
PARTS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "pggan-generator": (PgganGenerator(dim=5, **IMAGES), (Z, 0.3)),
    "generator": (StyleGenerator(dim=5, **IMAGES), ((2, 6, 5), 0.3, (2, 672))),
    "mapping": (StyleMapping(dim=5, layers=3), (Z,)),
    "encoder": (StyleEncoder(dim=5, **IMAGES), (X, 0.3)),
    "discriminator": (GrowingDiscriminator(**IMAGES), (X, 0.3)),
}
NOTHING = 1e-30


def forms(name: str) -> tuple[nn.Module, nn.Module, tuple[Tensor, ...]]:
    """The same function, stored in one way and the other; and values that it is given."""
    part, given = PARTS[name]
    torch.manual_seed(0)
    runtime = attrs.evolve(part, equalized="runtime").build().double()
    implicit = attrs.evolve(part, equalized="implicit").build().double()
    factors = multipliers(implicit)
    with torch.no_grad():
        for key, u in runtime.named_parameters():
            u.add_(torch.randn_like(u) * 0.1)  # biases and noise too
            if key == "const":  # of either sign: of a constant sign, what is added to it is normed away
                u.normal_()
            implicit.get_parameter(key).copy_(u * factors.get(key, 1.0))
    return runtime, implicit, tuple(torch.randn(size) if isinstance(size, tuple) else torch.tensor(size)
                                    for size in given)  # fmt: skip


def values(module: nn.Module, given: tuple[Tensor, ...]) -> Tensor:
    made: Tensor = module(*(value.double() for value in given))
    return made


@pytest.mark.parametrize("name", PARTS)
def test_both_forms_of_the_same_weights_are_the_same_function(name: str) -> None:
    runtime, implicit, given = forms(name)
    assert multipliers(implicit)
    assert not multipliers(runtime)
    torch.testing.assert_close(values(runtime, given), values(implicit, given), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", PARTS)
def test_both_forms_start_as_the_same_function(name: str) -> None:
    built = []
    for form in ("runtime", "implicit"):
        torch.manual_seed(0)
        built.append(attrs.evolve(PARTS[name][0], equalized=form).build())
    _, _, given = forms(name)
    torch.testing.assert_close(built[0](*given), built[1](*given), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", PARTS)
def test_adam_without_momentum_moves_one_form_as_lreq_adam_moves_the_other(name: str) -> None:
    runtime, implicit, given = forms(name)
    before, factors = values(runtime, given).detach(), multipliers(implicit)
    rules = [(runtime, Adam(beta1=0, beta2=0.99, eps=NOTHING)), (implicit, LreqAdam(beta2=0.99, eps=NOTHING))]
    target = torch.randn_like(before)
    for module, rule in rules:
        slot = Slot(rule, module)
        for _ in range(3):
            loss = (values(module, given) - target).square().sum()
            update([slot], torch.autograd.grad(loss, slot.parameters, allow_unused=True), [1e-3])
    for key, u in runtime.named_parameters():
        w = implicit.get_parameter(key)
        torch.testing.assert_close(
            w, u * factors.get(key, 1.0), rtol=1e-6, atol=1e-9, msg=lambda text, k=key: f"{k}: {text}"
        )
    after = values(runtime, given)
    torch.testing.assert_close(after, values(implicit, given), rtol=1e-6, atol=1e-7)
    assert not torch.allclose(after, before, rtol=1e-3)


def test_what_is_left_between_the_forms_is_the_place_of_epsilon() -> None:
    eps, lr, c, gradient = 1e-2, 0.1, 0.25, torch.tensor([3.0], dtype=torch.float64)
    u, w = torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    slots = {"momentum": [torch.zeros_like(u)], "square": [torch.zeros_like(u)]}
    Adam(beta1=0, beta2=0.99, eps=eps).update([u], [c * gradient], slots, 1, lr)
    LreqAdam(beta2=0.99, eps=eps).update([w], [gradient.clone()], {"square": [torch.zeros_like(w)]}, 1, lr * c)
    torch.testing.assert_close(c * u, -lr * c * gradient / (gradient + eps / c), rtol=1e-9, atol=0)
    torch.testing.assert_close(w, -lr * c * gradient / (gradient + eps / 0.01**0.5), rtol=1e-6, atol=0)
