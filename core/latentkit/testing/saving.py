"""What is saved of a part, and where its weights come from."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from latentkit.runs.files import read_tensors, write_tensors
from latentkit.testing.bench import Bench, call, signed
from latentkit.testing.cases import Case
from latentkit.testing.checks import Nonconforming, require, said
from latentkit.testing.values import Draw, tensors
from latentkit.testing.workplace import seeded


def saves_and_loads(bench: Bench) -> None:
    """What is in the state is all that there is: loaded into a module of other weights, it goes on in the same way."""
    file = bench.subject.workplace.folder / "state.safetensors"
    for case in bench.cases():
        entries = [entry for known, entry in bench.runs() if known is case]
        first, second = case.build(seed=0), case.build(seed=1)
        _values(case, first, entries)  # what it carries from call to call moves on
        try:
            write_tensors(file, first.state_dict(), {"part": bench.subject.name})
            second.load_state_dict(read_tensors(file)[0])
        except Exception as error:
            raise Nonconforming(f"its state cannot be written and read: {said(error)}") from error
        for mode in (False, True):
            one, other = (_values(case, module.train(mode), entries) for module in (first, second))
            same = len(one) == len(other) and all(map(_equal, one, other))
            what = "training" if mode else "evaluation"
            fact = "what it needs must be a parameter or a buffer, and persistent"
            require(same, f"in {what} a module loaded from its state gives other values: {fact}")
        one, other = (list(module.state_dict().values()) for module in (first, second))
        require(all(map(torch.equal, one, other)), "after one more call the states of both differ")


def _equal(one: Tensor, other: Tensor) -> bool:
    """Bit for bit, but for what is no number."""
    return one.shape == other.shape and torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)


def _values(case: Case, module: nn.Module, entries: list[str]) -> list[Tensor]:
    found = []
    for entry in entries:
        with seeded(), torch.no_grad():
            found += tensors(call(module, entry, case.inputs(entry, Draw(signed=signed(case)))))
    return found


def starts_from_its_seed(bench: Bench) -> None:
    """Weights come from torch's default generator alone, which ``build()`` does not seed, and belong to one module."""
    for case in bench.cases():
        first, second = _built(case, 0), _built(case, 1)
        for name, value in first.state_dict().items():
            same = torch.equal(value, second.state_dict()[name])
            require(same, f"'{name}' differs between two builds at one seed: draw it from torch's default generator")
        mine, theirs = (
            {parameter.data_ptr() for parameter in m.parameters() if parameter.numel()} for m in (first, second)
        )
        require(not mine & theirs, "two builds share a weight; build() must make new modules")
        require(_next(case, 0) != _next(case, 1), "build() seeds torch's default generator")


def _built(case: Case, others: int) -> nn.Module:
    """A module from one seed of torch, while the other generators stand elsewhere."""
    with seeded(others), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return case.part.build()


def _next(case: Case, seed: int) -> float:
    """The number that torch draws after a build."""
    with seeded(seed):
        case.part.build()
        return float(torch.rand((), dtype=torch.float64))
