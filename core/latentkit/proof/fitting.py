"""Whether a system fits into this machine at all, found out before anything of its sizes is made."""

from __future__ import annotations

import math
from collections import abc

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from latentkit._memory import in_units, machine_memory
from latentkit.errors import LatentkitError, Problem
from latentkit.interfaces import Part
from latentkit.proof.shapes import LEAST_BATCH, first_line
from latentkit.spaces import Space
from latentkit.wiring.wiring import Wiring

NUMBER = 4
"""Bytes of a float32."""
MOST_TENSORS = 10_000
"""Weights, counted in tensors, of one part. Networks have hundreds."""


class _TooLarge(LatentkitError):
    """A part whose weights alone do not fit."""


def too_large(wiring: Wiring) -> list[Problem]:
    """What cannot be held in memory: a sample, a batch, the weights with what training needs beside them."""
    return _samples(wiring) or _batch(wiring) or _weights(wiring)


def _bytes(space: Space) -> int:
    """Of one sample."""
    return NUMBER * math.prod(dim for dim in space.dims if isinstance(dim, int))


def _sources(wiring: Wiring) -> abc.Iterator[tuple[tuple[str, ...], str, Space]]:
    for name, spec in wiring.recipe.data.items():
        path = ("data",) if name == "data" else ("data", name)
        for value in spec.gives:
            yield (*path, "resolution"), value, wiring.data_spaces[value]
    for name, draw in wiring.draws.items():
        yield ("draw", name), name, draw.space


def _samples(wiring: Wiring) -> list[Problem]:
    memory = machine_memory()
    problems = []
    for path, value, space in _sources(wiring):
        if 2 * LEAST_BATCH * _bytes(space) > memory:
            fact = f"a sample of {value} is {space}, {in_units(_bytes(space))}, and this machine has {in_units(memory)}"
            problems.append(Problem(wiring.source.where(path), fact, "choose a smaller size"))
    if problems:
        return problems
    for node, space in wiring.spaces.items():
        if 2 * LEAST_BATCH * _bytes(space) > memory:
            fact = f"one sample of it is {space}, {in_units(_bytes(space))}, and this machine has {in_units(memory)}"
            return [Problem(wiring.where(node), fact, "choose smaller sizes")]
    return []


def _batch(wiring: Wiring) -> list[Problem]:
    memory, batch = machine_memory(), wiring.recipe.train.batch
    size = batch * sum(_bytes(space) for _, _, space in _sources(wiring))
    if size <= memory:
        return []
    fact = f"a batch of {batch:,} is {in_units(size)} of data and draws, and this machine has {in_units(memory)}"
    return [Problem(wiring.source.where(("train", "batch")), fact, "choose a smaller batch")]


def _weights(wiring: Wiring) -> list[Problem]:
    memory = machine_memory()
    trained = {part for phase in wiring.phases for part in phase.spec.train}
    averaged = [part for average in wiring.recipe.average.values() for part in average.parts]
    sizes: dict[str, int] = {}
    problems = []
    for name, part in wiring.parts.items():
        # Beside each weight that is trained there are its gradient and the state of its optimizer.
        copies = (3 if name in trained else 1) + averaged.count(name)
        try:
            sizes[name] = copies * NUMBER * _count(part, memory // (copies * NUMBER))
        except _TooLarge as error:
            problems.append(Problem(wiring.source.where(("parts", name)), str(error), "choose smaller sizes"))
        except LatentkitError:
            continue  # building again reports it, with its place
        except Exception as error:
            fact = f"{wiring.recipe.parts[name].use} cannot be built with these sizes: {first_line(error)}"
            hint = f"see `latentkit show {wiring.recipe.parts[name].use}`"
            problems.append(Problem(wiring.source.where(("parts", name)), fact, hint))
    total = sum(sizes.values())
    if not problems and total > memory:
        most = max(sizes, key=lambda name: sizes[name])
        fact = (
            f"all weights take {in_units(total)} with gradients, optimizer state and averages, most of them of "
            f"'{most}', and this machine has {in_units(memory)}"
        )
        problems.append(Problem(wiring.source.where(("parts", most)), fact, "choose smaller sizes"))
    return problems


def _count(part: Part, most: int) -> int:
    """The weights of a part, built without memory for them.

    Raises:
        _TooLarge: as soon as there are more than ``most``.
    """
    numbers = tensors = 0

    def add(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal numbers, tensors
        if parameter is not None:
            numbers, tensors = numbers + parameter.numel(), tensors + 1
        if numbers > most:
            raise _TooLarge(
                f"has over {most:,} weights, more than fit into this machine's {in_units(machine_memory())}"
            )
        if tensors > MOST_TENSORS:
            raise _TooLarge(f"has over {MOST_TENSORS:,} weight tensors; expected some hundreds")

    handle = register_module_parameter_registration_hook(add)
    try:
        with torch.device("meta"):
            return sum(parameter.numel() for parameter in part.build().parameters())
    finally:
        handle.remove()
