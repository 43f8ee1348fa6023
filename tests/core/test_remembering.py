"""Shapes that are remembered are those that torch would have computed."""

from __future__ import annotations

from collections import abc
from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import latentkit as lk
from latentkit.proof import proving, remembering
from latentkit.proof.remembering import Remembering
from latentkit.recipe.staging import stages
from latentkit.registry.manager import default_registry
from latentkit.wiring.assemble import assemble


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembering, "_known", {})


def meta(*sizes: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.empty(sizes, dtype=dtype, device="meta")


OPERATIONS: dict[str, abc.Callable[[], Tensor | tuple[Tensor, ...]]] = {
    "a product with broadcasting": lambda: meta(3, 1, 4) * meta(5, 1),
    "an integer times an integer": lambda: meta(3, dtype=torch.int64) * 2,
    "an integer times a float": lambda: meta(3, dtype=torch.int64) * 2.0,
    "an integer times a truth value": lambda: meta(3, dtype=torch.int64) * True,
    "a convolution of channels last": lambda: F.conv2d(
        meta(2, 3, 8, 8).to(memory_format=torch.channels_last), meta(4, 3, 3, 3), padding=1
    ),
    "a transposed tensor": lambda: meta(2, 3).T.exp(),
    "several results": lambda: torch.max(meta(2, 3), dim=1),
    "pieces": lambda: meta(6, 3).chunk(3),
    "a view": lambda: meta(2, 6).view(3, 4),
    "another type": lambda: meta(2).to(torch.float64),
}


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS.keys())
def test_a_remembered_result_is_what_torch_says(operation: abc.Callable[[], Tensor | tuple[Tensor, ...]]) -> None:
    wanted = tensors(operation())
    for _ in range(2):
        with Remembering():
            found = tensors(operation())
        assert [described(value) for value in found] == [described(value) for value in wanted]


def tensors(value: Tensor | tuple[Tensor, ...]) -> list[Tensor]:
    return [value] if isinstance(value, Tensor) else list(value)


def described(value: Tensor) -> tuple[object, ...]:
    return tuple(value.shape), value.stride(), value.dtype, value.device


def test_arguments_that_compare_equal_are_told_apart_by_their_type() -> None:
    with Remembering():
        found = [(meta(3, dtype=torch.int64) * factor).dtype for factor in (1, 1.0, True, 1)]
    assert found == [torch.int64, torch.float32, torch.int64, torch.int64]


def test_results_are_new_tensors_and_gradients_flow_through_them() -> None:
    x = meta(4, 3).requires_grad_()
    with Remembering():
        one, other = x.exp(), x.exp()
        (gradient,) = torch.autograd.grad((one * other).sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(gradient.square().sum(), x)
    assert one is not other
    assert gradient.shape == second.shape == x.shape


def test_what_is_written_in_place_is_not_remembered() -> None:
    with Remembering():
        x = meta(3)
        assert x.add_(1) is x
        assert x.view(3, 1)._base is x
    functions = [key[0] for key in remembering._known]
    assert functions
    assert not any(func._schema.is_mutable for func in functions)


def test_numbers_are_computed_as_ever() -> None:
    with Remembering():
        for value in (2.0, 3.0):
            assert float(torch.full((2,), value).sum()) == 2 * value


@pytest.mark.parametrize("name", ["ogan", "alae-mlp", "gaia", "stylealae-digits"])
def test_a_proof_finds_the_same_with_and_without(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = default_registry()
    found = []
    for memory in (Remembering, Remembering, nullcontext):
        monkeypatch.setattr(proving, "Remembering", memory)
        wiring = assemble(stages(lk.read(name))[-1].source, registry)
        found.append(proving.on_paper(wiring, registry))
    assert found[0] == found[1] == found[2]
    assert found[0][1].flops > 0
