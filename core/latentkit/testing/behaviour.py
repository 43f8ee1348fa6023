"""How a part computes: samples apart, random numbers as declared, finite values, gradients."""

from __future__ import annotations

from collections import abc
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from latentkit.spaces import Space
from latentkit.testing.bench import (
    OBJECTIVES,
    Bench,
    all_finite,
    call,
    named,
    result,
    signed,
    with_finite_values,
    works,
)
from latentkit.testing.cases import Case
from latentkit.testing.checks import Nonconforming, NotExercised, require, said
from latentkit.testing.choosing import choices
from latentkit.testing.values import Draw, doubled, floats, mapped, tensors
from latentkit.testing.workplace import global_draws, seeded

NETWORKS = ("mapping", "generator", "encoder", "discriminator")
_ORDER = torch.tensor([3, 0, 4, 2, 1])


def keeps_samples_apart(bench: Bench) -> None:
    """With ``independent = True`` some of a batch give the same results without the others, and in another order."""
    others = [other for _, other in choices(bench, bench.cases()[-1]) if works(other)]  # an option may decide about it
    runs = [*bench.runs(), *((other, entry) for other in others for entry in other.signatures)]
    declared = [(case, entry) for case, entry in runs if case.part.independent and not case.part.stochastic]
    if not declared:
        raise NotExercised("whatever its options, it declares independent = False, or that it draws numbers of its own")
    for case, entry in declared:
        _apart(case, entry)


def _apart(case: Case, entry: str) -> None:
    inputs = case.inputs(entry, Draw(batch=len(_ORDER), signed=signed(case)))
    ports = case.signatures[entry].inputs
    batched = [isinstance(port.space, Space) and port.space.batched for port in ports][: len(inputs)]
    if draws(case.build(), entry, inputs):
        raise NotExercised("it draws numbers of its own: see [draws as declared]")
    for what, chosen in (("the others in its batch", _ORDER[:2]), ("its place in the batch", _ORDER)):
        pick = _picking(chosen)
        some = [mapped(value, pick) if picked else value for value, picked in zip(inputs, batched, strict=True)]
        with seeded(), torch.no_grad():
            whole, part = call(case.build(), entry, inputs), call(case.build(), entry, some)
        pairs = zip(tensors(mapped(whole, pick)), tensors(part), strict=True) if any(batched) else ()
        same = all(mine.shape == theirs.shape and near(mine, theirs, 1e-3) for mine, theirs in pairs)
        require(same, f"{named(entry)}: declares independent = True, but a sample's result depends on {what}")


def _picking(chosen: Tensor) -> abc.Callable[[Tensor], Tensor]:
    return lambda tensor: tensor[chosen]


def near(a: Tensor, b: Tensor, share: float) -> bool:
    """Whether two values differ by no more than this share of the larger ones among their numbers."""
    a, b = a.detach().double(), b.detach().double()
    scale = 1.0 + float(b.nan_to_num(0.0, 0.0, 0.0).abs().amax()) if b.numel() else 1.0
    return torch.allclose(a, b, rtol=share, atol=0.1 * share * scale, equal_nan=True)


def draws(module: nn.Module, entry: str, inputs: abc.Sequence[Any]) -> bool:
    """Whether a call moves a global generator."""
    with seeded(), torch.no_grad():
        before = global_draws()
        call(module, entry, inputs)
        return global_draws() != before


def draws_as_declared(bench: Bench) -> None:
    """Without ``stochastic = True`` no global generator moves; with it, torch's alone, and a seed fixes the result."""
    for case, entry in bench.runs():
        how = Draw(signed=signed(case))
        if case.part.stochastic:
            pairs = zip(*(tensors(result(case, entry, how, seed=seed)) for seed in (0, 1)), strict=True)
            fact = f"{named(entry)}: one seed of torch's generator gives two results; draw from no other generator"
            require(all(torch.equal(a, b) for a, b in pairs), fact)
            continue
        for mode in (True, False):
            fact = f"{named(entry)}: draws random numbers of its own, but does not declare stochastic = True"
            require(not draws(case.build().train(mode), entry, case.inputs(entry, how)), fact)


def finite_values(bench: Bench) -> None:
    """Ordinary values give finite results; so do black images, and two equal values."""
    for case, entry in bench.runs():
        for how in (Draw(), Draw(seed=1), Draw(flat=True)):
            value = result(case, entry, attrs.evolve(how, signed=signed(case)))
            require(all_finite(floats(value)), f"{named(entry)} of {_kind(how)} is not finite")


def _kind(how: Draw) -> str:
    return "black images or equal values" if how.flat else "ordinary values"


def finite_gradients(bench: Bench) -> None:
    """Gradients with respect to inputs and weights are finite, and some arrive."""
    wanted, arriving = dict.fromkeys(("an input", "a weight"), False), dict.fromkeys(("an input", "a weight"), False)
    for case, entry in bench.runs():
        for how in (Draw(signed=signed(case)), Draw(signed=signed(case), flat=True)):
            with_finite_values(case, entry, how)
            for what, found in _gradients(case, entry, how).items():
                finite = all_finite(gradient for gradient in found if gradient is not None)
                fact = f"{named(entry)}: the gradient with respect to {what} is not finite at {_kind(how)}"
                require(finite, fact)
                wanted[what] |= bool(found)
                arriving[what] |= any(gradient is not None for gradient in found)
    needed = ["a weight", *(["an input"] if bench.subject.kind.kind in (*NETWORKS, *OBJECTIVES) else [])]
    lost = [what for what in needed if wanted[what] and not arriving[what]]
    require(not lost, f"no gradient arrives at {' or '.join(lost)}: no_grad(), detach() or .data on the way")


def _gradients(case: Case, entry: str, how: Draw) -> dict[str, list[Tensor | None]]:
    """Of a weighted sum of all results: with respect to inputs, and to weights."""
    module = case.build().train()
    weights = [parameter for parameter in module.parameters() if parameter.requires_grad]
    inputs = mapped(case.inputs(entry, how), tracked)
    leaves = floats(inputs)
    with seeded():
        results = [value for value in floats(call(module, entry, inputs)) if value.requires_grad]
        if not results:
            return {"an input": [None] * len(leaves), "a weight": [None] * len(weights)}
        total = torch.stack([value.flatten() @ torch.linspace(0.5, 1.5, value.numel()) for value in results]).sum()
        found = torch.autograd.grad(total, [*leaves, *weights], allow_unused=True)
    return {"an input": list(found[: len(leaves)]), "a weight": list(found[len(leaves) :])}


def tracked(tensor: Tensor) -> Tensor:
    """The tensor as a leaf that gets a gradient, where it has real numbers."""
    return tensor.detach().requires_grad_() if tensor.is_floating_point() else tensor


def exact_gradients(bench: Bench) -> None:
    """In float64 the gradient is the derivative, as differences of values show it."""
    how = Draw(batch=3, signed=True)
    for case, entry in bench.runs()[:2]:
        with_finite_values(case, entry, how)
        inputs = mapped(mapped(case.inputs(entry, how), doubled), tracked)
        try:
            with seeded():
                value = _of_leaves(case.build().double(), entry, inputs)
                torch.autograd.gradcheck(value, floats(inputs), fast_mode=True, check_undefined_grad=False)
        except RuntimeError as error:
            fact = f"{named(entry)}: the gradient is not the derivative: {said(error)}"
            raise Nonconforming(f"{fact}; leave detach() and the like to the recipe") from error


def _of_leaves(module: nn.Module, entry: str, inputs: Any) -> abc.Callable[..., Any]:
    """The call as a function of its real numbers alone."""

    def value(*given: Tensor) -> Any:
        remaining = iter(given)
        return call(module, entry, mapped(inputs, lambda old: next(remaining) if old.is_floating_point() else old))

    return value
