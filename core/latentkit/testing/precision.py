"""Other precisions and devices: float64, bfloat16 as runs have it, and shapes alone."""

from __future__ import annotations

from collections import abc

import torch
from torch import Tensor

from latentkit.settings import Settings
from latentkit.testing.behaviour import draws, near, tracked
from latentkit.testing.bench import Bench, all_finite, call, named, result, signed
from latentkit.testing.cases import Case
from latentkit.testing.checks import Nonconforming, require, said
from latentkit.testing.values import Draw, doubled, floats, mapped, tensors
from latentkit.testing.workplace import seeded


def in_float64(bench: Bench) -> None:
    """In float64 results are float64, and near those of float32."""
    for case, entry in bench.runs():
        how = Draw(signed=signed(case))
        inputs = case.inputs(entry, how)
        drawing = case.part.stochastic or draws(case.build(), entry, inputs)
        try:
            with seeded(), torch.no_grad():
                found = floats(call(case.build().double(), entry, mapped(inputs, doubled)))
        except Exception as error:
            raise Nonconforming(f"{named(entry)} in float64 raises {said(error)}") from error
        for value, other in zip(found, floats(result(case, entry, how)), strict=True):
            require(value.dtype == torch.float64, f"{named(entry)} of float64 is {value.dtype}")
            fact = f"{named(entry)} in float64 is far from what it is in float32"
            require(drawing or near(value, other, 1e-2), fact)


def in_bfloat16(bench: Bench) -> None:
    """Under autocast, as runs in bfloat16 have it: the same shapes, and finite where float32 is."""
    for case, entry in bench.runs():
        plain = floats(result(case, entry, Draw(signed=signed(case))))
        # Parts get what other parts make, in bfloat16; losses are handed float32.
        for dtype in (torch.float32,) if signed(case) else (torch.float32, torch.bfloat16):
            found = _autocast(case, entry, dtype)
            same = [value.shape for value in found] == [value.shape for value in plain]
            require(same, f"{named(entry)} in bfloat16 has other shapes")
            require(all_finite(found) or not all_finite(plain), f"{named(entry)} in bfloat16 is not finite")


def _autocast(case: Case, entry: str, dtype: torch.dtype) -> list[Tensor]:
    inputs = mapped(mapped(case.inputs(entry, Draw(signed=signed(case))), _as(dtype)), tracked)
    try:
        with seeded(), Settings(precision="bfloat16").autocast():
            found = floats(call(case.build(), entry, inputs))
        reached = [value.float().sum() for value in found if value.requires_grad]
        if reached:
            torch.stack(reached).sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    except Exception as error:
        fact = f"{named(entry)} of {dtype} values under bfloat16 autocast raises {said(error)}"
        raise Nonconforming(fact) from error
    return found


def _as(dtype: torch.dtype) -> abc.Callable[[Tensor], Tensor]:
    return lambda tensor: tensor.to(dtype) if tensor.is_floating_point() else tensor


def on_the_meta_device(bench: Bench) -> None:
    """On shapes alone it builds and runs, with the same shapes and types: a check needs that."""
    for case, entry in bench.runs():
        how = Draw(signed=signed(case))
        try:
            with seeded():
                module = case.build(device="meta")
                value = call(module, entry, mapped(case.inputs(entry, how), lambda tensor: tensor.to("meta")))
        except Exception as error:
            advice = "let nothing depend on values (item(), float(), if), and make tensors on the input's device"
            raise Nonconforming(f"{named(entry)} on the meta device raises {said(error)}; {advice}") from error
        found, real = (_described(value), _described(result(case, entry, how)))
        require(found == real, f"{named(entry)} on the meta device is {found}, and {real} on the CPU")
        there = all(item.device.type == "meta" for item in tensors(value))
        require(there, f"{named(entry)} makes values elsewhere; make tensors on the input's device")


def _described(value: object) -> str:
    return ", ".join(f"{item.dtype} {list(item.shape)}" for item in tensors(value))
