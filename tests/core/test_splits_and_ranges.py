"""Which samples are trained on, and the value range of images."""

from __future__ import annotations

from collections import abc

import numpy as np
import pytest
import torch

from latentkit.engine.samples import scaled
from latentkit.engine.splitting import split
from latentkit.errors import DataError
from latentkit.ports import parse_ports
from latentkit.recipe.schema import DataSpec
from latentkit.spaces import Space, Var


@pytest.mark.parametrize(
    ("rule", "training", "held_out"),
    [
        (1.0, range(10), []),
        (1, range(10), []),
        (0.7, range(7), range(7, 10)),
        ([2, 5], [2, 3, 4], [0, 1, 5, 6, 7, 8, 9]),
        ((0, 10), range(10), []),
        ([0, 1], [0], range(1, 10)),
    ],
)
def test_split_keeps_the_order(rule: object, training: abc.Iterable[int], held_out: abc.Iterable[int]) -> None:
    got = split(10, rule)
    assert [list(indices) for indices in got] == [list(training), list(held_out)]


@pytest.mark.parametrize("train", [8, 0.8, 10, 1.0])
def test_seeded_split_is_the_permutation_of_numpy(train: float) -> None:
    permuted = np.random.RandomState(5).permutation(10).tolist()
    cut = round(train * 10) if isinstance(train, float) else train
    training, held_out = split(10, {"seed": 5, "train": train})
    assert (training.tolist(), held_out.tolist()) == (permuted[:cut], permuted[cut:])


def test_split_of_a_seed_never_changes() -> None:
    training, held_out = split(8, {"seed": 0, "train": 5})
    assert (training.tolist(), held_out.tolist()) == ([6, 2, 1, 7, 3], [0, 5, 4])


def expected(found: str) -> str:
    return f"split: expected a fraction above 0 and at most 1, a range [from, to], or {{ seed, train }}; found {found}"


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (0, expected("0")),
        (0.0, expected("0.0")),
        (-0.5, expected("-0.5")),
        (1.5, expected("1.5")),
        (float("nan"), expected("nan")),
        (True, expected("True")),
        ("half", expected("'half'")),
        (None, expected("None")),
        ([1], expected("[1]")),
        ([0.0, 5], expected("[0.0, 5]")),
        ([False, 5], expected("[False, 5]")),
        ({"seed": 1}, expected("{'seed': 1}")),
        ({"seed": 1.0, "train": 3}, expected("{'seed': 1.0, 'train': 3}")),
        ({"seed": 1, "train": 3, "test": 2}, expected("{'seed': 1, 'train': 3, 'test': 2}")),
        ([3, 3], "split = [3, 3] does not fit 10 samples"),
        ([-1, 3], "split = [-1, 3] does not fit 10 samples"),
        ([5, 11], "split = [5, 11] does not fit 10 samples"),
        ({"seed": 1, "train": 0}, "split: train = 0 does not fit 10 samples"),
        ({"seed": 1, "train": 11}, "split: train = 11 does not fit 10 samples"),
        ({"seed": 1, "train": 0.01}, "split: train = 0.01 does not fit 10 samples"),
        ({"seed": 1, "train": 1.2}, "split: train = 1.2 does not fit 10 samples"),
        (0.01, "split = 0.01 leaves nothing to train on of 10 samples"),
    ],
)
def test_wrong_split_is_refused(rule: object, message: str) -> None:
    with pytest.raises(DataError) as caught:
        split(10, rule)
    assert str(caught.value) == message


BYTES = torch.arange(256, dtype=torch.uint8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_range_0_to_1_is_the_byte_over_255(dtype: torch.dtype) -> None:
    got = scaled(BYTES, DataSpec(use="numbered", range=(0.0, 1.0)), "image", dtype)
    assert got.dtype == dtype
    assert torch.equal(got, BYTES.to(dtype) / 255)
    assert torch.equal((got * 255).round().to(torch.uint8), BYTES)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_default_range_is_minus_1_to_1_with_exact_ends(dtype: torch.dtype) -> None:
    got = scaled(BYTES, DataSpec(use="numbered"), "image", dtype)
    assert (got[0], got[-1]) == (-1, 1)
    assert torch.equal(got, BYTES.to(dtype) / 255 * 2 - 1)
    torch.testing.assert_close(got, (BYTES.double() / 127.5 - 1).to(dtype), rtol=0, atol=torch.finfo(dtype).eps)
    assert torch.equal(((got + 1) * 127.5).round().to(torch.uint8), BYTES)


def test_scaling_leaves_the_bytes_and_other_fields_alone() -> None:
    stored = BYTES.clone()
    spec = DataSpec(use="numbered", range=(-3.0, 5.0))
    got = scaled(stored, spec, "image", torch.float32)
    assert (float(got[0]), float(got[-1])) == (-3.0, 5.0)
    assert torch.equal(stored, BYTES)
    assert torch.equal(scaled(stored, spec, "index", torch.float32), BYTES)
    assert scaled(torch.ones(3, dtype=torch.float64), spec, "factor", torch.float32).dtype == torch.float32


@pytest.mark.parametrize("sizes", [{}, {"range": None}])
def test_a_range_that_a_part_leaves_open_is_the_same_on_all_its_sides(sizes: dict[str, object]) -> None:
    signature = parse_ports("x: image[1, 8, 8] in range -> image[1, 8, 8] in range", sizes)
    before, after = signature.inputs[0].space, signature.output
    assert isinstance(before, Space)
    assert isinstance(after, Space)
    assert isinstance(before.range, Var)
    assert before.range is after.range


def test_a_range_that_a_part_states_is_that_of_its_ports() -> None:
    space = parse_ports("x: image[1, 8, 8] in range -> score", {"range": (0, 1)}).inputs[0].space
    assert isinstance(space, Space)
    assert space.range == (0.0, 1.0)
