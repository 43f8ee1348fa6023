"""Codes to look for directions in: as a recipe draws them."""

from __future__ import annotations

from collections import abc

import torch
from torch import Tensor

from latentkit.components.priors import Normal
from latentkit.engine.streams import key_seed
from latentkit.errors import LatentkitError
from latentkit.evaluation.dependence import drawn_code
from latentkit.evaluation.subjects import data_needed, features, lacks_role, samples_of
from latentkit.model import Model
from latentkit.recipe.quantities import number


def drawn_codes(
    model: Model, n: int, seed: int, *, given: abc.Mapping[str, Tensor | float] | None = None, instead: str = ""
) -> Tensor:
    """Codes as the recipe draws them, [n, dim].

    Args:
        model: with a code.
        n: how many.
        seed: of the draws.
        given: values in place of other draws.
        instead: what to do where it draws none, for the message.

    Raises:
        LatentkitError: the model names no code, or draws none.
    """
    node = drawn_code(model.wiring)
    if node is None:
        name = model.wiring.recipe.inference.get("code")
        if name is None:
            raise LatentkitError(f"'{model.name}' names no code in [inference], so there is nothing to draw")
        data = " and ".join(sorted(data_needed([model.wiring.code]))) if model.wiring.code else "data"
        hint = f"; {instead}" if instead else ""
        raise LatentkitError(f"'{model.name}' computes its code from {data} and draws none{hint}")
    value: Tensor = model.values([node], n, seed=seed, given=given)[0]
    return value


def is_normal(model: Model) -> bool:
    """Whether codes are drawn from N(0, I) as they are, so that the root of dim is a length to keep them within."""
    node = drawn_code(model.wiring)
    if node is None or not node.is_source("draw"):
        return False
    prior = model.wiring.draws[node.source[1]].prior
    return isinstance(prior, Normal) and (number(prior.mean), number(prior.std)) == (0.0, 1.0)


def codes_to_search(model: Model, n: int, seed: int, given: abc.Mapping[str, Tensor | float] | None = None) -> Tensor:
    """Codes as the recipe draws them, or of the first training images where it draws none, [n, dim] or fewer.

    Raises:
        DataError: the recipe's data are missing or unreadable.
        LatentkitError: neither is possible.
    """
    if drawn_code(model.wiring) is not None:
        return drawn_codes(model, n, seed, given=given)
    return _of_images(model, n, held_out=False)


def codes_to_measure(model: Model, n: int, seed: int, given: abc.Mapping[str, Tensor | float] | None = None) -> Tensor:
    """Codes that no finder has looked at with the same seed: other draws, or of held-out images; [n, dim] or fewer.

    Raises:
        DataError: the recipe's data are missing or unreadable.
        LatentkitError: neither is possible.
    """
    if drawn_code(model.wiring) is not None:
        return drawn_codes(model, n, key_seed(seed, "measure"), given=given)
    return _of_images(model, n, held_out=True)


def _of_images(model: Model, n: int, *, held_out: bool) -> Tensor:
    """Codes of the first training images, or of held-out ones where there are any, and otherwise the last."""
    reason = lacks_role(model, "encode")
    if reason:
        raise LatentkitError(f"'{model.name}' draws no codes, and has none of images: {reason}")
    samples = samples_of(model)
    assert samples is not None  # a role that reads images has a source of them
    chosen = samples.training[:n]
    if held_out:
        chosen = samples.held_out[:n] if len(samples.held_out) else samples.training[-n:]
    return torch.from_numpy(features(model, "encode", samples, chosen)).to(model.device, model.dtype)


def lacks_decode(model: Model) -> str:
    """Why no images can be made of codes; empty where they can."""
    if "decode" not in model.wiring.inference:
        return "it has no role 'decode', so that nothing shows what a direction does"
    return "" if model.wiring.code is not None else "it names no code in [inference]"


def spread_along(codes: Tensor, u: Tensor) -> tuple[float, tuple[float, float]]:
    """Of codes [n, dim] along a unit vector [dim]: standard deviation (population), lowest and highest place."""
    places = codes @ u
    return float(places.std(correction=0)), (float(places.min()), float(places.max()))
